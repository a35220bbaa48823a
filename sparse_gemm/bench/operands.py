"""Which types a product is measured in: of the weight, the activations and the result."""

from __future__ import annotations

from dataclasses import dataclass

import torch

GROUP_SIZE = 128  # of int4 weights


@dataclass(frozen=True)
class Operands:
    """One combination, under the name that it has in results.

    Attributes:
        weight: of the dense matrix; an int4 one is held as int8.
        x, y: of the activations and the result.
        weight_bits: of a dense element as it would be stored.
        pattern: as `compress` takes it.
    """

    name: str
    weight: torch.dtype
    x: torch.dtype
    y: torch.dtype
    weight_bits: float
    pattern: str = "2:4"

    @property
    def is_weight_only(self) -> bool:
        """Whether the weight becomes the activations' type before it is multiplied."""
        return self.weight is torch.int8 and self.x is not torch.int8

    @property
    def is_int4(self) -> bool:
        """Whether the weight has 4 bits, and scales of groups."""
        return self.name.startswith("int4")


_INT4_BITS = 4 + 16 / GROUP_SIZE

OPERANDS = {
    one.name: one
    for one in (
        Operands("float16", torch.float16, torch.float16, torch.float16, 16),
        Operands("bfloat16", torch.bfloat16, torch.bfloat16, torch.bfloat16, 16),
        Operands("float32", torch.float32, torch.float32, torch.float32, 32),
        Operands("tf32", torch.float32, torch.float32, torch.float32, 32, "1:2"),
        Operands("int8", torch.int8, torch.int8, torch.float32, 8),
        Operands(*("float8_e4m3fn", torch.float8_e4m3fn, torch.float8_e4m3fn, torch.bfloat16, 8)),
        Operands("int8_weight", torch.int8, torch.float16, torch.float16, 8),
        Operands("int4_weight", torch.int8, torch.float16, torch.float16, _INT4_BITS),
    )
}
