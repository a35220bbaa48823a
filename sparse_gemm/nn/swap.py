"""sparsify: swaps a model's torch.nn.Linear layers for SparseLinear, and says what it left and why.

A layer is left wherever something besides its own forward may read or share its weight, or where a
swap would drop something that the user has hung on it. Nothing is swapped until everything that
will be swapped has been compressed, so an error leaves the model as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from sparse_gemm.errors import SparsityError, UnsupportedError
from sparse_gemm.nn.linear import SparseLinear
from sparse_gemm.nn.quantized import check_quantized
from sparse_gemm.planning.plans import plan
from sparse_gemm.torch_glue.layer_format import check_bias, check_dtype, describe_violation

__all__ = ["SparsifyEntry", "SparsifyReport", "Survey", "sparsify"]

Filter = Callable[[str, torch.nn.Linear], bool]
Progress = Callable[[int, int, str], None]

_HOOK_TABLES = {
    "_forward_pre_hooks": "forward pre-hooks",
    "_forward_hooks": "forward hooks",
    "_backward_pre_hooks": "backward pre-hooks",
    "_backward_hooks": "backward hooks",
    "_state_dict_hooks": "state-dict hooks",
    "_state_dict_pre_hooks": "state-dict pre-hooks",
    "_load_state_dict_pre_hooks": "load-state-dict pre-hooks",
    "_load_state_dict_post_hooks": "load-state-dict post-hooks",
}
# torch.nn.TransformerEncoderLayer hands these two weights to one fused kernel (its "fast path").
_FUSED_BY_ENCODER_LAYER = ("linear1", "linear2")


@dataclass(frozen=True)
class SparsifyEntry:
    """What became of one torch.nn.Linear.

    Attributes:
        name: the layer's name in the model (the first, if it stands at several places).
        aliases: its other names.
        in_features, out_features: the extents of its weight.
        swapped: whether it is a SparseLinear now.
        reason: if not, why, in words; empty if it is.
        bytes_before, bytes_after: of its weight (dense; dense or compressed). The bias, which does
            not change, is not counted.
    """

    name: str
    in_features: int
    out_features: int
    swapped: bool
    reason: str
    bytes_before: int
    bytes_after: int
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class SparsifyReport:
    """What `sparsify` did, one entry for each torch.nn.Linear, in the model's order.

    str() is a table with a line of totals; the rest is for programs.
    """

    entries: tuple[SparsifyEntry, ...] = field(default=())

    @property
    def swapped(self) -> tuple[SparsifyEntry, ...]:
        """The entries of the layers that were swapped."""
        return tuple(entry for entry in self.entries if entry.swapped)

    @property
    def left(self) -> tuple[SparsifyEntry, ...]:
        """The entries of the layers that were not, each with its reason."""
        return tuple(entry for entry in self.entries if not entry.swapped)

    @property
    def bytes_before(self) -> int:
        """Bytes of all these layers' weights before."""
        return sum(entry.bytes_before for entry in self.entries)

    @property
    def bytes_after(self) -> int:
        """Bytes of all these layers' weights after."""
        return sum(entry.bytes_after for entry in self.entries)

    def summary(self) -> str:
        """One line: '72 of 74 Linear layers swapped; 85.1 MB -> 45.3 MB (0.53x)'."""
        before, after = self.bytes_before, self.bytes_after
        ratio = f" ({after / before:.2f}x)" if before else ""
        return (
            f"{len(self.swapped)} of {len(self.entries)} Linear layers swapped; "
            f"{_size(before)} -> {_size(after)}{ratio}"
        )

    def __str__(self) -> str:
        """An aligned table of the entries, then the summary."""
        rows: list[tuple[str, ...]] = [("layer", "in", "out", "before", "after", "")]
        rows += [_row(entry) for entry in self.entries]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = []
        for name, *numbers, note in rows:
            cells = [name.ljust(widths[0])]
            cells += [n.rjust(width) for n, width in zip(numbers, widths[1:], strict=True)]
            lines.append("  ".join([*cells, note]).rstrip())
        return "\n".join([*lines, self.summary()])


def _row(entry: SparsifyEntry) -> tuple[str, ...]:
    note = "swapped" if entry.swapped else f"left: {entry.reason}"
    if entry.aliases:
        note += f" (also {', '.join(entry.aliases)})"
    extents = (str(entry.in_features), str(entry.out_features))
    return (entry.name, *extents, _size(entry.bytes_before), _size(entry.bytes_after), note)


def _size(num_bytes: int) -> str:
    """Decimal units, as file sizes are given: 1 MB = 10**6 bytes."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes} B"


def sparsify(
    model: torch.nn.Module,
    *,
    filter: Filter | None = None,
    prune: bool = False,
    pattern: str = "2:4",
    quantize: str | None = None,
    group_size: int | None = None,
    progress: Progress | None = None,
) -> SparsifyReport:
    """Swaps, in place, every torch.nn.Linear of `model` that can be a SparseLinear.

    Args:
        model: any module that holds linear layers; it is changed.
        filter: filter(name, module) says whether to swap an eligible layer; asked once for each of
            its names, and one refusal is enough.
        prune: False: only layers whose weights already fit the pattern are swapped. True: each
            group's largest magnitudes are kept, the rest becomes zero.
        pattern: "2:4", or "1:2" (float32 alone).
        quantize, group_size: as for SparseLinear: weights become "int8", "int4", "float8_e4m3fn" or
            "float8_e5m2". Layers of float32 are quantised on the CPU alone: on a CUDA device they
            are left.
        progress: progress(done, total, name) is called after each layer has been dealt with.

    Returns:
        The report: print it, or read its entries.

    Raises:
        TypeError: `model` is not a torch.nn.Module.
        ValueError: `model` is itself a linear layer, which nobody can swap from inside.
        Whatever `filter` or `progress` raises; then nothing has been swapped.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model is a {type(model).__name__}; expected a torch.nn.Module")
    if isinstance(model, torch.nn.Linear):
        raise ValueError(
            "model is itself a linear layer, which cannot be swapped in place: use "
            "sparse_gemm.SparseLinear.from_linear(model)"
        )
    check_dtype(torch.float32, pattern)  # what is unknown is the caller's error, not a layer's
    check_quantized(quantize, group_size, pattern)
    how = {"prune": prune, "pattern": pattern, "quantize": quantize, "group_size": group_size}
    survey = Survey(model)
    replacements: dict[torch.nn.Module, SparseLinear] = {}
    entries = []
    for done, (linear, names) in enumerate(survey.linears.items(), start=1):
        layer, reason = None, survey.reason_to_leave(linear, pattern, quantize)
        if not reason and filter is not None and not all(filter(name, linear) for name in names):
            reason = "refused by the filter"
        if not reason:
            layer, reason = _compress(linear, how)
        if layer is not None:
            replacements[linear] = layer
        entries.append(_entry(linear, names, layer, reason))
        if progress is not None:
            progress(done, len(survey.linears), names[0])
    for parent in list(model.modules()):
        for attribute, child in parent._modules.items():
            if child in replacements:
                parent._modules[attribute] = replacements[child]
    return SparsifyReport(tuple(entries))


def _compress(linear: torch.nn.Linear, how: dict[str, Any]) -> tuple[SparseLinear | None, str]:
    try:
        layer = SparseLinear.from_linear(linear, **how)
        # It raises if no backend here could run the layer.
        plan(layer.compressed, x_dtype=layer.dtype)
        return layer, ""
    except SparsityError as error:
        return None, f"{describe_violation(error, how['pattern'])} (prune=True would prune it)"
    except UnsupportedError as error:
        return None, str(error)


def _entry(
    linear: torch.nn.Linear, names: list[str], layer: SparseLinear | None, reason: str
) -> SparsifyEntry:
    before = _dense_bytes(linear)
    return SparsifyEntry(
        name=names[0],
        in_features=linear.in_features,
        out_features=linear.out_features,
        swapped=layer is not None,
        reason=reason,
        bytes_before=before,
        bytes_after=before if layer is None else layer.nbytes,
        aliases=tuple(names[1:]),
    )


def _dense_bytes(linear: torch.nn.Linear) -> int:
    """Bytes of the weight, wherever a parametrization or a mask has put it."""
    own = linear._parameters.get("weight")
    parts = [tensor for name, tensor in linear.named_parameters() if name != "bias"]
    tensors = parts if own is None else [own]
    return sum(0 if torch.nn.parameter.is_lazy(tensor) else tensor.nbytes for tensor in tensors)


class Survey:
    """Who is who in a model: every linear layer, its names, and who else has a hand in it."""

    def __init__(self, model: torch.nn.Module) -> None:
        """Looks at every module of the model."""
        self.linears: dict[torch.nn.Linear, list[str]] = {}
        self._parents: dict[torch.nn.Module, list[tuple[torch.nn.Module, str, str]]] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            if isinstance(module, torch.nn.Linear):
                self.linears.setdefault(module, []).append(name)
            for attribute, child in module._modules.items():
                if isinstance(child, torch.nn.Linear):
                    self._parents.setdefault(child, []).append((module, attribute, name))
        self._partners = _find_partners(model)

    def reason_in_structure(self, linear: torch.nn.Linear) -> str:
        """Why this layer cannot be swapped, whatever its weight is; empty if it can."""
        return self._reason_in_parents(linear) or _reason_in_kind(linear)

    def reason_to_leave(self, linear: torch.nn.Linear, pattern: str, quantize: str | None) -> str:
        """Why this layer cannot be swapped, in words; empty if it can."""
        return (
            self.reason_in_structure(linear)
            or _reason_in_weight(linear, pattern, quantize)
            or self._reason_in_partners(linear)
        )

    def _reason_in_parents(self, linear: torch.nn.Linear) -> str:
        for parent, attribute, name in self._parents[linear]:
            where = name or "the model"
            if isinstance(parent, torch.nn.MultiheadAttention) and attribute == "out_proj":
                return (
                    f"{where} is a MultiheadAttention, whose forward reads out_proj.weight itself"
                )
            encoder_layer = isinstance(parent, torch.nn.TransformerEncoderLayer)
            if encoder_layer and attribute in _FUSED_BY_ENCODER_LAYER:
                return (
                    f"{where} is a TransformerEncoderLayer, whose fused fast path reads "
                    f"{attribute}.weight itself"
                )
        return ""

    def _reason_in_partners(self, linear: torch.nn.Linear) -> str:
        partners = self._partners.get(id(linear.weight), [])
        others = [name for module, name in partners if module is not linear]
        return f"its weight is shared with {' and '.join(others)}" if others else ""


def _reason_in_kind(linear: torch.nn.Linear) -> str:
    if parametrize.is_parametrized(linear):
        names = ", ".join(str(name) for name in linear.parametrizations)  # type: ignore[union-attr]
        return (
            f"it is parametrized ({names}): call "
            "torch.nn.utils.parametrize.remove_parametrizations first"
        )
    if type(linear) is not torch.nn.Linear:
        kind = type(linear)
        return f"it is a {kind.__module__}.{kind.__qualname__}, a subclass of torch.nn.Linear"
    hooks = [words for table, words in _HOOK_TABLES.items() if getattr(linear, table, None)]
    if hooks:
        advice = ""
        if "weight_orig" in linear._parameters:
            advice = " (torch.nn.utils.prune keeps its mask in one: call prune.remove first)"
        elif "weight_g" in linear._parameters:
            advice = " (weight_norm keeps its rescaling in one: call remove_weight_norm first)"
        return f"it has {' and '.join(hooks)}, which a swap would drop{advice}"
    extras = [*linear._modules, *linear._buffers, *(set(linear._parameters) - {"weight", "bias"})]
    if extras:
        return f"it holds {', '.join(sorted(extras))} besides weight and bias"
    if "forward" in vars(linear):
        return "its forward has been replaced on the object, and a swap would drop that"
    return ""


def _reason_in_weight(linear: torch.nn.Linear, pattern: str, quantize: str | None) -> str:
    weight = linear._parameters.get("weight")
    if weight is None:
        return "its weight is not a parameter of its own"
    if type(weight) is not torch.nn.Parameter or weight.layout is not torch.strided:
        kind = type(weight.data).__name__
        return f"its weight is a {kind} of layout {weight.layout}, not a plain dense tensor"
    if weight.is_meta:
        return "its weight is on the meta device and holds no data yet"
    if quantize is not None and weight.dtype is torch.float32 and weight.device.type != "cpu":
        return (
            "it is float32, and with a quantised weight it would compute with float16 or bfloat16 "
            "on this device: convert the model first"
        )
    try:
        check_dtype(weight.dtype, pattern)
        check_bias(linear.bias, linear.out_features, weight.device)
    except (TypeError, ValueError) as error:
        return f"its {error}"
    return ""


Owner = tuple[torch.nn.Module, str]  # a module and its tensor's full name


def _find_partners(model: torch.nn.Module) -> dict[int, list[Owner]]:
    """id(tensor) -> all owners of tensors that overlap it in memory, itself included.

    Overlap, not a common storage: a loader may well cut every weight from one large buffer.
    """
    owners: dict[int, list[Owner]] = {}
    spans: list[tuple[str, int, int, int]] = []  # device, begin, end, id
    for module, name, tensor in _own_tensors(model):
        if id(tensor) not in owners:
            owners[id(tensor)] = []
            extent = _memory_span(tensor)
            if extent is not None:
                spans.append((str(tensor.device), *extent, id(tensor)))
        owners[id(tensor)].append((module, name))
    partners = {key: list(found) for key, found in owners.items()}
    spans.sort()
    reaching: list[tuple[str, int, int, int]] = []  # earlier spans that may reach this far
    for span in spans:
        device, begin, _, key = span
        reaching = [other for other in reaching if other[0] == device and other[2] > begin]
        for *_, other_key in reaching:
            partners[key] += owners[other_key]
            partners[other_key] += owners[key]
        reaching.append(span)
    return partners


def _own_tensors(model: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, str, Tensor]]:
    for prefix, module in model.named_modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                yield module, f"{prefix}.{name}" if prefix else name, tensor


def _memory_span(tensor: Tensor) -> tuple[int, int] | None:
    """First and one-past-last byte that the elements occupy; None where there is no such thing."""
    plain = type(tensor) in (Tensor, torch.nn.Parameter)
    if not plain or tensor.is_meta or tensor.layout is not torch.strided or tensor.numel() == 0:
        return None
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    reach = sum((extent - 1) * stride for extent, stride in steps)
    begin = tensor.data_ptr()
    return begin, begin + (reach + 1) * tensor.element_size()
