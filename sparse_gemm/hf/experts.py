"""Mixtures of experts: a stack [E, M, K] of compressed matrices in place of a 3-D parameter.

transformers keeps a layer's experts as two parameters, gate_up_proj [E, 2I, H] (or up_proj) and
down_proj [E, H, I], and lets a registered function compute with them. Ours takes each of the two
either compressed (an ExpertStack) or as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.integrations.moe import ExpertsInterface

from sparse_gemm.nn import SparseLinear

__all__ = [
    "EXPERTS_IMPLEMENTATION",
    "ExpertStack",
    "reason_against",
    "stacked",
    "use_sparse_experts",
]

EXPERTS_IMPLEMENTATION = "sparse_gemm"


class ExpertStack(torch.nn.ModuleList):
    """One SparseLinear for each expert: stack[e](x) is x times the e-th matrix."""

    def __init__(self, layers: Iterable[SparseLinear]) -> None:
        """Takes the layers, all of one shape and type."""
        super().__init__(layers)

    @property
    def layers(self) -> list[SparseLinear]:
        """The layers, one an expert."""
        return [layer for layer in self if isinstance(layer, SparseLinear)]


def stacked(parts: Sequence[Tensor]) -> Tensor:
    """The same part of all experts' layers, [E, ...].

    No copy, as long as they lie one behind the other, as loading leaves them.
    """
    first = parts[0].contiguous()
    step = first.nbytes
    together = first.untyped_storage().nbytes() - first.storage_offset() * first.itemsize
    if together >= step * len(parts) and all(
        part.is_contiguous() and part.data_ptr() == first.data_ptr() + index * step
        for index, part in enumerate(parts)
    ):
        return first.as_strided((len(parts), *first.shape), (first.numel(), *first.stride()))
    return torch.stack([*parts])


def reason_against(module: Any, name: str) -> str:
    """Why this 3-D parameter cannot be an ExpertStack, in words; empty if it can."""
    if not isinstance(getattr(module, "is_transposed", None), bool) or not hasattr(
        module, "_apply_gate"
    ):
        kind = type(module).__name__
        return f"it is a parameter of a {kind}, whose forward is not known to take anything else"
    if name not in ("gate_up_proj", "up_proj", "down_proj"):
        return f"{name} is not one of an expert's projections"
    if module.is_transposed:
        return "its experts are stored [K, M], so that 2:4 along the last axis is not along K"
    return ""


def use_sparse_experts(module: Any, name: str, layers: Iterable[SparseLinear]) -> None:
    """Puts the layers in the place of the parameter, and our forward behind the module's."""
    setattr(module, name, ExpertStack(layers))
    module.config._experts_implementation = EXPERTS_IMPLEMENTATION


def experts_forward(
    self: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor
) -> Tensor:
    """[tokens, H] -> [tokens, H]: each token through its top_k experts, summed with their weights.

    Args:
        self: the module of the experts.
        hidden_states: [tokens, H].
        top_k_index: [tokens, top_k]; an index beyond the experts stands for none.
        top_k_weights: [tokens, top_k].
    """
    tokens, top_k = top_k_index.shape
    experts, order = top_k_index.reshape(-1).sort(stable=True)
    counts = torch.bincount(experts, minlength=self.num_experts)[: self.num_experts].tolist()
    found = hidden_states.new_zeros(tokens * top_k, hidden_states.shape[-1])
    begin = 0
    for expert, count in enumerate(counts):
        places = order[begin : begin + count]
        if count:
            found[places] = _one_expert(self, expert, hidden_states[places // top_k])
        begin += count
    weighted = found * top_k_weights.reshape(-1, 1)
    return weighted.view(tokens, top_k, -1).sum(dim=1).to(hidden_states.dtype)


def _one_expert(self: Any, expert: int, x: Tensor) -> Tensor:
    if self.has_gate:
        hidden = self._apply_gate(_project(self, "gate_up_proj", expert, x))
    else:
        hidden = self.act_fn(_project(self, "up_proj", expert, x))
    y = _project(self, "down_proj", expert, hidden)
    return self.post_expert_norm(y) if getattr(self, "has_post_expert_norm", False) else y


def _project(self: Any, name: str, expert: int, x: Tensor) -> Tensor:
    weight = getattr(self, name)
    bias = getattr(self, f"{name}_bias")[expert] if self.has_bias else None
    if isinstance(weight, ExpertStack):
        y: Tensor = weight[expert](x)  # type: ignore[operator]
        return y if bias is None else y + bias
    matrix = weight[expert].t() if self.is_transposed else weight[expert]
    return torch.nn.functional.linear(x, matrix, bias)


ExpertsInterface.register(EXPERTS_IMPLEMENTATION, experts_forward)
