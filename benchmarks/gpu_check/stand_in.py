"""`python -m sparse_gemm.bench` on the emulated GPU, with stand-ins for what only a GPU has.

Everything that measures runs as it will on a GPU, with host tensors; torch's CUDA libraries are
stood in for by dense products on the CPU. Times mean nothing, and the documents say so.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_check import emulation
from benchmarks.gpu_check.device import MEANINGLESS
from sparse_gemm import _C
from sparse_gemm.bench import cli
from sparse_gemm.bench.devices import CudaDevice, Device, Replay
from sparse_gemm.bench.sampler import Sampler


class StandInSampler(Sampler):
    """Always the same clocks and power."""

    def __init__(self) -> None:
        """Samples nothing."""
        super().__init__("0")
        self.source = "a stand-in: made up"

    def between(self, begin: float, end: float) -> dict[str, Any] | None:
        """As if sampled once."""
        fixed = {"sm_mhz": 1000.0, "memory_mhz": 1000.0, "watts": 100.0, "celsius": 50.0}
        return {"samples": 1, **fixed, "sm_mhz_range": [1000.0, 1000.0], "limits": "0x0"}


class StandIn(CudaDevice):
    """The emulated device; its arrays lie on the host."""

    backend = "cuda"
    meaningless = MEANINGLESS
    empty = Device.empty
    normal = Device.normal
    flush = Device.flush
    synchronize = Device.synchronize
    seconds = Device.seconds

    def __init__(self) -> None:
        """No torch.cuda is asked."""
        self.sampler = StandInSampler()
        self._dense: dict[int, Tensor] = {}  # what was compressed, by the result's address

    def prepare(self, call: Replay) -> tuple[Replay, str]:
        """Nothing is captured."""
        return call, "eager (no graph: emulated)"

    def facts(self) -> dict[str, Any]:
        """Those of the device that the emulator stands in for."""
        props = _C.cuda_device(0)
        capability = ".".join(map(str, props.capability))
        return {"name": props.name, "compute_capability": capability, "sms": props.sm_count}

    def scaled_mm(self, x: Tensor, w: Tensor, scales: tuple[Tensor, Tensor]) -> Tensor:
        """In float32."""
        scale = scales[0] * scales[1]
        return (x.float() @ w.float().t() * scale).to(torch.bfloat16)

    def cslt_compress(self, w: Tensor) -> Tensor:
        """As many bytes as cuSPARSELt's; what they are of is remembered."""
        packed = torch.empty(w.numel() * 9 // 16, dtype=w.dtype)
        self._dense[packed.data_ptr()] = w
        return packed

    def cslt_search(self, packed: Tensor, x: Tensor, dtype: torch.dtype | None) -> int:
        """There is one algorithm."""
        return 0

    def cslt_mm(self, packed: Tensor, x: Tensor, dtype: torch.dtype | None, found: int) -> Tensor:
        """In float64, rounded once."""
        y = x.double() @ self._dense[packed.data_ptr()].double().t()
        return y.to(dtype or x.dtype)

    def cutlass_compress(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Metadata is not made."""
        return self.cslt_compress(w), torch.empty(0, dtype=torch.int16)

    def cutlass_mm(self, packed: Tensor, meta: Tensor, x: Tensor) -> Tensor:
        """As cuSPARSELt's; int8 gives int32."""
        return self.cslt_mm(packed, x, torch.int32 if x.dtype is torch.int8 else None, 0)


def find(kind: str) -> Device:
    """The CPU as well is measured for show alone."""
    device = Device() if kind == "cpu" else StandIn()
    device.meaningless = MEANINGLESS
    return device


def main() -> int:
    """The command line of `bench`, whose devices are this one."""
    if not emulation.install_if_emulated():
        print("stand_in: no emulated device: start it with emulator/run", file=sys.stderr)
        return 2
    torch.set_float32_matmul_precision("high")  # else float32 is not multiplied as tf32
    return cli.main(find=find)


if __name__ == "__main__":
    sys.exit(main())
