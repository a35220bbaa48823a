"""Small transformers models whose weights are 2:4, and what is asked of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    Phi3Config,
    Qwen2MoeConfig,
    T5Config,
)

import sparse_gemm as sg

SIZES: dict[str, Any] = {
    "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "initializer_range": 0.2, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
GROUPED: dict[str, Any] = {**SIZES, "num_key_value_heads": 2}
MODELS: dict[str, tuple[str, Any]] = {
    "llama": ("LlamaForCausalLM", lambda: LlamaConfig(**GROUPED, attention_bias=True)),
    "tied": ("LlamaForCausalLM", lambda: LlamaConfig(**GROUPED, tie_word_embeddings=True)),
    "fused": ("Phi3ForCausalLM", lambda: Phi3Config(**GROUPED)),
    "mixtral": ("MixtralForCausalLM", lambda: MixtralConfig(**GROUPED, num_local_experts=4)),
    "qwen-moe": (
        "Qwen2MoeForCausalLM",
        lambda: Qwen2MoeConfig(
            **GROUPED, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32,
            shared_expert_intermediate_size=48,
        ),
    ),
    "bert": ("BertModel", lambda: BertConfig(**SIZES)),
    "gpt2": (
        "GPT2LMHeadModel",
        lambda: GPT2Config(
            vocab_size=128, n_embd=64, n_layer=2, n_head=4, initializer_range=0.2, pad_token_id=0,
            bos_token_id=1, eos_token_id=2,
        ),
    ),
    "t5": (
        "T5ForConditionalGeneration",
        lambda: T5Config(
            vocab_size=128, d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4,
            feed_forward_proj="gated-gelu", decoder_start_token_id=0, tie_word_embeddings=False,
        ),
    ),
}  # fmt: skip
IDS = torch.tensor([[1, 5, 9, 4, 77], [1, 100, 3, 50, 6]])


def pruned_model(kind: str, dtype: torch.dtype = torch.float32) -> Any:
    """A model of fixed random weights, every matrix but embeddings and routers pruned to 2:4."""
    class_name, config = MODELS[kind]
    torch.manual_seed(0)
    model = getattr(transformers, class_name)(config()).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2 and not any(
            part in name for part in ("embed", "gate.weight", "wte")
        ):
            matrix = parameter.data.reshape(-1, parameter.shape[-1]).contiguous()
            parameter.data = sg.prune(matrix).reshape(parameter.shape)
    for parameter in model.parameters():  # and no buffers, which transformers keeps in float32
        parameter.data = parameter.data.to(dtype)
    return model


def save_pruned(kind: str, folder: Path, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    """Saves such a model with its zeros, and returns it."""
    model = pruned_model(kind, dtype)
    model.save_pretrained(folder, **options)
    return model


def output_of(model: Any) -> torch.Tensor:
    """Logits, or hidden states, for IDS."""
    inputs = {"input_ids": IDS}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = IDS[:, :3]
    with torch.inference_mode():
        return model(**inputs)[0]


def tokens_of(model: Any, count: int = 10) -> torch.Tensor:
    """What it says next, greedily."""
    return model.generate(IDS, max_new_tokens=count, do_sample=False)


def assert_as_accurate(model: Any, twin: Any) -> None:
    """The model's output has at most twice the error of its dense twin's, against float64."""
    if hasattr(twin, "set_experts_implementation"):
        twin.set_experts_implementation("eager")  # the others know no float64
    exact = output_of(copy.deepcopy(twin).double())
    allowed = 2 * (output_of(twin) - exact).abs().max() + 1e-6
    assert (output_of(model) - exact).abs().max() <= allowed


def sparse_layers(model: Any) -> dict[str, sg.SparseLinear]:
    return {n: m for n, m in model.named_modules() if isinstance(m, sg.SparseLinear)}


def reasons(model: Any) -> dict[str, str]:
    """Layer -> why it is dense."""
    return {entry.name: entry.reason for entry in model.hf_quantizer.report.left}
