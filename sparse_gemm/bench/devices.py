"""Where things are measured: a CPU, or a GPU with torch.

What only a GPU can do, and what of torch works on nothing else, is in these classes, so that all
that measures with them runs without a GPU on a stand-in (benchmarks/gpu_check/stand_in.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sparse_gemm.bench.sampler import Sampler, visible_device

Replay = Callable[[int], Tensor]  # computes anew, from the copies of that round; gives the result

FLUSHED_OVER_L2 = 4  # bytes read to flush L2, over its size
WARM_UP_CALLS = 3
COPIED_BYTES = 2**30  # to measure bandwidth
CALL_SAMPLES = 20


class Device:
    """A CPU; and what a GPU does otherwise.

    Attributes:
        kind: "cpu" or "cuda", which decides on types and peers.
        backend: what sparse_gemm is told.
        meaningless: why times mean nothing; None if they do.
        rotated_bytes: the dense copies of a weight take at least this much, so that a call finds
            none of it in a cache; 0: one copy, and `flush`.
        sampler: of clocks and power, or None.
        energy_absent: why no energy is measured, where there is no sampler.
    """

    kind = "cpu"
    backend = "auto"
    meaningless: str | None = None
    rotated_bytes = 2**29
    sampler: Sampler | None = None
    energy_absent = "no power is read on CPUs"

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory of the device."""
        return torch.empty(shape, dtype=dtype)

    def normal(self, shape: tuple[int, ...], seed: int) -> Tensor:
        """N(0, 1), float32."""
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    def flush(self) -> None:
        """Pushes everything else out of the cache; by rotation there is no need."""

    def synchronize(self) -> None:
        """Waits."""

    def prepare(self, call: Replay) -> tuple[Replay, str]:
        """What to time, and how it is launched: "eager" or "graph", with the reason."""
        return call, "eager"

    def seconds(self, replay: Replay, round_idx: int) -> float:
        """How long it takes where it runs."""
        begin = time.perf_counter()
        replay(round_idx)
        return time.perf_counter() - begin

    def call_seconds(self, call: Replay) -> list[float]:
        """How long the caller is busy, where that is another time; else nothing."""
        return []

    def facts(self) -> dict[str, Any]:
        """What peaks are reckoned from."""
        return {}


class CudaDevice(Device):
    """The GPU that torch uses first."""

    kind = "cuda"
    rotated_bytes = 0
    energy_absent = "the driver tells of no power"

    def __init__(self) -> None:
        """Begins to sample clocks and power."""
        properties: Any = torch.cuda.get_device_properties(0)
        self._properties = properties
        self._filler = torch.zeros(FLUSHED_OVER_L2 * properties.L2_cache_size // 4, device="cuda")
        self.sampler = Sampler(visible_device())
        self.sampler.start()

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory of the device."""
        return torch.empty(shape, dtype=dtype, device="cuda")

    def normal(self, shape: tuple[int, ...], seed: int) -> Tensor:
        """N(0, 1), float32."""
        generator = torch.Generator("cuda").manual_seed(seed)
        return torch.randn(shape, generator=generator, device="cuda")

    def flush(self) -> None:
        """Reads, as lines that were written would be written back later. It takes longer than
        Python takes to launch what comes next, which so has not to wait."""
        self._filler.sum()

    def synchronize(self) -> None:
        """Waits for the device."""
        torch.cuda.synchronize()

    def prepare(self, call: Replay) -> tuple[Replay, str]:
        """A CUDA graph of one call, if it can be captured."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_CALLS):
                call(0)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                y = call(0)
        except RuntimeError as error:
            torch.cuda.synchronize()
            return call, f"eager (no graph: {str(error).splitlines()[0]})"

        def replay(_: int) -> Tensor:
            graph.replay()
            return y

        return replay, "graph"

    def seconds(self, replay: Replay, round_idx: int) -> float:
        """On the device, between two events."""
        event: Any = torch.cuda.Event
        begin, end = event(enable_timing=True), event(enable_timing=True)
        begin.record()
        replay(round_idx)
        end.record()
        end.synchronize()
        milliseconds: float = begin.elapsed_time(end)
        return milliseconds / 1e3

    def call_seconds(self, call: Replay) -> list[float]:
        """The host's time until the call has returned, with nothing else queued."""
        samples = []
        for round_idx in range(CALL_SAMPLES):
            self.synchronize()
            begin = time.perf_counter()
            call(round_idx)
            samples.append(time.perf_counter() - begin)
        self.synchronize()
        return samples

    def facts(self) -> dict[str, Any]:
        """What peaks are reckoned from."""
        return {
            "name": self._properties.name,
            "compute_capability": f"{self._properties.major}.{self._properties.minor}",
            "sms": self._properties.multi_processor_count,
            "l2_bytes": self._properties.L2_cache_size,
        }

    # What of torch runs on a GPU alone.

    def scaled_mm(self, x: Tensor, w: Tensor, scales: tuple[Tensor, Tensor]) -> Tensor:
        """Dense fp8: x @ w.T as bfloat16."""
        scale_x, scale_w = scales
        return torch._scaled_mm(
            x, w.t(), scale_a=scale_x, scale_b=scale_w, out_dtype=torch.bfloat16
        )

    def cslt_compress(self, w: Tensor) -> Tensor:
        """cuSPARSELt's form of a 2:4 matrix."""
        if not torch.backends.cusparselt.is_available():
            raise ImportError("this torch was built without cuSPARSELt")
        return torch._cslt_compress(w)

    def cslt_search(self, packed: Tensor, x: Tensor, dtype: torch.dtype | None) -> int:
        """The fastest of cuSPARSELt's algorithms for packed @ x.T."""
        return int(
            torch._cslt_sparse_mm_search(packed, x.t(), out_dtype=dtype, transpose_result=True)
        )

    def cslt_mm(self, packed: Tensor, x: Tensor, dtype: torch.dtype | None, found: int) -> Tensor:
        """x @ A.T, row-major: the library's result, transposed by itself."""
        return torch._cslt_sparse_mm(
            packed, x.t(), out_dtype=dtype, transpose_result=True, alg_id=found
        )

    def cutlass_compress(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Values and metadata, as torch's CUTLASS kernels take them."""
        made: Any = torch.sparse.SparseSemiStructuredTensorCUTLASS.from_dense(w)
        return made.packed, made.meta

    def cutlass_mm(self, packed: Tensor, meta: Tensor, x: Tensor) -> Tensor:
        """x @ A.T."""
        return torch._sparse_semi_structured_mm(packed, meta, x.t()).t()


def find(kind: str) -> Device:
    """The device of that kind; "auto": a GPU if torch has one.

    Raises:
        RuntimeError: torch has no GPU.
    """
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return Device()
    if not torch.cuda.is_available():
        raise RuntimeError("this torch sees no CUDA device: pass --device cpu")
    torch.backends.cuda.matmul.allow_tf32 = True  # types named float32 are not measured on a GPU
    return CudaDevice()
