"""Timing in turns: the variants of a case share one run, so that a change of load hits them all."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# Called with the number of the round, so that it can take another copy of its data each time; gives
# the seconds that one call took.
Sample = Callable[[int], float]


@dataclass(frozen=True)
class Budget:
    """When to stop: after `max_rounds`, or after `seconds` once there are `min_rounds`."""

    seconds: float
    min_rounds: int
    max_rounds: int


@dataclass(frozen=True)
class Spread:
    """Median and 10th and 90th percentile of some samples."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """The spread of at least one sample."""
        ordered = sorted(samples)
        last = len(ordered) - 1
        return cls(
            median=statistics.median(ordered),
            p10=ordered[math.floor(0.1 * last)],
            p90=ordered[math.ceil(0.9 * last)],
        )


@dataclass(frozen=True)
class Timings:
    """Seconds of each variant, one sample a round: those of one index are neighbours in time."""

    seconds: dict[str, list[float]]

    @property
    def rounds(self) -> int:
        """How many samples each variant has."""
        return len(next(iter(self.seconds.values()), []))

    def of(self, variant: str) -> Spread:
        """The spread of one variant's seconds."""
        return Spread.of(self.seconds[variant])

    def ratio(self, numerator: str, denominator: str) -> Spread:
        """The spread of one variant's seconds over another's, round by round."""
        pairs = zip(self.seconds[numerator], self.seconds[denominator], strict=True)
        return Spread.of([above / below for above, below in pairs])


def take_turns(samples: Mapping[str, Sample], budget: Budget) -> Timings:
    """Takes a sample of each variant once a round, in an order that moves on by one each round."""
    names = list(samples)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    if not names:
        return Timings(seconds)
    begin = time.perf_counter()
    for round_idx in range(budget.max_rounds):
        if round_idx >= budget.min_rounds and time.perf_counter() - begin > budget.seconds:
            break
        first = round_idx % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(samples[name](round_idx + 1))
    return Timings(seconds)
