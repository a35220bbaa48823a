"""Products on a GPU: ours, cuBLAS, cuSPARSELt and CUTLASS through torch, and torchao's."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from sparse_gemm.bench.devices import CudaDevice
from sparse_gemm.bench.peers_cpu import ours
from sparse_gemm.bench.ways import AbsentError, Call, Subject, Way
from sparse_gemm.bench.weights import eps_of, rounding_of

DENSE = "torch dense"
# cuSPARSELt and torch's CUTLASS kernels want tokens in such multiples; torch's own wrapper pads.
_CSLT_TOKENS = {torch.int8: 16, torch.float8_e4m3fn: 16}
_CUTLASS_TOKENS = {torch.int8: 16, torch.float32: 4}
_PLAIN_TOKENS = 8
_INT_MM_TOKENS, _INT_MM_FEWEST = 8, 24  # torch._int_mm takes more than 16


def ways() -> list[Way]:
    """For products of any type, which decides what each of them does."""
    return [
        ours(),
        Way(DENSE, "dense", _dense),
        Way("cuSPARSELt", "sparse", _cusparselt),
        Way("CUTLASS", "sparse", _cutlass),
        Way("torchao", "sparse", _torchao),
    ]


def _device(subject: Subject) -> CudaDevice:
    return cast(CudaDevice, subject.device)


def _padded(x: Tensor, tokens: int) -> Tensor:
    """With zeros to a multiple of tokens."""
    missing = -len(x) % tokens
    return functional.pad(x.view(torch.int8), (0, 0, 0, missing)).view(x.dtype) if missing else x


def _dense(subject: Subject) -> Call:
    """cuBLAS in the same type; for weight-only types in the activations', as it would be run."""
    operands, x, n = subject.weights.operands, subject.x, len(subject.x)
    w = subject.weights.dense[0]
    if operands.is_weight_only:
        w = w.to(operands.x)
    if operands.name == "int8":
        x = _padded(x, _INT_MM_FEWEST if n < _INT_MM_FEWEST else _INT_MM_TOKENS)
        return Call(lambda _: torch._int_mm(x, w.t())[:n], w.nbytes, 0.0)
    if operands.name == "float8_e4m3fn":
        device, one = _device(subject), subject.device.empty((1,), torch.float32).fill_(1)
        return Call(lambda _: device.scaled_mm(x, w, (one, one)), w.nbytes, eps_of(torch.bfloat16))
    return Call(lambda _: functional.linear(x, w), w.nbytes, rounding_of(operands))


def _cusparselt(subject: Subject) -> Call:
    """With the algorithm that its own search finds; tokens are padded before, not in the time."""
    operands, device = subject.weights.operands, _device(subject)
    if operands.is_weight_only or operands.name == "tf32":
        raise AbsentError(f"torch's cuSPARSELt does not multiply {operands.name}")
    n, w = len(subject.x), subject.weights.dense[0]
    x = _padded(subject.x, _CSLT_TOKENS.get(w.dtype, _PLAIN_TOKENS))
    packed = device.cslt_compress(w)
    out = {torch.int8: torch.int32, torch.float8_e4m3fn: torch.bfloat16}.get(w.dtype)
    found = device.cslt_search(packed, x, out)
    return Call(
        lambda _: device.cslt_mm(packed, x, out, found)[:n],
        packed.nbytes,
        rounding_of(operands),
        figures={"algorithm": found, "padded_tokens": len(x)},
    )


def _cutlass(subject: Subject) -> Call:
    """torch's own CUTLASS kernels (capability 8.x); tokens are padded before."""
    operands, device = subject.weights.operands, _device(subject)
    if operands.is_weight_only or operands.name == "float8_e4m3fn":
        raise AbsentError(f"torch's CUTLASS kernels do not multiply {operands.name}")
    n, w = len(subject.x), subject.weights.dense[0]
    x = _padded(subject.x, _CUTLASS_TOKENS.get(w.dtype, _PLAIN_TOKENS))
    packed, meta = device.cutlass_compress(w)
    return Call(
        lambda _: device.cutlass_mm(packed, meta, x)[:n],
        packed.nbytes + meta.nbytes,
        rounding_of(operands),
        figures={"padded_tokens": len(x)},
    )


def _torchao(subject: Subject) -> Call:
    """torchao's 2:4 kernel for fp8 on Hopper; newer versions have dropped it."""
    operands = subject.weights.operands
    if operands.name != "float8_e4m3fn":
        raise AbsentError(f"torchao has no 2:4 kernel for {operands.name}")
    try:
        from torchao import ops  # type: ignore[import-not-found]

        compress = ops.to_sparse_semi_structured_cutlass_sm9x_f8
        linear = ops.rowwise_scaled_linear_sparse_cutlass_f8f8
    except (ImportError, AttributeError) as error:
        raise AbsentError(f"torchao with 2:4 kernels is not installed: {error}") from error
    x, empty = subject.x, subject.device.empty
    w, meta = compress(subject.weights.dense[0])
    x_scale = empty((len(x),), torch.float32).fill_(1)
    w_scale = empty((subject.weights.m,), torch.float32).fill_(1)
    return Call(
        lambda _: linear(x, x_scale, w, meta, w_scale, None, torch.bfloat16),
        w.nbytes + meta.nbytes,
        eps_of(torch.bfloat16),
    )
