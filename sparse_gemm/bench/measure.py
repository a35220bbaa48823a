"""One case -> one record: every way is checked, then timed in turns with the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sparse_gemm.bench import energy, peaks
from sparse_gemm.bench.cases import Case
from sparse_gemm.bench.devices import Device, Replay
from sparse_gemm.bench.timing import Budget, Sample, Spread, Timings, take_turns
from sparse_gemm.bench.ways import AbsentError, Call, Subject, Way
from sparse_gemm.bench.weights import WrongResultError
from sparse_gemm.errors import UnsupportedError

Record = dict[str, Any]

# A dense product that takes so many times as long as the fastest is no baseline: it is timed once.
# From so many tokens on it is not tried again with more.
_HOPELESS = 2.5
_REMEMBERED_FROM = 64
_TRIAL_SECONDS, _MAX_TRIALS = 0.05, 5
_ABSENT = (AbsentError, ImportError, AttributeError, NotImplementedError, UnsupportedError)


@dataclass
class Ready:
    """A way that works here."""

    way: Way
    call: Call
    replay: Replay
    first_seconds: float


@dataclass
class Measurement:
    """How cases are measured on a device, and what earlier ones have shown.

    Attributes:
        energy_seconds: how long each way runs on end to read its power; 0: not at all.
        bandwidth: GB/s of "read" and "copy", once they are known.
        hopeless: (shape and type of a weight, way): why it is not tried again.
    """

    device: Device
    energy_seconds: float = 0.0
    bandwidth: dict[str, float] = field(default_factory=dict)
    hopeless: dict[tuple[str, str], str] = field(default_factory=dict)

    def run(
        self, case: Case, ways: Sequence[Way], make: Callable[[], Subject], budget: Budget
    ) -> Record:
        """The record; `make` gives what the ways work on."""
        record: Record = {
            "record": case.record,
            "suite": case.suite,
            "type": case.type,
            **{"m": case.m, "k": case.k, "tokens": case.tokens},
        }
        if case.batch:
            record["batch"] = case.batch
        try:
            subject = make()
        except Exception as error:  # such as no memory, or a type that nothing here multiplies
            return record | {"variants": {}} | _failure(error)
        variants: dict[str, Record] = {way.name: {"role": way.role} for way in ways}
        ready = [
            found
            for way in ways
            if (found := self._make_ready(case, way, subject, variants[way.name])) is not None
        ]
        ready = self._without_hopeless(case, ready, variants)
        begin = time.monotonic()
        timings = take_turns({one.way.name: self._sample(one) for one in ready}, budget)
        clocks = self.device.sampler and self.device.sampler.between(begin, time.monotonic())
        baseline = _fastest_dense(ready, timings)
        record |= {"rounds": timings.rounds, "baseline": baseline, "clocks": clocks or None}
        for one in ready:
            self._finish(case, one, subject, variants[one.way.name], timings, record)
        record["variants"] = variants
        if self.energy_seconds and case.record == "linear":
            energy.add(self.device, {r.way.name: r.replay for r in ready}, self, record)
        if case.record == "bandwidth":
            rates = {name: v.get("gb_per_s") for name, v in variants.items()}
            self.bandwidth = {name: rate for name, rate in rates.items() if rate is not None}
        return record

    def _make_ready(self, case: Case, way: Way, subject: Subject, variant: Record) -> Ready | None:
        """None where it is absent, wrong or hopeless: the variant then says so."""
        if reason := self.hopeless.get((_weight_of(case), way.name)):
            variant["left_out"] = reason
            return None
        try:
            call = way.make(subject)
            call.run(0)  # what happens once happens here
            replay, mode = self.device.prepare(call.run)
            self.device.synchronize()
            y = replay(0)
            if call.eps is not None:
                variant["relative_error"] = subject.activations.error(y, call.eps)
            first_seconds = self._trial_seconds(replay)
        except Exception as error:  # whatever one way raises, the others are timed
            variant |= _failure(error)
            return None
        variant |= {"mode": mode, "weight_bytes": call.weight_bytes, **call.figures}
        return Ready(way, call, replay, first_seconds)

    def _trial_seconds(self, replay: Replay) -> float:
        """The shortest of a few calls, or of one that is long."""
        found: list[float] = []
        while sum(found) < _TRIAL_SECONDS and len(found) < _MAX_TRIALS:
            found.append(self.device.seconds(replay, len(found)))
        return min(found)

    def _without_hopeless(
        self, case: Case, ready: list[Ready], variants: Mapping[str, Record]
    ) -> list[Ready]:
        dense = [one for one in ready if one.way.role == "dense"]
        if self.device.kind != "cpu" or len(dense) < 2 or case.record != "linear":
            return ready
        fastest = min(one.first_seconds for one in dense)
        for one in dense:
            if one.first_seconds > _HOPELESS * fastest:
                times = one.first_seconds / fastest
                reason = f"{times:.1f} times the fastest's time at {case.tokens} tokens"
                variants[one.way.name]["left_out"] = reason
                if case.tokens >= _REMEMBERED_FROM:
                    self.hopeless[_weight_of(case), one.way.name] = reason
        return [one for one in ready if "left_out" not in variants[one.way.name]]

    def _sample(self, one: Ready) -> Sample:
        device, replay, calls = self.device, one.replay, one.way.calls
        rest = 0.0 if device.meaningless else one.call.settle_seconds

        def once(round_idx: int) -> float:
            time.sleep(rest)
            device.flush()
            return device.seconds(replay, round_idx)

        def many(round_idx: int) -> float:
            begin = time.perf_counter()
            for _ in range(calls):
                one.call.run(round_idx)
            elapsed = time.perf_counter() - begin
            device.synchronize()
            return elapsed / calls

        return once if calls == 1 else many

    def _finish(
        self,
        case: Case,
        one: Ready,
        subject: Subject,
        variant: Record,
        timings: Timings,
        record: Record,
    ) -> None:
        """Times, and what follows from them."""
        name, baseline = one.way.name, record["baseline"]
        seconds = timings.of(name)
        variant["seconds"] = asdict(seconds)
        if baseline is not None:
            variant["speedup"] = asdict(timings.ratio(baseline, name))
        if calls := self.device.call_seconds(one.call.run):
            variant["call_seconds"] = asdict(Spread.of(calls))
        if case.record == "linear":
            rate = 2 * case.m * case.k * case.tokens / seconds.median
            variant["dense_equiv_tflops"] = rate / 1e12
            variant |= peaks.percents(rate, case.type, self.device.facts(), record["clocks"])
        if moved := one.call.moved_bytes or one.call.weight_bytes:
            rate = moved / seconds.median / 1e9
            variant["gb_per_s"] = rate
            for how, measured in self.bandwidth.items():
                variant[f"percent_of_{how}"] = 100 * rate / measured
        if one.call.eps is not None:
            try:
                subject.activations.error(one.replay(0), one.call.eps)
            except WrongResultError as error:
                variant |= _failure(error)


def failed(record: Record) -> bool:
    """Whether ours went wrong, or a dense product of a type that ours has on this device."""
    variants = record["variants"].values()
    ours = [variant for variant in variants if variant["role"] == "ours"]
    watched = [v for v in variants if v["role"] in ("ours", "dense")]
    if ours and all("absent" in variant for variant in ours):
        return "error" in record
    return "error" in record or any("error" in variant for variant in watched)


def _failure(error: Exception) -> Record:
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return {"absent" if isinstance(error, _ABSENT) else "error": text}


def _weight_of(case: Case) -> str:
    return f"{case.m}x{case.k} {case.type}"


def _fastest_dense(ready: Sequence[Ready], timings: Timings) -> str | None:
    dense = [one.way.name for one in ready if one.way.role == "dense"]
    return min(dense, key=lambda name: timings.of(name).median, default=None)
