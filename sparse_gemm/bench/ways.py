"""A way to do what a case asks for: ours, or a peer's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sparse_gemm.bench.devices import Device
from sparse_gemm.bench.weights import Activations, Weights


class AbsentError(Exception):
    """A peer that is not here, or does not do this: no failure."""


@dataclass(frozen=True)
class Call:
    """What a way has made ready.

    Attributes:
        run: does it, with the copies of that round.
        weight_bytes: what it reads of the weight.
        eps: the rounding of its operands and its result, for products; None: nothing to compare.
        moved_bytes: what it reads and writes, for work that is bound by memory.
        settle_seconds: a rest before each sample, for threads that spin when their work is done.
        figures: what else there is to say.
    """

    run: Callable[[int], Any]
    weight_bytes: int = 0
    eps: float | None = None
    moved_bytes: int = 0
    settle_seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """What a case is about: some of these are not there for some records."""

    device: Device
    weights: Weights
    activations: Activations

    @property
    def x(self) -> Tensor:
        """[tokens, k]."""
        return self.activations.x


@dataclass(frozen=True)
class Way:
    """A name in the results, and how to make it ready.

    Attributes:
        role: "ours"; "dense", a baseline; "sparse", another that uses the zeros; or "ceiling".
        make: raises AbsentError where it is not to be had.
        calls: for one sample, where one is too short to time.
    """

    name: str
    role: str
    make: Callable[[Subject], Call]
    calls: int = 1
