"""What is measured: every way checked, absent ones told apart from wrong ones, figures as named."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import sparse_gemm as sg
from sparse_gemm.bench import energy, peaks, peers_cpu
from sparse_gemm.bench.cases import SUITES, Case, Wanted
from sparse_gemm.bench.devices import Device, Replay
from sparse_gemm.bench.measure import Measurement, failed
from sparse_gemm.bench.names import OURS
from sparse_gemm.bench.operands import OPERANDS
from sparse_gemm.bench.run import TINY, cases, run
from sparse_gemm.bench.sampler import Sample, Sampler
from sparse_gemm.bench.shapes import MODELS, RESNEXT_101_32X8D
from sparse_gemm.bench.timing import Budget
from sparse_gemm.bench.ways import AbsentError, Call, Subject, Way
from sparse_gemm.bench.weights import Activations, Weights

CASE = Case("decode", "linear", "float16", 64, 128, 16)


class Scripted(Device):
    """A CPU whose clock is a script."""

    kind = "cuda"  # nothing is left out as hopeless
    rotated_bytes = 0

    def __init__(self) -> None:
        self.flushes = 0
        self.times: Iterator[float] = iter(range(1, 1000))

    def flush(self) -> None:
        self.flushes += 1

    def seconds(self, replay: Replay, round_idx: int) -> float:
        replay(round_idx)
        return float(next(self.times))


def subject(device: Device, case: Case = CASE) -> Subject:
    weights = Weights(device, OPERANDS[case.type], case.m, case.k)
    return Subject(device, weights, Activations(weights, case.tokens))


def measured(ways: list[Way], rounds: int = 3) -> tuple[dict[str, Any], Scripted]:
    device = Scripted()
    with torch.inference_mode():
        budget = Budget(0.0, rounds, 9)
        record = Measurement(device).run(CASE, ways, lambda: subject(device), budget)
    return record, device


def test_a_product_is_checked_and_timed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Measurement, "_trial_seconds", lambda *_: 1.0)
    dense = peers_cpu.dense(torch.float16)
    record, device = measured([peers_cpu.ours(), dense])
    ours, theirs = record["variants"][OURS], record["variants"]["torch float16"]
    assert record["rounds"] == 3
    assert device.flushes == 6
    # Samples 1, 4, 5 and 2, 3, 6: the order changes each round.
    assert (ours["seconds"]["median"], theirs["seconds"]["median"]) == (4.0, 3.0)
    assert record["baseline"] == "torch float16"
    assert ours["speedup"]["median"] == 1.2  # of 2/1, 3/4, 6/5
    assert theirs["speedup"] == {"median": 1.0, "p10": 1.0, "p90": 1.0}
    assert ours["dense_equiv_tflops"] == pytest.approx(2 * 64 * 128 * 16 / 4 / 1e12)
    assert ours["weight_bytes"] == 64 * 128 * 2 * 9 // 16
    assert ours["gb_per_s"] == pytest.approx(ours["weight_bytes"] / 4 / 1e9)
    assert 0 < ours["relative_error"] < torch.finfo(torch.float16).eps
    assert not failed(record)


def test_a_wrong_result_is_not_timed_and_fails() -> None:
    def wrong(of: Subject) -> Call:
        w = of.weights.dense[0]
        return Call(lambda _: 1.01 * (of.x @ w.t()), w.nbytes, 2.0**-10)

    record, _ = measured([Way(OURS, "ours", wrong)])
    assert record["variants"][OURS]["error"].startswith("WrongResultError: relative error")
    assert "seconds" not in record["variants"][OURS]
    assert record["rounds"] == 0
    assert failed(record)


def test_a_result_that_goes_wrong_later_is_told() -> None:
    """The first calls are right; the last, which is looked at after the timing, is not."""

    def make(of: Subject) -> Call:
        w, count = of.weights.dense[0], 0

        def product(_: int) -> Any:
            nonlocal count
            count += 1
            return (of.x @ w.t()) * (1.0 if count < 4 else 2.0)

        return Call(product, w.nbytes, 2.0**-10)

    record, _ = measured([Way(OURS, "ours", make)])
    assert "WrongResultError" in record["variants"][OURS]["error"]
    assert failed(record)


def test_an_absent_peer_is_reported_absent_and_fails_nothing() -> None:
    def absent(of: Subject) -> Call:
        raise AbsentError("not here")

    def broken(of: Subject) -> Call:
        raise RuntimeError("too bad\nand more")

    ways = [peers_cpu.ours(), Way("a", "sparse", absent), Way("b", "sparse", broken)]
    record, _ = measured(ways)
    assert record["variants"]["a"]["absent"] == "AbsentError: not here"
    assert record["variants"]["b"]["error"] == "RuntimeError: too bad"
    assert "seconds" in record["variants"][OURS]
    assert not failed(record)


def test_the_peer_for_int8_multiplies_the_same_integers_and_fast() -> None:
    """As fast as a dense product may be; oneDNN's reference code is hundreds of times slower."""
    (way,) = [way for way in peers_cpu.ways("int8") if way.name == "oneDNN"]
    of = subject(Device(), Case("cpu", "linear", "int8", 1024, 1024, 16))
    try:
        call = way.make(of)
    except AbsentError as error:
        pytest.skip(str(error))
    w = of.weights.dense[0]
    expected = of.x.double() @ w.double().t()
    assert torch.equal(call.run(0).double(), expected)
    x, wide = of.x.float(), w.float()

    def seconds(run: Callable[[], Any]) -> float:
        return min(timeit.repeat(run, number=1, repeat=7))

    assert seconds(lambda: call.run(0)) < 20 * seconds(lambda: x @ wide.t())


def test_a_copy_that_fails_leaves_the_rate_of_reading() -> None:
    def copy(of: Subject) -> Call:
        raise RuntimeError("out of memory")

    def read(of: Subject) -> Call:
        x = of.x
        return Call(lambda _: x.sum(), 0, None, moved_bytes=x.nbytes)

    measurement = Measurement(Scripted())
    case = Case("decode", "bandwidth", "float16", 0, 0, 0)
    ways = [Way("read", "memory", read), Way("copy", "memory", copy)]
    record = measurement.run(case, ways, lambda: subject(measurement.device), Budget(0.0, 3, 9))
    assert "out of memory" in record["variants"]["copy"]["error"]
    assert measurement.bandwidth == {"read": record["variants"]["read"]["gb_per_s"]}


def test_what_the_device_cannot_do_fails_nothing() -> None:
    """Such as fp8 on an older GPU, where torch's dense product raises as well."""
    absent, error = {"role": "ours", "absent": "UnsupportedError: no"}, {"role": "dense"}
    record = {"variants": {OURS: absent, "torch dense": {**error, "error": "RuntimeError: no"}}}
    assert not failed(record)
    record["variants"][OURS] = {"role": "ours", "seconds": {}}
    assert failed(record)


def test_a_dense_product_without_hope_is_timed_once() -> None:
    """On the CPU, where a type may be hundreds of times slower; and not tried with more tokens."""
    calls: list[str] = []

    def way(name: str) -> Way:
        def make(of: Subject) -> Call:
            w = of.weights.dense[0]

            def product(_: int) -> Any:
                calls.append(name)
                return of.x @ w.t()

            return Call(product, w.nbytes, 2.0**-10)

        return Way(name, "dense", make)

    class Paced(Device):
        rotated_bytes = 0

        def seconds(self, replay: Replay, round_idx: int) -> float:
            replay(round_idx)
            return 3.0 if calls[-1] == "slow" else 1.0

    device = Paced()
    measurement = Measurement(device)
    ways = [way("fast"), way("slow")]
    for tokens in (64, 128):
        case = Case("cpu", "linear", "float16", 64, 128, tokens)
        record = measurement.run(case, ways, lambda c=case: subject(device, c), Budget(0.0, 3, 3))
        assert record["baseline"] == "fast"
        assert "at 64 tokens" in record["variants"]["slow"]["left_out"]
        calls.append("next")
    assert "slow" not in calls[calls.index("next") :]


@pytest.mark.parametrize("name", [*SUITES])
@pytest.mark.parametrize("on_cpu", [True, False])
def test_every_suite_has_cases_of_known_types(name: str, on_cpu: bool) -> None:
    for tiny in (True, False):
        found = list(SUITES[name](Wanted(tiny=tiny), on_cpu))
        assert found
        assert {case.type for case in found} <= set(OPERANDS)
        assert len(set(found)) == len(found)
        if tiny:
            assert max(case.m * case.k * max(case.tokens, 1) for case in found) <= 2048 * 1024 * 64


def test_suites_are_what_they_are_called() -> None:
    decode = {case.tokens for case in SUITES["decode"](Wanted(), False)}
    assert (min(decode), max(decode)) == (1, 64)
    prefill = {case.tokens for case in SUITES["prefill"](Wanted(), False)}
    assert (min(prefill), max(prefill)) == (128, 16384)
    squares = list(SUITES["square"](Wanted(), False))
    assert all(case.m == case.k == case.tokens for case in squares)
    shapes = {(case.m, case.k) for case in SUITES["models"](Wanted(), False)}
    assert shapes == {tuple(layer) for layers in MODELS.values() for layer in layers}
    convolutions = list(SUITES["conv-as-gemm"](Wanted(types=["float16"]), False))
    assert len(convolutions) == 5 * len(RESNEXT_101_32X8D)
    assert all(case.tokens % case.batch == 0 for case in convolutions)


def test_what_is_wanted_of_a_suite_comes_instead_of_its_own() -> None:
    wanted = Wanted(["int8"], [3], [MODELS["BERT-base"][0]])
    (case,) = SUITES["decode"](wanted, False)
    assert (case.type, case.m, case.k, case.tokens) == ("int8", 768, 768, 3)


def test_a_tiny_run_covers_all_of_a_cpu() -> None:
    device = Device()
    device.rotated_bytes, device.meaningless = 0, "tiny"
    every = cases(["cpu"], Wanted(tiny=True), device)
    records = list(run(every, device, TINY, lambda record: None))
    assert [r for r in records if failed(r)] == []
    linear = {(r["type"], r["tokens"]) for r in records if r["record"] == "linear"}
    assert linear == {(n, t) for n in ("bfloat16", "float16", "float32", "int8") for t in (1, 16)}
    kinds = {record["record"] for record in records}
    assert kinds == {"bandwidth", "call", "layer", "compress", "linear"}
    (compressed,) = [r for r in records if r["record"] == "compress"]
    assert compressed["variants"][OURS]["percent_of_copy"] > 0
    (bandwidth,) = [r for r in records if r["record"] == "bandwidth"]
    copied = bandwidth["variants"]["copy"]
    assert copied["gb_per_s"] == pytest.approx(2 * 2**20 / copied["seconds"]["median"] / 1e9)


@pytest.mark.parametrize("name", ["int8_weight", "int4_weight", "tf32"])
def test_the_dense_copy_is_what_the_compressed_one_stands_for(name: str) -> None:
    device = Device()
    device.rotated_bytes = 0
    weights = Weights(device, OPERANDS[name], 32, 256)
    dense = weights.compressed[0].to_dense()
    expected = weights.dense[0].double().numpy()
    assert np.array_equal(np.asarray(dense).astype(np.float64), expected)
    sg.check(weights.dense[0], pattern=OPERANDS[name].pattern)


def test_percent_of_a_peak_that_is_round() -> None:
    facts = {"compute_capability": "9.0", "name": "NVIDIA H100", "sms": 100}
    # 100 SMs of 4096 dense operations a clock at 1 GHz: 409.6 TFLOPS dense, twice that sparse.
    found = peaks.percents(409.6e12, "float16", facts, {"sm_mhz": 1000.0})
    assert found["percent_of_dense_peak"] == pytest.approx(100)
    assert found["percent_of_sparse_peak"] == pytest.approx(50)
    assert peaks.percents(1.0, "float16", facts, None) == {}
    unknown = {**facts, "compute_capability": "99.0"}
    assert peaks.percents(1.0, "float16", unknown, {"sm_mhz": 1000.0}) == {}


class FixedPower(Sampler):
    """So many watts by the way that runs."""

    def __init__(self, device: Device) -> None:
        super().__init__("0")
        self.watts = 100.0
        self.device = device

    def between(self, begin: float, end: float) -> dict[str, Any] | None:
        return {"watts": self.watts, "sm_mhz": 1500.0}


def test_joules_are_watts_by_seconds() -> None:
    device = Device()
    device.sampler = FixedPower(device)
    record: dict[str, Any] = {"baseline": "dense", "variants": {"dense": {}, OURS: {}}}

    def replay(watts: float) -> Replay:
        def run_it(_: int) -> Any:
            device.sampler.watts = watts  # type: ignore[union-attr]

        return run_it

    how = Measurement(device, energy_seconds=0.05)
    energy.add(device, {"dense": replay(200.0), OURS: replay(100.0)}, how, record)
    dense, ours = (record["variants"][name]["energy"] for name in ("dense", OURS))
    for found, watts in ((dense, 200.0), (ours, 100.0)):
        expected = watts * found["seconds_per_call"]
        assert found["joules_per_call"] == pytest.approx(expected, rel=0.3)
    assert dense["per_watt_over_dense"] == 1.0
    expected = dense["joules_per_call"] / ours["joules_per_call"]
    assert ours["per_watt_over_dense"] == pytest.approx(expected)


def test_no_power_is_said() -> None:
    record: dict[str, Any] = {"baseline": "dense", "variants": {"dense": {}}}
    energy.add(Device(), {}, Measurement(Device()), record)
    assert record["energy_absent"] == "no power is read on CPUs"


def test_clocks_are_those_of_the_span() -> None:
    sampler = Sampler("0")
    for when in range(10):
        sampler.add(Sample(when, 1000 + when, 2000, 300 + when, 40 + when, 1 << when))
    clocks = sampler.between(2.5, 5.5)
    assert clocks is not None
    assert (clocks["samples"], clocks["sm_mhz"], clocks["sm_mhz_range"]) == (3, 1004, [1003, 1005])
    assert (clocks["watts"], clocks["celsius"], clocks["limits"]) == (304, 45, hex(0b111000))
    assert sampler.between(20, 30) is None
