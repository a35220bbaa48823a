"""inspect: what a checkpoint holds, tensor by tensor, how sparse, and whether it is valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sparse_gemm.checkpoints.checkpoint import Checkpoint
from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats import Decoded
from sparse_gemm.checkpoints.progress import progress_over
from sparse_gemm.checkpoints.weight import Weight

__all__ = ["Inspection", "TensorReport", "inspect"]


class TensorReport(NamedTuple):
    """One parameter, or one tensor that is part of none.

    Attributes:
        name: the parameter's name, or the tensor's.
        format: the format that it is stored in; "plain" for a tensor that stays as it is.
        dtype: of its stored elements.
        shape: of the dense parameter.
        pattern: "2:4", "1:2", "4:8", or "" for none.
        group_size: elements that share a scale; 0: a row does; None: no scale.
        non_zeros: the fraction of the dense elements that is not zero; None if not looked at.
        nbytes: bytes in the file.
        error: why it is not valid; "" if it is.
    """

    name: str
    format: str
    dtype: str
    shape: tuple[int, ...]
    pattern: str
    group_size: int | None
    non_zeros: float | None
    nbytes: int
    error: str = ""


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found; str() of it is a table."""

    path: Path
    tensors: tuple[TensorReport, ...]

    @property
    def is_valid(self) -> bool:
        """Whether every tensor is."""
        return not any(tensor.error for tensor in self.tensors)

    def __str__(self) -> str:
        """A table, one line a tensor, and a summary."""
        return "\n".join([*map(_line, self.tensors), *self._summary()])

    def _summary(self) -> Iterator[str]:
        formats: dict[str, int] = {}
        for tensor in self.tensors:
            formats[tensor.format] = formats.get(tensor.format, 0) + 1
        counted = ", ".join(f"{count} {name}" for name, count in formats.items())
        nbytes = sum(tensor.nbytes for tensor in self.tensors)
        yield f"{self.path}: {len(self.tensors)} tensors ({counted}), {nbytes / 1e6:.1f} MB"
        wrong = sum(bool(tensor.error) for tensor in self.tensors)
        yield f"not valid: {wrong} tensors" if wrong else "valid"


def inspect(path: str | Path, *, tile_k: int | None = None, progress: bool = False) -> Inspection:
    """Reads all of a checkpoint, decodes every weight, and says what is there.

    Args:
        path: a .safetensors, .pt, .pth or .bin file, or a Hugging Face folder.
        tile_k: for CUTLASS 3.x's tensor E: the writer's tile along K (64 or 128), if known.
        progress: show a progress bar (tqdm, or lines of the log without it).

    Raises:
        CheckpointError: a file's header is damaged. A damaged weight is reported, not raised.
        OSError: the path cannot be read.
    """
    checkpoint = Checkpoint(Path(path), tile_k=tile_k)
    found = list(checkpoint.find())
    reports = []
    for file_format, entry in progress_over(found, "inspecting", progress):
        nbytes = sum(checkpoint.infos[name].nbytes for name in entry.parts.values())
        first = checkpoint.infos[next(iter(entry.parts.values()))]
        try:
            decoded = checkpoint.decode(file_format, entry)
        except CheckpointError as error:
            stored = (first.dtype.name, first.shape, "", None, None, nbytes, str(error))
            reports.append(TensorReport(entry.param, file_format.name, *stored))
            continue
        reports.append(_report(entry.param, file_format.name, decoded, nbytes))
    for name in checkpoint.outside(found):
        info = checkpoint.infos[name]
        reports.append(
            TensorReport(
                name, "plain", info.dtype.name, info.shape, "", None, None, info.nbytes,
                _plain_error(checkpoint, name),
            )
        )  # fmt: skip
    return Inspection(checkpoint.path, tuple(reports))


def _plain_error(checkpoint: Checkpoint, name: str) -> str:
    try:
        checkpoint.read(name)
    except CheckpointError as error:
        return str(error)
    return ""


def _report(param: str, format_name: str, decoded: Decoded, nbytes: int) -> TensorReport:
    if not isinstance(decoded, Weight):
        name = "plain" if format_name == "dense" else format_name
        fraction = np.count_nonzero(decoded) / max(1, decoded.size)
        dtype = decoded.dtype.name
        return TensorReport(param, name, dtype, decoded.shape, "", None, fraction, nbytes)
    values = decoded.widened().values
    if decoded.pattern == "4:8":
        values = np.concatenate([decoded.values & 0xF, decoded.values >> 4], axis=1)
    group_size = decoded.group_size if decoded.scale is not None else None
    return TensorReport(
        param, format_name, decoded.dtype, decoded.shape, decoded.pattern,
        0 if decoded.scale is not None and group_size is None else group_size,
        np.count_nonzero(values) / (decoded.rows * decoded.k), nbytes,
    )  # fmt: skip


def _line(tensor: TensorReport) -> str:
    shape = "x".join(map(str, tensor.shape)) or "scalar"
    scale = {None: "", 0: "scale a row"}.get(tensor.group_size, f"scale a {tensor.group_size}")
    zeros = "" if tensor.non_zeros is None else f"{100 - 100 * tensor.non_zeros:.1f}% zeros"
    fields = [tensor.name, tensor.format, f"{tensor.dtype} {shape}", tensor.pattern, scale, zeros]
    line = "  ".join(field for field in fields if field)
    return f"{line}\n    NOT VALID: {tensor.error}" if tensor.error else line
