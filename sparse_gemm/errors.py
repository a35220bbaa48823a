"""The exceptions of sparse_gemm's own; everything else is a plain ValueError or TypeError."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["SparsityError", "UnsupportedError"]


class SparsityError(ValueError):
    """A matrix holds more non-zeros in a group than its sparsity pattern keeps.

    Attributes:
        row: index of the first violating row (rows are searched in order, then groups in a row).
        group: index of the first violating group in that row.
        values: the group's elements, as Python floats, in the order in which they stand in the row.
            The last group of a row whose length is not a whole number of groups is shorter.
        batch: of a batch of matrices, the index of the first violating one; else None.
    """

    def __init__(
        self,
        message: str,
        *,
        row: int = -1,
        group: int = -1,
        values: Sequence[float] = (),
        batch: int | None = None,
    ) -> None:
        """Takes the message and the attributes; `for_group` builds both."""
        super().__init__(message)
        self.row = int(row)
        self.group = int(group)
        self.values = tuple(float(value) for value in values)
        self.batch = batch

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles the attributes too: BaseException sees to its positional arguments alone."""
        state = {"row": self.row, "group": self.group, "values": self.values, "batch": self.batch}
        return (type(self), self.args, state)

    @classmethod
    def for_group(
        cls,
        *,
        pattern: str,
        row: int,
        group: int,
        values: Sequence[float],
        name: str = "w",
        batch: int | None = None,
    ) -> SparsityError:
        """The error for one violating group, with the one wording that every caller shares.

        Args:
            pattern: "2:4", "1:2" or "4:8" (kept : group size; 4:8 keeps 2 of 4 pairs).
            row, group: where the group stands.
            values: the group's elements inside the matrix (fewer than the group size at a ragged
                end).
            name: the argument's name as the caller's user knows it.
            batch: in which matrix, if there are several.
        """
        kept, group_size = (int(part) for part in pattern.split(":"))
        values = tuple(float(value) for value in values)
        first = group * group_size
        last = first + len(values) - 1
        if pattern == "4:8":
            pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
            found = f"{sum(any(v != 0 for v in pair) for pair in pairs)} non-zero pairs"
            allowed = f"{kept // 2} pairs are"
        else:
            found = f"{sum(v != 0 for v in values)} non-zeros"
            allowed = f"{kept} {'is' if kept == 1 else 'are'}"
        listed = ", ".join(str(value) for value in values)
        matrix = "" if batch is None else f"matrix {batch}, "
        message = (
            f"{name} is not {pattern} sparse: {matrix}row {row}, group {group} "
            f"(columns {first} to {last}) holds {found} ({listed}); "
            f"at most {allowed} allowed. "
            "Prune it first (sparse_gemm.prune) or pass policy='prune'."
        )
        return cls(message, row=row, group=group, values=values, batch=batch)


class UnsupportedError(NotImplementedError):
    """The arguments are valid, but no backend at hand can do this; the message says why."""
