"""Which parameters of a checkpoint make which of a model, by transformers' own rules.

transformers renames what it reads, and for some models stacks, joins or cuts it (a mixture's
experts, fused projections). Where that only moves whole rows, compressed weights can follow: a
row's elements are compressed by themselves. What else is done to a weight needs it dense.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    dot_natural_key,
    rename_source_key,
)

__all__ = ["NameMap", "Target"]

# Operations of a converter, each with its dimension, that lay sources below each other.
_STACKED = [("MergeModulelist", 0)]
_STACKED_AND_JOINED = [("MergeModulelist", 0), ("Concatenate", 1)]
_JOINED = [("Concatenate", 0)]
_CUT = [("Chunk", 0)]


class Target(NamedTuple):
    """A parameter of the model: its sources' rows, one source below the other.

    Attributes:
        name: the model's name of it.
        sources: the checkpoint's names.
        part: (i, n): the i-th of n equal parts of the rows.
        moves_rows: whether that is all that happens to them; if not, `sources` alone counts.
    """

    name: str
    sources: tuple[str, ...]
    part: tuple[int, int] = (0, 1)
    moves_rows: bool = True


class NameMap:
    """transformers' rules for one model."""

    def __init__(self, model: Any) -> None:
        """Takes the model on the meta device, whole."""
        conversions = get_model_conversion_mapping(model)
        self._renamings = [c for c in conversions if isinstance(c, WeightRenaming)]
        self._converters = [c for c in conversions if isinstance(c, WeightConverter)]
        self._of_pattern = {p: c for c in self._converters for p in c.source_patterns}
        self._prefix = model.base_model_prefix

    def targets(self, names: Iterable[str], known: dict[str, Any]) -> list[Target]:
        """The targets of a checkpoint's parameters, in the model's order.

        Args:
            names: the checkpoint's dense parameters, all of them.
            known: the model's state dict.
        """
        collected: dict[str, dict[str, list[str]]] = {}
        for name in sorted(names, key=dot_natural_key):
            target, pattern = self._renamed(name, known)
            if target in known:
                collected.setdefault(target, {}).setdefault(pattern or "", []).append(name)
        found: dict[str, Target] = {}
        for first, by_pattern in collected.items():
            for made in self._targets(first, by_pattern):
                found[made.name] = made
        return [found[name] for name in known if name in found]

    def unexpected(self, names: Iterable[str], known: dict[str, Any]) -> set[str]:
        """Regular expressions for what transformers calls names that it finds no place for."""
        found: set[str] = set()
        for name in names:
            target, pattern = self._renamed(name, known)
            others = self._of_pattern[pattern].target_patterns if pattern else [""]
            found.update(target.replace(others[0], other, 1) for other in others)
        return {re.sub(r"\d+", r"\\d+", f"^{re.escape(name)}$") for name in found}

    def _renamed(self, name: str, known: dict[str, Any]) -> tuple[str, str | None]:
        rules = (self._renamings, self._converters)
        target, pattern = rename_source_key(name, *rules, self._prefix, known)
        if target not in known and name in known:
            target, pattern = rename_source_key(name, [], [], self._prefix, known)
        bare = target.removesuffix(".weight")
        if target not in known and bare in known:  # a stack has no such ending
            return bare, pattern
        return target, pattern

    def _targets(self, first: str, by_pattern: dict[str, list[str]]) -> list[Target]:
        sources = tuple(name for names in by_pattern.values() for name in names)
        converter = self._of_pattern.get(next(iter(by_pattern)))
        if converter is None:
            return [Target(first, sources, moves_rows=len(sources) == 1)]
        steps = [(type(op).__name__, getattr(op, "dim", None)) for op in converter.operations]
        is_counted = any(getattr(op, "num_shards_attribute", None) for op in converter.operations)
        lists = [by_pattern.get(pattern, []) for pattern in converter.source_patterns]
        targets = converter.target_patterns
        if is_counted or len({len(names) for names in lists}) != 1:
            return [Target(first, sources, moves_rows=False)]
        if steps in (_STACKED, _STACKED_AND_JOINED) and len(targets) == 1:
            interleaved = tuple(name for names in zip(*lists, strict=True) for name in names)
            return [Target(first, interleaved, moves_rows=steps != _STACKED or len(lists) == 1)]
        if steps == _JOINED and len(targets) == 1:
            return [
                Target(first, tuple(names[0] for names in lists), moves_rows=len(lists[0]) == 1)
            ]
        if steps == _CUT and len(sources) == 1:
            return [
                Target(first.replace(targets[0], name, 1), sources, (i, len(targets)))
                for i, name in enumerate(targets)
            ]
        names = [first.replace(targets[0], name, 1) for name in targets]
        return [Target(name, sources, moves_rows=False) for name in names]
