"""from_pretrained: a transformers model from a folder in any format of 2:4 weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig, AutoModel, GenerationConfig, PreTrainedModel

from sparse_gemm.checkpoints.checkpoint import Checkpoint
from sparse_gemm.checkpoints.conversion import ACTIVATION_SCALES, check_none_is_foreign
from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats.dense import SKIPPED
from sparse_gemm.hf.matrices import LazyTensor
from sparse_gemm.hf.quantizer import SparseGemmConfig

__all__ = ["from_pretrained"]


def from_pretrained(
    folder: str | Path,
    *,
    model_class: Any = None,
    tile_k: int | None = None,
    skip: tuple[str, ...] = SKIPPED,
    strict: bool = True,
    **kwargs: Any,
) -> Any:
    """A transformers model whose 2:4 weights are SparseLinear layers and stay compressed.

    Every format that sparse_gemm.checkpoints reads will do, among them dense weights with zeros;
    each weight is converted as it is read. Memory is the model's compressed bytes and one weight.

    Args:
        folder: a folder with config.json and weights.
        model_class: a transformers class, or an Auto class; default the one that config.json names.
        tile_k: for CUTLASS 3.x's tensor E: the writer's tile along K (64 or 128), if known.
        skip: patterns of parameter names that are not looked at for zeros.
        strict: a model that the folder does not fill is an error; else what it lacks is random.
        **kwargs: as for transformers' from_pretrained, such as dtype, attn_implementation,
            trust_remote_code; device_map names one device.

    Returns:
        The model, in eval mode, for inference alone. `model.hf_quantizer.report` tells, printed,
        what became of each layer and why. `model.save_pretrained` writes our own form.

    Raises:
        CheckpointError: the folder is damaged, or does not fill the model.
        FileNotFoundError: there is no such folder.
    """
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise FileNotFoundError(f"{path} is no folder with a config.json")
    checkpoint = Checkpoint(path, tile_k=tile_k, skip=skip)
    remote = {key: kwargs[key] for key in ("trust_remote_code",) if key in kwargs}
    config = kwargs.pop("config", None) or AutoConfig.from_pretrained(path, **remote)
    for part in (config, config.get_text_config(decoder=True)):
        part.__dict__.pop(
            "quantization_config", None
        )  # some other library's: read is what is there
    wants_info = kwargs.pop("output_loading_info", False)
    model, info = _class_of(config, model_class).from_pretrained(
        None,
        config=config,
        state_dict=_lazy_state_dict(checkpoint),
        quantization_config=SparseGemmConfig(checkpoint=checkpoint),
        output_loading_info=True,
        **kwargs,
    )
    if strict and info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise CheckpointError(
            f"{path} does not hold {missing[0]} and {len(missing) - 1} more parameters of a "
            f"{type(model).__name__}: name another model_class, or pass strict=False"
        )
    model.config.name_or_path = str(path)
    if model.can_generate() and (path / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(path)
    return (model, info) if wants_info else model


def _class_of(config: Any, model_class: Any) -> Any:
    """The class to load: the caller's, or what that Auto class stands for, or the config's."""
    if model_class is None:
        for name in config.architectures or ():
            found = getattr(transformers, str(name), None)
            if isinstance(found, type) and issubclass(found, PreTrainedModel):
                return found
        model_class = AutoModel
    mapping = getattr(model_class, "_model_mapping", None)
    if mapping is None:
        return model_class
    if type(config) not in mapping:
        raise CheckpointError(
            f"{model_class.__name__} knows no model for {type(config).__name__}: name a model_class"
        )
    found = mapping[type(config)]
    return found[0] if isinstance(found, (tuple, list)) else found


def _lazy_state_dict(checkpoint: Checkpoint) -> dict[str, LazyTensor]:
    """Every parameter under its dense name."""
    found = {entry.param: (file_format, entry) for file_format, entry in checkpoint.find()}
    others = checkpoint.outside(found.values())
    check_none_is_foreign(others)
    names = [*found, *(name for name in others if not name.endswith(ACTIVATION_SCALES))]
    return {name: LazyTensor(checkpoint, name, found) for name in names}
