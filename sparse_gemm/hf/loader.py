"""Loader: 2:4 weights into a model that transformers fills with the rest.

Before transformers reads anything, `prepare` takes out of the model, which is on the meta device,
every parameter that a layer of ours will hold; transformers then finds no place for their tensors,
and reads all others as ever. Afterwards `fill` puts the layers in, one weight at a time.
"""

from __future__ import annotations

import logging
import re
from typing import Any

import torch
from torch import Tensor

from sparse_gemm.checkpoints.checkpoint import Checkpoint
from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats import Decoded
from sparse_gemm.checkpoints.formats.dense import DENSE
from sparse_gemm.checkpoints.formats.ours import OURS
from sparse_gemm.checkpoints.weight import Weight
from sparse_gemm.hf.experts import reason_against, use_sparse_experts
from sparse_gemm.hf.mapping import NameMap, Target
from sparse_gemm.hf.matrices import dense_of, layers_of, read_target, tensor_of
from sparse_gemm.nn import SparseLinear
from sparse_gemm.nn.swap import SparsifyEntry, SparsifyReport, Survey

__all__ = ["Loader"]

_NOT_2_OF_4 = "its weight is not 2:4"
_logger = logging.getLogger("sparse_gemm")


class Loader:
    """Loads one checkpoint into one model.

    Attributes:
        report: what became of each linear layer and each stack of experts; after `fill`.
    """

    def __init__(
        self,
        model: Any,
        checkpoint: Checkpoint,
        *,
        dtype: torch.dtype,
        device: torch.device,
        is_ours: bool,
        is_served: bool,
    ) -> None:
        """Takes the model on the meta device, whole.

        Args:
            model: a transformers model; it is changed.
            checkpoint: the same that transformers will read.
            dtype: what the model computes in.
            device: where its weights will be.
            is_ours: only our own form is compressed; what is dense in the checkpoint stays so.
            is_served: transformers reads LazyTensors, which make any parameter dense.
        """
        self.model, self.checkpoint = model, checkpoint
        self.device = device
        self.report = SparsifyReport()
        self._plan = [
            (re.compile(name.replace("*", ".*")), as_what)
            for name, as_what in model._get_dtype_plan(dtype).items()
        ]
        self._is_served = is_served
        self._found = {
            entry.param: (file_format, entry)
            for file_format, entry in checkpoint.find()
            if file_format is OURS or not is_ours
        }
        self._shapes: dict[str, list[int]] = {}
        self._dtypes: dict[str, torch.dtype] = {}
        self._taken: list[Target] = []  # what `prepare` took out of the model
        self._tied: list[Target] = []  # what is still there, and `fill` makes dense
        self._reasons: dict[str, str] = {}
        self._unfilled: list[str] = []

    def prepare(self) -> None:
        """Takes out what `fill` will bring.

        Raises:
            CheckpointError: a compressed parameter would have to be rearranged while it is loaded.
        """
        names, known = self._names(), self.model.state_dict()
        rules = NameMap(self.model)
        survey = Survey(self.model)
        for target in rules.targets(names, known):
            sources = [self._found[name][0] for name in target.sources if name in self._found]
            if not sources:
                continue
            self._shapes[target.name] = list(known[target.name].shape)
            reason = self._reason_against(target, survey)
            if not reason:
                self._take(target, known[target.name])
                continue
            self._reasons[target.name] = reason
            if not self._is_served and any(source is not DENSE for source in sources):
                self._make_dense(target, known[target.name])
        self._silence(rules)

    def fill(self) -> None:
        """Puts the layers in.

        Raises:
            CheckpointError: a weight is damaged, or of another shape than the model's.
        """
        entries = {target.name: self._fill(target) for target in self._taken}
        for target in self._tied:
            dense = tensor_of(dense_of(self._read(target)))
            self.model.get_parameter(target.name).data.copy_(dense)
        if self._unfilled:
            _logger.warning("biases that the checkpoint lacks are zero: %s", self._unfilled)
        self.report = SparsifyReport(tuple(self._entries(entries)))

    def _names(self) -> list[str]:
        return [*self._found, *self.checkpoint.outside(self._found.values())]

    def _reason_against(self, target: Target, survey: Survey) -> str:
        """Why no layer of ours can hold this parameter, in words; empty if one can."""
        if not target.moves_rows:
            return "it is rearranged when it is loaded, by more than moving rows"
        if other := self._tied_with(target.name):
            return f"its weight is shared with {other}"
        path, _, name = target.name.rpartition(".")
        module = self.model.get_submodule(path)
        if isinstance(module, torch.nn.Linear):
            return survey.reason_in_structure(module) if name == "weight" else "it is no weight"
        if getattr(module, name).ndim == 3:
            return reason_against(module, name)
        return f"it is a parameter of a {type(module).__name__}, which is no torch.nn.Linear"

    def _tied_with(self, name: str) -> str:
        """A parameter that is the same as this one; empty if there is none."""
        tied: dict[str, str] = self.model.all_tied_weights_keys
        return tied.get(name) or next((one for one, other in tied.items() if other == name), "")

    def _take(self, target: Target, parameter: Tensor) -> None:
        path, _, name = target.name.rpartition(".")
        module = self.model.get_submodule(path)
        del module._parameters[name]
        # For transformers' initialisation, which looks at a layer's weight, also from its parent.
        stand_in = parameter.detach()
        stand_in._is_hf_initialized = True  # type: ignore[attr-defined]
        module.__dict__[name] = stand_in
        module._is_hf_initialized = True
        self._taken.append(target)
        self._dtypes[target.name] = self._dtype_for(target.name, parameter.dtype)

    def _make_dense(self, target: Target, parameter: Tensor) -> None:
        """Of a compressed parameter that no layer holds, and that transformers cannot read."""
        if not target.moves_rows:
            raise CheckpointError(
                f"{target.sources[0]:.200} is rearranged when it is loaded, which a compressed "
                "weight cannot be: use sparse_gemm.from_pretrained"
            )
        if self._tied_with(target.name):
            self._tied.append(target)  # transformers looks at these while it loads
        else:
            self._take(target, parameter)

    def _dtype_for(self, name: str, dtype: torch.dtype) -> torch.dtype:
        """The type that the model's parameter has, or that it keeps for its precision."""
        return next((kept for pattern, kept in self._plan if pattern.search(name)), dtype)

    def _silence(self, rules: NameMap) -> None:
        """Has transformers not report what we read as unexpected or missing."""
        sources = {name for target in (*self._taken, *self._tied) for name in target.sources}
        entries = [self._found[name][1] for name in sources if name in self._found]
        parts = {part for entry in entries for part in entry.parts.values()}
        model, known = self.model, self.model.state_dict()
        unexpected = rules.unexpected(sources | parts, known)
        missing = {f"^{re.escape(target.name)}$" for target in self._tied}
        for attribute, patterns in (
            ("_keys_to_ignore_on_load_unexpected", unexpected),
            ("_keys_to_ignore_on_load_missing", missing),
        ):
            setattr(model, attribute, {*(getattr(model, attribute) or ()), *patterns})

    def _read(self, target: Target) -> Decoded:
        return read_target(self.checkpoint, target, self._found, self._shapes[target.name])

    def _fill(self, target: Target) -> SparsifyEntry:
        path, _, name = target.name.rpartition(".")
        module = self.model.get_submodule(path)
        shape, dtype = self._shapes[target.name], self._dtypes[target.name]
        weight = self._read(target)
        layers: list[SparseLinear] = []
        reason = self._reasons.get(target.name, "")
        if isinstance(weight, Weight) and not reason:
            layers, reason = layers_of(weight, dtype, self.device)
        if not layers:
            dense = tensor_of(dense_of(weight)).to(self.device, dtype)
            setattr(module, name, torch.nn.Parameter(dense))
        elif isinstance(module, torch.nn.Linear):
            self._swap(path, module, layers[0])
        else:
            use_sparse_experts(module, name, layers)
        rows, k = torch.Size(shape[:-1]).numel(), shape[-1]
        before = rows * k * dtype.itemsize
        after = sum(layer.nbytes for layer in layers) if layers else before
        name = path if isinstance(module, torch.nn.Linear) else target.name
        return SparsifyEntry(
            name, k, rows, bool(layers), "" if layers else reason or _NOT_2_OF_4, before, after
        )

    def _swap(self, path: str, linear: torch.nn.Linear, layer: SparseLinear) -> None:
        if linear.bias is not None:
            bias = linear.bias.detach()
            if not getattr(linear.bias, "_is_hf_initialized", False):
                bias.zero_()
                self._unfilled.append(f"{path}.bias")
            layer.bias = torch.nn.Parameter(bias.to(layer.dtype), requires_grad=False)
        parent, _, attribute = path.rpartition(".")
        self.model.get_submodule(parent)._modules[attribute] = layer.train(linear.training)

    def _entries(self, filled: dict[str, SparsifyEntry]) -> list[SparsifyEntry]:
        """Those of the layers, and of all that could have been one."""
        entries = list(filled.values())
        for path, module in self.model.named_modules():
            if isinstance(module, torch.nn.Linear):
                name = f"{path}.weight"
                if name not in filled:
                    entries.append(self._left(name, path, module.weight))
                continue
            for attribute, parameter in module.named_parameters(recurse=False):
                name = f"{path}.{attribute}" if path else attribute
                if name not in filled and (name in self._reasons or parameter.ndim == 3):
                    entries.append(self._left(name, name, parameter))
        return entries

    def _left(self, parameter: str, name: str, weight: Tensor) -> SparsifyEntry:
        other = self._tied_with(parameter)
        reason = f"its weight is shared with {other}" if other else "it is dense in the checkpoint"
        reason = self._reasons.get(parameter, reason)
        rows, k = weight.shape[:-1].numel(), weight.shape[-1]
        return SparsifyEntry(name, k, rows, False, reason, weight.nbytes, weight.nbytes)
