"""transformers' side: the quantiser that its from_pretrained and save_pretrained call.

A folder of our form says `quant_method: sparse_gemm` in its config.json. Everything that such a
config may say beyond that is ignored: which files are read is transformers' choice, or the
caller's of sparse_gemm.from_pretrained, never the config's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from sparse_gemm.checkpoints.checkpoint import Checkpoint
from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats.ours import FORMAT_VERSION
from sparse_gemm.hf.loader import Loader
from sparse_gemm.hf.saving import saved_form
from sparse_gemm.nn.swap import SparsifyReport

__all__ = ["METHOD", "SparseGemmConfig", "SparseGemmQuantizer"]

METHOD = "sparse_gemm"


@register_quantization_config(METHOD)
class SparseGemmConfig(QuantizationConfigMixin):
    """`quantization_config` of a folder of our form.

    Given to AutoModel....from_pretrained(folder, quantization_config=SparseGemmConfig()) with a
    folder of dense weights, it has those compressed that are 2:4.
    """

    def __init__(
        self, format_version: int = FORMAT_VERSION, checkpoint: Checkpoint | None = None, **_: Any
    ) -> None:
        """Takes the version of the form, and, from this package alone, an open checkpoint.

        Raises:
            CheckpointError: the version is later than this package's.
        """
        if type(format_version) is not int or not 1 <= format_version <= FORMAT_VERSION:
            raise CheckpointError(
                f"the config has format_version {format_version!r:.40}; this sparse_gemm reads 1 "
                f"to {FORMAT_VERSION}: use a later one"
            )
        self.quant_method = METHOD  # type: ignore[assignment]
        self.format_version = format_version
        self.checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else None

    def __deepcopy__(self, memo: dict[int, Any]) -> SparseGemmConfig:
        """Itself, in every copy of a config that transformers makes: it is told once to let go."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """What config.json says."""
        return {"quant_method": METHOD, "format_version": self.format_version}


@register_quantizer(METHOD)
class SparseGemmQuantizer(HfQuantizer):
    """Swaps layers of a model that is being loaded, and describes them when it is saved.

    Attributes:
        report: after loading, what became of each layer; a SparsifyReport, made for print().
    """

    quantization_config: SparseGemmConfig
    requires_calibration = False

    def __init__(self, quantization_config: SparseGemmConfig, **kwargs: Any) -> None:
        """Takes what transformers gives."""
        super().__init__(quantization_config, **kwargs)
        self.report = SparsifyReport()
        self._device = torch.device("cpu")
        self._loader: Loader | None = None

    def validate_environment(self, *args: Any, **kwargs: Any) -> None:
        """Refuses a model that is spread over devices.

        Raises:
            ValueError: device_map names several, or leaves the choice to accelerate.
        """
        device_map = kwargs.get("device_map")
        if device_map is None:
            return
        devices = set(device_map.values()) if isinstance(device_map, dict) else {device_map}
        (device,) = devices if len(devices) == 1 else {""}
        if device in ("", "auto", "balanced", "balanced_low_0", "sequential", "disk"):
            raise ValueError(
                f"device_map is {device_map!r:.200}; expected one device, such as 'cuda:0': 2:4 "
                "weights are not spread over devices"
            )
        self._device = torch.device(device)

    def _process_model_before_weight_loading(self, model: Any, **kwargs: Any) -> None:
        checkpoint = self.quantization_config.checkpoint
        is_served = checkpoint is not None
        if checkpoint is None:
            files = [Path(file) for file in kwargs.get("checkpoint_files") or ()]
            if not files:
                raise CheckpointError("the model is loaded from no file: nothing is compressed")
            checkpoint = Checkpoint(files[0].parent, files=files)
        self._loader = Loader(
            model,
            checkpoint,
            dtype=kwargs.get("dtype") or torch.get_default_dtype(),
            device=self._device,
            is_ours=self.pre_quantized and not is_served,
            is_served=is_served,
        )
        self._loader.prepare()

    def _process_model_after_weight_loading(self, model: Any, **kwargs: Any) -> Any:
        if self._loader is None:
            return model
        self._loader.fill()
        self.report, self._loader = self._loader.report, None
        # The names that the model has now are what is saved, and loads as it is.
        model._weight_conversions = []
        self.quantization_config.checkpoint = None
        return model.requires_grad_(False)

    def get_state_dict_and_metadata(self, model: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """What save_pretrained writes."""
        return saved_form(model)

    def is_serializable(self) -> bool:
        """Yes."""
        return True

    @property
    def is_trainable(self) -> bool:
        """No: there is no autograd."""
        return False
