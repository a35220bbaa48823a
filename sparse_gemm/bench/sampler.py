"""Clocks, power and temperature of the GPU, sampled beside whatever runs on it."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

INTERVAL_SECONDS = 0.02
SMI_INTERVAL_MS = 100  # nvidia-smi takes longer to answer
SMI_FIELDS = "clocks.sm,clocks.mem,power.draw.instant,temperature.gpu,clocks_event_reasons.active"


def visible_device() -> str:
    """How nvidia-smi names the first GPU that CUDA programs see, ordered by PCI bus."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return first or "0"


class Sample(NamedTuple):
    """`when` is on the monotonic clock; `limits` is NVML's mask of what holds the clocks down."""

    when: float
    sm_mhz: float
    memory_mhz: float
    watts: float
    celsius: float
    limits: int


class Sampler:
    """Samples in a thread from `start` to `stop`; `source` says where from, or why not."""

    def __init__(self, device: str) -> None:
        """`device` is an index or a UUID, as nvidia-smi takes them."""
        self.source = "none"
        self._device = device
        self._samples: list[Sample] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """NVML if there is the package nvidia-ml-py, or else nvidia-smi."""
        target: Callable[[], None]
        try:
            target = functools.partial(self._poll, _nvml_reader(self._device))
            self.source = "NVML"
        except Exception as error:  # NVML's own exceptions: whatever it is, nvidia-smi is next
            target = self._follow_smi
            self.source = f"nvidia-smi (no NVML: {error})"
        self._thread = threading.Thread(target=target, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def add(self, sample: Sample) -> None:
        """Takes a sample into account."""
        self._samples.append(sample)

    def between(self, begin: float, end: float) -> dict[str, Any] | None:
        """Medians over a span of the monotonic clock; None if no sample falls into it."""
        samples = [sample for sample in list(self._samples) if begin <= sample.when <= end]
        if not samples:
            return None
        sm_mhz = [sample.sm_mhz for sample in samples]
        limits = 0
        for sample in samples:
            limits |= sample.limits
        return {
            "samples": len(samples),
            "sm_mhz": statistics.median(sm_mhz),
            "sm_mhz_range": [min(sm_mhz), max(sm_mhz)],
            "memory_mhz": statistics.median(sample.memory_mhz for sample in samples),
            "watts": statistics.median(sample.watts for sample in samples),
            "celsius": max(sample.celsius for sample in samples),
            "limits": hex(limits),
        }

    def _poll(self, read: Callable[[], Sample]) -> None:
        while not self._stopped.wait(INTERVAL_SECONDS):
            with contextlib.suppress(Exception):  # one that fails leaves a gap, no more
                self.add(read())

    def _follow_smi(self) -> None:
        command = ["nvidia-smi", "-i", self._device, f"--query-gpu={SMI_FIELDS}"]
        command += ["--format=csv,noheader,nounits", "-lms", str(SMI_INTERVAL_MS)]
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        except OSError as error:
            self.source = f"none ({error})"
            return
        assert process.stdout is not None
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                self.add(parse_smi(time.monotonic(), line))
            if self._stopped.is_set():
                break
        process.kill()
        process.wait()


def parse_smi(when: float, line: str) -> Sample:
    """A line of nvidia-smi's answer to SMI_FIELDS; ValueError if it is none."""
    *numbers, limits = line.strip().split(",")
    sm_mhz, memory_mhz, watts, celsius = (float(number) for number in numbers)
    return Sample(when, sm_mhz, memory_mhz, watts, celsius, int(limits.strip(), 16))


def _nvml_reader(device: str) -> Callable[[], Sample]:
    nvml: Any = importlib.import_module("pynvml")
    nvml.nvmlInit()
    is_index = device.isdigit()
    by_index, by_uuid = nvml.nvmlDeviceGetHandleByIndex, nvml.nvmlDeviceGetHandleByUUID
    handle = by_index(int(device)) if is_index else by_uuid(device)

    def read() -> Sample:
        return Sample(
            time.monotonic(),
            nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            _milliwatts(nvml, handle) / 1000,
            nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
        )

    read()  # raises here what this device does not tell
    return read


def _milliwatts(nvml: Any, handle: Any) -> float:
    """Of this instant if the driver tells it: the plain figure is the mean of a second."""
    field = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_POWER_INSTANT])[0]
    if field.nvmlReturn == nvml.NVML_SUCCESS:
        return float(field.value.uiVal)
    return float(nvml.nvmlDeviceGetPowerUsage(handle))
