"""What is generated into a document that is written by hand, between two marks."""

from __future__ import annotations

__all__ = ["replaced"]


def replaced(text: str, begin: str, rendered: str, end: str) -> str:
    """`text` with `rendered` between the marks.

    Raises:
        ValueError: there is not one pair of marks.
    """
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"expected one line {begin.strip()} and one line {end.strip()}")
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}{rendered}{end}{tail}"
