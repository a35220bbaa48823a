"""Suites -> a document, which grows as they run."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from sparse_gemm.bench import calling, compressing, peers_cpu, peers_cuda
from sparse_gemm.bench.cases import SUITES, Case, Wanted
from sparse_gemm.bench.devices import Device
from sparse_gemm.bench.measure import Measurement, Record
from sparse_gemm.bench.operands import OPERANDS
from sparse_gemm.bench.timing import Budget
from sparse_gemm.bench.ways import Subject, Way
from sparse_gemm.bench.weights import Activations, Weights

_LATE_ROUNDS = 2  # of cases that are left when the time of the whole run is used up


@dataclass(frozen=True)
class Settings:
    """How much to measure.

    Attributes:
        seconds, min_rounds, max_rounds: the budget of a case, without what it takes to set it up.
        whole_seconds: of the whole run; the cases that are left share what is left of it.
        energy_seconds: for each way of a product, to read its power; 0: not at all.
        tiny: extents are cut down and caches not passed by: to see that it runs.
    """

    seconds: float = 3.0
    min_rounds: int = 5
    max_rounds: int = 200
    whole_seconds: float | None = None
    energy_seconds: float = 0.0
    tiny: bool = False


TINY = Settings(seconds=0.02, min_rounds=2, max_rounds=3, tiny=True)


def cases(suites: Sequence[str], wanted: Wanted, device: Device) -> list[Case]:
    """What they ask for, after the bandwidth of memory, which the rest is held against."""
    on_cpu = device.kind == "cpu"
    found = [Case(suites[0], "bandwidth", "float16", 0, 0, 0)]  # a type that all devices have
    for name in suites:
        found += SUITES[name](wanted, on_cpu)
    return found


def run(
    every: Sequence[Case], device: Device, settings: Settings, report: Callable[[Record], None]
) -> Iterator[Record]:
    """Each case's record, when it is known; `report` is told of it first."""
    measurement = Measurement(device, settings.energy_seconds)
    makers = _Subjects(device)
    began, overhead = time.monotonic(), 0.0
    with torch.inference_mode():
        for done, case in enumerate(every):
            share = settings.seconds
            if settings.whole_seconds is not None:
                left = settings.whole_seconds - (time.monotonic() - began)
                share = min(share, max(0.0, left / (len(every) - done) - overhead))
            begin = time.monotonic()
            rounds = settings.min_rounds if share > 0 else min(_LATE_ROUNDS, settings.min_rounds)
            budget = Budget(share, rounds, settings.max_rounds)
            record = measurement.run(
                case, ways(case, device), functools.partial(makers.of, case), budget
            )
            overhead += (max(0.0, time.monotonic() - begin - share) - overhead) / (done + 1)
            report(record)
            yield record


def ways(case: Case, device: Device) -> list[Way]:
    """Ours and the peers' for a case on a device."""
    if case.record == "bandwidth":
        return calling.bandwidth_ways()
    if case.record == "call":
        return calling.function_ways()
    if case.record == "layer":
        return calling.layer_ways()
    if case.record == "compress":
        return compressing.ways(device.kind)
    return peers_cpu.ways(case.type) if device.kind == "cpu" else peers_cuda.ways()


class _Subjects:
    """Makes what cases are about; a weight once for all cases in a row that are about it."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._weights: Weights | None = None

    def of(self, case: Case) -> Subject:
        """For `measure`."""
        weights = self._weights
        if case.record == "bandwidth":
            case = Case(*(case.suite, case.record, case.type), 4, 8, 1)
        key = (case.type, case.m, case.k)
        if weights is None or (weights.operands.name, weights.m, weights.k) != key:
            self._weights = weights = None  # frees the memory first
            weights = Weights(self._device, OPERANDS[case.type], case.m, case.k)
            self._weights = weights
        return Subject(self._device, weights, Activations(weights, max(case.tokens, 1)))


def described(settings: Settings, suites: Sequence[str], wanted: Wanted) -> dict[str, Any]:
    """For the document."""
    return {"suites": list(suites), **asdict(wanted), **asdict(settings)}
