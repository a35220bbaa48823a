"""Joules a call: each way runs on end, in turns with the others, while power is read."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sparse_gemm.bench.devices import Device, Replay

if TYPE_CHECKING:
    from sparse_gemm.bench.measure import Measurement

_ROUNDS = 2
_BATCH_SECONDS = 0.01  # of calls between two looks at the clock
_SETTLED = 0.3  # of a run, after which power is that of the run: clocks and readings lag


def add(
    device: Device, replays: Mapping[str, Replay], how: Measurement, record: dict[str, Any]
) -> None:
    """Adds to each variant its `energy`, and to the record why there is none."""
    if device.sampler is None:
        record["energy_absent"] = device.energy_absent
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in replays}
    for _ in range(_ROUNDS):
        for name, replay in replays.items():
            run = _sustained(device, replay, how.energy_seconds / _ROUNDS)
            if run is not None:
                found[name].append(run)
    for name, runs in found.items():
        if runs:
            record["variants"][name]["energy"] = {
                key: statistics.fmean(run[key] for run in runs) for key in runs[0]
            }
        else:
            record["energy_absent"] = f"no reading of power: {device.sampler.source}"
    baseline = record["variants"].get(record["baseline"], {}).get("energy")
    for variant in record["variants"].values():
        if baseline is not None and "energy" in variant:
            joules = variant["energy"]["joules_per_call"]
            variant["energy"]["per_watt_over_dense"] = baseline["joules_per_call"] / joules


def _sustained(device: Device, replay: Replay, seconds: float) -> dict[str, float] | None:
    """One run; None if power was not read in it."""
    begin = time.monotonic()
    replay(0)
    device.synchronize()
    batch = max(1, round(_BATCH_SECONDS / max(time.monotonic() - begin, 1e-6)))
    begin, calls = time.monotonic(), 0
    while time.monotonic() - begin < seconds:
        for _ in range(batch):
            replay(calls)
            calls += 1
        device.synchronize()
    end = time.monotonic()
    assert device.sampler is not None
    clocks = device.sampler.between(begin + _SETTLED * (end - begin), end)
    if clocks is None:
        return None
    each = (end - begin) / calls
    return {
        "seconds_per_call": each,
        "watts": clocks["watts"],
        "joules_per_call": clocks["watts"] * each,
        "sm_mhz": clocks["sm_mhz"],
    }
