"""Makers of 2:4 linear layers for the torch tests; nothing here uses the package under test."""

from __future__ import annotations

import torch

GROUP, KEPT = 4, 2


def random_mask(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """bool [rows, columns] with at most two True in each aligned group of four along a row."""
    groups = -(-columns // GROUP)
    order = torch.rand(rows, groups, GROUP, generator=generator).argsort(dim=-1)
    return (order < KEPT).reshape(rows, -1)[:, :columns]


def masked_linear(
    in_features: int,
    out_features: int,
    *,
    bias: bool = True,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    integers: bool = False,
) -> torch.nn.Linear:
    """A torch.nn.Linear whose weight is 2:4 sparse; with small integers, sums are exact."""
    generator = torch.Generator().manual_seed(seed)
    linear = torch.nn.Linear(in_features, out_features, bias=bias, dtype=dtype)
    with torch.no_grad():
        for parameter in linear.parameters():
            drawn = (
                torch.randint(-4, 5, parameter.shape, generator=generator)
                if integers
                else torch.randn(parameter.shape, generator=generator)
            )
            parameter.copy_(drawn)
        linear.weight.mul_(random_mask(out_features, in_features, generator))
    return linear


def random_input(
    *shape: int, dtype: torch.dtype = torch.float32, seed: int = 1, integers: bool = False
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if integers:
        return torch.randint(-4, 5, shape, generator=generator).to(dtype)
    return torch.randn(shape, generator=generator).to(dtype)


def worst_error(y: torch.Tensor, linear: torch.nn.Linear, x: torch.Tensor) -> float:
    """Largest distance of y from linear(x) computed in float64."""
    bias = None if linear.bias is None else linear.bias.double()
    exact = torch.nn.functional.linear(x.double(), linear.weight.double(), bias)
    return float((y.double() - exact).abs().max()) if y.numel() else 0.0
