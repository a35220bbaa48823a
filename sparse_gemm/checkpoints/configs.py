"""config.json of a converted folder: what a loader of the new format looks for in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparse_gemm.checkpoints.formats.ours import FORMAT_VERSION

__all__ = ["converted_config"]


def converted_config(
    config: Mapping[str, Any], to: str, kinds: set[tuple[str, int | None]], dense: list[str]
) -> dict[str, Any]:
    """A config for the weights as they are now.

    Args:
        config: the source's.
        to: the format's name.
        kinds: dtype and group size of the weights that are in it (None: no groups).
        dense: parameters that stayed dense: compressed-tensors wants their modules named.
    """
    rest = {key: value for key, value in config.items() if key != "quantization_config"}
    quantization = _quantization(to, kinds, dense)
    return rest if quantization is None else {**rest, "quantization_config": quantization}


def _quantization(
    to: str, kinds: set[tuple[str, int | None]], dense: list[str]
) -> dict[str, Any] | None:
    if to == "sparse_gemm":
        return {"quant_method": "sparse_gemm", "format_version": FORMAT_VERSION}
    ignored = [name.removesuffix(".weight") for name in dense]
    if to in ("sparse-24-bitmask", "sparse-bitmask"):
        return {
            "quant_method": "compressed-tensors",
            **_naive_quantized(kinds, ignored),
            "sparsity_config": {
                "format": to,
                "sparsity_structure": "2:4",
                "global_sparsity": 0.5,
                "targets": ["Linear"],
                "ignore": ignored,
            },
        }
    if to == "marlin-24":
        return {
            "quant_method": "compressed-tensors",
            "format": "marlin-24",
            "config_groups": _scheme(kinds),
            "ignore": ignored,
        }
    if to == "gptq-marlin-24":
        dtype, group_size = max(kinds, default=("int4", None), key=str)
        return {
            "quant_method": "gptq",
            "checkpoint_format": "marlin_24",
            "bits": int(dtype.removeprefix("int")),
            "group_size": group_size or -1,
            "desc_act": False,
            "sym": True,
        }
    return None


def _naive_quantized(kinds: set[tuple[str, int | None]], ignored: list[str]) -> dict[str, Any]:
    """What says that elements have scales; of floats nothing, not even that they are dense."""
    groups = _scheme(kinds)
    if not groups:
        return {}
    return {"format": "naive-quantized", "config_groups": groups, "ignore": ignored}


def _scheme(kinds: set[tuple[str, int | None]]) -> dict[str, Any]:
    """compressed-tensors' config_groups for the quantised kinds."""
    groups: dict[str, Any] = {}
    for dtype, group_size in sorted(kinds, key=str):
        if dtype in ("float32", "float16", "bfloat16"):
            continue
        groups[f"group_{len(groups)}"] = {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 4 if dtype == "int4" else 8,
                "type": "int" if dtype.startswith("int") else "float",
                "symmetric": True,
                "strategy": "channel" if group_size is None else "group",
                "group_size": group_size,
            },
        }
    return groups
