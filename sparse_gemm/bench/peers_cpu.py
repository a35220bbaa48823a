"""Products on a CPU: ours, torch's dense ones of every type, OpenBLAS, oneDNN's packed int8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import sparse_gemm as sg
from sparse_gemm.bench.names import OURS
from sparse_gemm.bench.ways import AbsentError, Call, Subject, Way
from sparse_gemm.bench.weights import eps_of, rotate, rounding_of

# torch's threads spin after each operation; a sample of another library's begins when they sleep.
_SETTLE_SECONDS = 0.02
_ZERO_POINT = 128  # of int8 as uint8


def ways(type_name: str) -> list[Way]:
    """For products of a type; the fastest dense one is the baseline."""
    if type_name == "int8":
        return [ours(), Way("torch._int_mm", "dense", _int_mm), Way("oneDNN", "dense", _onednn)]
    if type_name == "float32":  # 16-bit types would not give its precision
        return [ours(), dense(torch.float32), Way("OpenBLAS", "dense", _openblas)]
    return [ours(), *(dense(dtype) for dtype in (torch.bfloat16, torch.float16, torch.float32))]


def ours() -> Way:
    """sparse_gemm.linear, on any device."""

    def make(subject: Subject) -> Call:
        weights, x = subject.weights, subject.x
        operands, scales, backend = weights.operands, weights.scales, subject.device.backend
        compressed, count = weights.compressed, len(weights.compressed)
        if operands.is_weight_only:
            scales = {name: scale for name, scale in scales.items() if name == "w_scale"}

        def run(round_idx: int) -> Tensor:
            y: Tensor = sg.linear(
                x,
                compressed[round_idx % count],
                out_dtype=operands.y,
                backend=backend,
                **scales,
            )
            return y

        return Call(run, compressed[0].nbytes, rounding_of(operands))

    return Way(OURS, "ours", make)


def dense(dtype: torch.dtype) -> Way:
    """torch's dense product in a type that may be another than the case's: the weight and the
    activations are converted beforehand."""
    name = str(dtype).removeprefix("torch.")

    def make(subject: Subject) -> Call:
        copies = subject.weights.converted(dtype)
        w, x = rotate(copies), subject.x.to(dtype)
        return Call(lambda i: functional.linear(x, w(i)), copies[0].nbytes, eps_of(dtype))

    return Way(f"torch {name}", "dense", make)


def _openblas(subject: Subject) -> Call:
    """NumPy's matmul, whose library is OpenBLAS in the wheels of PyPI."""
    copies = [w.numpy() for w in subject.weights.dense]
    x = subject.x.numpy()

    def run(round_idx: int) -> Tensor:
        return torch.from_numpy(x @ copies[round_idx % len(copies)].T)

    return Call(run, copies[0].nbytes, eps_of(torch.float32), settle_seconds=_SETTLE_SECONDS)


def _int_mm(subject: Subject) -> Call:
    """int32 results, without scales."""
    w, x = rotate(subject.weights.dense), subject.x
    return Call(lambda i: torch._int_mm(x, w(i).t()), w(0).nbytes, 0.0)


def _onednn(subject: Subject) -> Call:
    """The quantised linear of torch's compiler, weights packed beforehand.

    Activations are uint8 with a zero point, as torch's quantisers make them for a CPU: for int8
    ones oneDNN has no kernel and takes its reference code, hundreds of times slower.
    """
    try:
        prepack: Callable[..., Tensor] = torch.ops.onednn.qlinear_prepack
        linear: Callable[..., Tensor] = torch.ops.onednn.qlinear_pointwise
    except AttributeError as error:
        raise AbsentError(f"this torch has no oneDNN: {error}") from error
    x, m = (subject.x.to(torch.int16) + _ZERO_POINT).to(torch.uint8), subject.weights.m
    packed = [prepack(w, [len(x), x.shape[1]]) for w in subject.weights.dense]
    scale, zero = torch.ones(m), torch.zeros(m, dtype=torch.int64)
    end: tuple[Any, ...] = (None, 1.0, 0, torch.float32, "none", [], "")

    def run(round_idx: int) -> Tensor:
        w = packed[round_idx % len(packed)]
        return linear(x, 1.0, _ZERO_POINT, w, scale, zero, *end)

    return Call(run, subject.weights.dense[0].nbytes, eps_of(torch.float32))
