"""Progress of long work: a tqdm bar where tqdm is installed, or else lines of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

__all__ = ["progress_over"]

_logger = logging.getLogger("sparse_gemm")
_Item = TypeVar("_Item")
_LINES = 10  # of the log, for the whole of the work


def progress_over(items: Sequence[_Item], what: str, shown: bool) -> Iterable[_Item]:
    """The items, telling how far the caller has come; `what` is being done."""
    if not shown:
        return items
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        return _logged(items, what)
    bar: Iterable[_Item] = tqdm(items, desc=what, unit="weight")
    return bar


def _logged(items: Sequence[_Item], what: str) -> Iterator[_Item]:
    step = max(1, len(items) // _LINES)
    for number, item in enumerate(items):
        if number % step == 0:
            _logger.info("%s: %d of %d", what, number, len(items))
        yield item
