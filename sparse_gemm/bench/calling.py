"""What a call costs when there is nothing to compute; and what memory gives."""

from __future__ import annotations

import torch
from torch.nn import functional

import sparse_gemm as sg
from sparse_gemm.bench.devices import COPIED_BYTES
from sparse_gemm.bench.names import OURS
from sparse_gemm.bench.ways import Call, Subject, Way
from sparse_gemm.bench.weights import eps_of

CALLS = 1000  # a sample is then some milliseconds long


def function_ways() -> list[Way]:
    """With a bias."""
    torch_way = Way("torch.nn.functional.linear", "dense", _torch, CALLS)
    return [Way(OURS, "ours", _ours, CALLS), torch_way]


def layer_ways() -> list[Way]:
    """SparseLinear against nn.Linear, with a bias."""
    return [Way(OURS, "ours", _layer, CALLS), Way("torch.nn.Linear", "dense", _module, CALLS)]


def bandwidth_ways() -> list[Way]:
    """Reading, and copying, far more than any cache holds."""
    return [Way("read", "ceiling", _read), Way("copy", "ceiling", _copy)]


def _bias(subject: Subject) -> torch.Tensor:
    return subject.device.empty((subject.weights.m,), subject.weights.operands.y).fill_(0)


def _ours(subject: Subject) -> Call:
    x, a, bias = subject.x, subject.weights.compressed[0], _bias(subject)
    backend = subject.device.backend
    eps = eps_of(x.dtype)
    return Call(lambda _: sg.linear(x, a, bias, backend=backend), a.nbytes, eps)


def _torch(subject: Subject) -> Call:
    x, w, bias = subject.x, subject.weights.dense[0], _bias(subject)
    return Call(lambda _: functional.linear(x, w, bias), w.nbytes, eps_of(x.dtype))


def _linear(subject: Subject) -> torch.nn.Linear:
    m, k = subject.weights.m, subject.weights.k
    linear = torch.nn.Linear(k, m, device=subject.x.device, dtype=subject.x.dtype)
    linear.weight.data, linear.bias.data = subject.weights.dense[0], _bias(subject)
    return linear


def _layer(subject: Subject) -> Call:
    layer = sg.SparseLinear.from_linear(_linear(subject), backend=subject.device.backend)
    x = subject.x
    return Call(lambda _: layer(x), layer.compressed.nbytes, eps_of(x.dtype))


def _module(subject: Subject) -> Call:
    linear, x = _linear(subject), subject.x
    return Call(lambda _: linear(x), linear.weight.nbytes, eps_of(x.dtype))


def _memory(subject: Subject) -> torch.Tensor:
    count = (2**20 if subject.device.meaningless else COPIED_BYTES) // 4
    return subject.device.empty((count,), torch.float32).fill_(0)


def _read(subject: Subject) -> Call:
    """A sum, on all threads, of float32: bound by memory wherever there is more than one."""
    source = _memory(subject)
    return Call(lambda _: source.sum(), moved_bytes=source.nbytes)


def _copy(subject: Subject) -> Call:
    source = _memory(subject)
    target = torch.empty_like(source)
    return Call(lambda _: target.copy_(source), moved_bytes=2 * source.nbytes)
