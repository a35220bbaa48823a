"""Compressing a dense matrix: ours, torch's converters, and copying it as a measure."""

from __future__ import annotations

from typing import Any

import torch
from torch.sparse import _semi_structured_conversions

import sparse_gemm as sg
from sparse_gemm.bench.devices import CudaDevice
from sparse_gemm.bench.names import OURS
from sparse_gemm.bench.ways import Call, Subject, Way

PRUNING = "sparse_gemm, pruning"
COPY = "copy"


def ways(device_kind: str) -> list[Way]:
    """The baseline is torch's converter, which makes what its CUTLASS kernels take."""
    every = [
        Way(OURS, "ours", _compress),
        Way(PRUNING, "ours", _prune),
        Way("torch's converter", "dense", _converter),
        Way(COPY, "ceiling", _copy),
    ]
    return [*every, Way("cuSPARSELt", "sparse", _cusparselt)] if device_kind == "cuda" else every


def _moved(subject: Subject) -> int:
    """Read once dense, written once compressed."""
    return int(subject.weights.dense[0].nbytes + subject.weights.compressed[0].nbytes)


def _compress(subject: Subject) -> Call:
    """Of a matrix that is 2:4 already."""
    dense, pattern = subject.weights.dense, subject.weights.operands.pattern
    backend = subject.device.backend
    return Call(
        lambda i: sg.compress(dense[i % len(dense)], pattern=pattern, backend=backend),
        moved_bytes=_moved(subject),
    )


def _prune(subject: Subject) -> Call:
    """Of one that is not: pruned on the way."""
    weights, backend = subject.weights, subject.device.backend
    unpruned = [weights.unpruned.clone() for _ in weights.dense]
    pattern = weights.operands.pattern
    return Call(
        lambda i: sg.compress(
            unpruned[i % len(unpruned)], pattern=pattern, policy="prune", backend=backend
        ),
        moved_bytes=_moved(subject),
    )


def _converter(subject: Subject) -> Call:
    convert: Any = _semi_structured_conversions.sparse_semi_structured_from_dense_cutlass
    dense = subject.weights.dense
    return Call(lambda i: convert(dense[i % len(dense)]), moved_bytes=_moved(subject))


def _copy(subject: Subject) -> Call:
    """Bytes read and written: all of them, twice."""
    dense = subject.weights.dense
    target = torch.empty_like(dense[0])
    return Call(lambda i: target.copy_(dense[i % len(dense)]), moved_bytes=2 * dense[0].nbytes)


def _cusparselt(subject: Subject) -> Call:
    device: CudaDevice = subject.device  # type: ignore[assignment]
    dense = subject.weights.dense
    return Call(lambda i: device.cslt_compress(dense[0]), moved_bytes=_moved(subject))
