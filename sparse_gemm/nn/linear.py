"""SparseLinear: torch.nn.Linear at inference, with its weight held compressed and nowhere dense.

Shapes are torch.nn.Linear's: input [..., in_features], weight [out_features, in_features], output
[..., out_features]. The weight lives in the buffers `values` and `metadata`, and `scale` if it is
quantised: in canonical order on the CPU, packed for the kernels on a CUDA device (docs/format.md).
There is no autograd: a call that would need a gradient is an error.

A state dict speaks torch.nn.Linear's keys (`weight`, made dense for the occasion, and `bias`);
`compressed_state_dict` speaks `values`, `metadata`, `scale` and `bias` and makes nothing dense.
`load_state_dict` takes either. Compressed checkpoints are best kept as safetensors:

    safetensors.torch.save_file(sparse_gemm.compressed_state_dict(model), path)
    model.load_state_dict(safetensors.torch.load_file(path))
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Parameter

from sparse_gemm import ops
from sparse_gemm.arrays.devices import BACKENDS, storage_backend
from sparse_gemm.arrays.torch_state import autocast
from sparse_gemm.errors import SparsityError
from sparse_gemm.format.tensor import Sparse24Tensor
from sparse_gemm.gemm.epilogue import ACTIVATIONS
from sparse_gemm.nn import state_dicts
from sparse_gemm.nn.quantized import (
    check_quantized,
    compressed,
    dense_weight,
    make_bytes,
    matrix_type,
    new_scale,
    type_of_layer,
    values_dtype,
)
from sparse_gemm.nn.storage import CompressedWeight
from sparse_gemm.torch_glue import operators
from sparse_gemm.torch_glue.layer_format import (
    check_bias,
    check_choice,
    check_dtype,
    describe_violation,
    is_packed,
    stored_shapes,
)

__all__ = ["SparseLinear"]

# The nibble of an all-zero group (docs/format.md), in both halves of a byte of metadata.
_ALL_ZERO_GROUPS = 0xEE

_WEIGHT_IS_READ_ONLY = (
    "SparseLinear.weight is made from the compressed weight on demand and cannot be assigned: "
    "use load_state_dict, or make a new layer with SparseLinear.from_linear"
)

# Under one name for all devices: the question is asked at every call.
_autocast_is_on = torch._C._is_any_autocast_enabled


class SparseLinear(CompressedWeight):
    """y = act(x @ weight.T + bias): a drop-in for torch.nn.Linear at inference.

    Args:
        in_features, out_features: the logical extents of the weight [out_features, in_features];
            in_features need not be a whole number of groups.
        bias: whether there is a bias [out_features].
        device, dtype: as for torch.nn.Linear; dtype is float32, float16 or bfloat16.
        activation: None, "relu", "gelu", "gelu_tanh" or "silu", applied in the same pass.
        pattern: "2:4", or "1:2" (float32 alone).
        backend: "auto" (the input's device decides), "cpu" or "cuda".
        quantize: None, or the type of the weight where that is another than dtype: "int8", "int4",
            "float8_e4m3fn" or "float8_e5m2", with a scale for each output channel, or for each
            `group_size` (32, 64 or 128) elements of in_features. Inputs are float16 or bfloat16, on
            the CPU float32 too.
        group_size: see quantize.

    A new layer's weight is all zero: fill it with load_state_dict, or make the layer with
    `from_linear` or `from_compressed`.

    Raises:
        TypeError: dtype or pattern is not one of those above, or they do not go together.

    Attributes:
        values, metadata, scale: the compressed weight (buffers), as stored; `compressed.values` is
            in canonical order wherever it is stored. `scale` is None unless the weight is
            quantised. Only `values` changes with the dtype, and nothing of a quantised weight.
        bias: Parameter with requires_grad=False, or None.
    """

    activation: str | None
    bias: Parameter | None
    quantize: str | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        activation: str | None = None,
        pattern: str = "2:4",
        backend: str = "auto",
        quantize: str | None = None,
        group_size: int | None = None,
    ) -> None:
        """Makes an all-zero layer; the arguments are the class's."""
        super().__init__()
        dtype = dtype or torch.get_default_dtype()
        check_dtype(dtype, pattern)
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("backend", backend, BACKENDS)
        check_quantized(quantize, group_size, pattern)
        self.in_features = in_features
        self.out_features = out_features
        self.activation = activation
        self.pattern = pattern
        self.backend = backend
        self._dtype = dtype
        self.quantize = quantize
        self.group_size = group_size
        extents = (out_features, in_features)
        shapes = stored_shapes(*extents, pattern, matrix_type(quantize, dtype))
        values = torch.zeros(shapes[0], device=device, dtype=values_dtype(quantize, dtype))
        metadata = torch.full(shapes[1], _ALL_ZERO_GROUPS, device=device, dtype=torch.uint8)
        scale = new_scale(*extents, quantize, group_size, dtype, device)
        # Not persistent: the hooks below decide which keys a state dict gets.
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("metadata", metadata, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        if bias:
            zeros = torch.zeros(out_features, device=device, dtype=dtype)
            self.bias = Parameter(zeros, requires_grad=False)
        else:
            self.register_parameter("bias", None)
        self._store_for_backend()

    @classmethod
    def from_linear(
        cls,
        linear: torch.nn.Linear,
        prune: bool = False,
        *,
        activation: str | None = None,
        pattern: str = "2:4",
        backend: str = "auto",
        quantize: str | None = None,
        group_size: int | None = None,
    ) -> SparseLinear:
        """The same layer with its weight compressed; `linear` itself is left as it is.

        Args:
            linear: weight [out_features, in_features] of float32, float16 or bfloat16.
            prune: False: the weight must already fit the pattern. True: keep each group's largest
                magnitudes.
            activation, pattern, backend, quantize, group_size: as for the class; how the scales
                are found says sparse_gemm.quantize.

        Raises:
            SparsityError: the weight does not fit the pattern and prune is False; the error names
                the first violating row and group.
            TypeError: `linear` is not a torch.nn.Linear, or its dtype has no kernel.
        """
        if not isinstance(linear, torch.nn.Linear):
            raise TypeError(
                f"linear is a {type(linear).__name__}; expected a torch.nn.Linear "
                "(for a matrix that is compressed already, use SparseLinear.from_compressed)"
            )
        weight = linear.weight.detach()
        check_dtype(weight.dtype, pattern)
        check_quantized(quantize, group_size, pattern)
        try:
            a = compressed(weight, prune, pattern, storage_backend(backend), quantize, group_size)
        except SparsityError as error:
            message = (
                f"linear.weight {describe_violation(error, pattern)}: "
                "pass prune=True to keep the largest magnitudes"
            )
            raise SparsityError(
                message, row=error.row, group=error.group, values=error.values
            ) from None
        bias = None if linear.bias is None else linear.bias.detach().clone()
        layer = cls.from_compressed(
            a, bias, activation=activation, backend=backend, dtype=weight.dtype
        )
        return layer.train(linear.training)

    @classmethod
    def from_compressed(
        cls,
        a: Sparse24Tensor,
        bias: Tensor | None = None,
        *,
        activation: str | None = None,
        backend: str = "auto",
        dtype: torch.dtype | None = None,
    ) -> SparseLinear:
        """A layer around `a` [out_features, in_features], sharing its memory.

        Args:
            a: holds torch tensors: float32, float16 or bfloat16 without a scale, or 2:4 int8, int4
                or float8 with one (float32 [out_features], or for each group).
            bias: [out_features] of a floating-point type, on a's device, or None.
            activation, backend: as for the class.
            dtype: of the inputs; default a's own, for a quantised `a` the bias' or else float16.

        Raises:
            TypeError, ValueError: `a` or `bias` is not of the kind above.
        """
        if not isinstance(a, Sparse24Tensor) or not isinstance(a._values, Tensor):
            raise TypeError(
                f"a is a {type(a).__name__}; expected a Sparse24Tensor of torch tensors "
                "(sparse_gemm.compress of a torch.Tensor makes one)"
            )
        quantize = type_of_layer(a)
        out_features, in_features = a.shape
        check_bias(bias, out_features, a._values.device)
        if quantize is None:
            dtype = a._values.dtype
        elif dtype is None:
            dtype = torch.float16 if bias is None else bias.dtype
        # On the meta device nothing is allocated: the buffers are replaced at once.
        layer = cls(
            *(in_features, out_features, False, "meta", dtype),
            activation=activation,
            pattern=a.pattern,
            backend=backend,
            quantize=quantize,
            group_size=a.group_size,
        )
        layer._hold(a)
        if bias is not None:
            layer.bias = Parameter(bias.detach(), requires_grad=False)
        return layer

    @property
    def dtype(self) -> torch.dtype:
        """What the layer computes in, and the type of its dense weight."""
        return self._dtype if self.quantize is not None else self.values.dtype

    @property
    def weight(self) -> Tensor:
        """The dense weight [out_features, in_features]: a new tensor at every access."""
        if self.quantize is not None:
            return dense_weight(self.compressed, self.dtype)
        shape = (self.out_features, self.in_features)
        return operators.to_dense(self.values, self.metadata, *shape, self.pattern)

    @weight.setter
    def weight(self, value: Any) -> None:
        raise AttributeError(_WEIGHT_IS_READ_ONLY)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """As torch.nn.Module's; `weight`, which is not a parameter here, is refused."""
        if name == "weight":
            raise AttributeError(_WEIGHT_IS_READ_ONLY)
        super().register_parameter(name, param)

    def forward(self, input: Tensor) -> Tensor:
        """y [..., out_features] of input [..., in_features]; see sparse_gemm.linear.

        Under torch.autocast, input, weight and bias are rounded to its dtype, as for nn.Linear.

        Raises:
            ValueError, TypeError: shape, dtype or device of the input is not the layer's.
            RuntimeError: the input or the bias requires grad and gradients are enabled.
        """
        if torch.compiler.is_compiling() or _autocast_is_on():
            return self._forward_as_op(input)
        if type(input) is not Tensor and isinstance(input, (Tensor, torch.fx.Proxy)):
            return self._forward_as_op(input)
        bias = self._parameters["bias"]
        y = ops.linear(
            input, self.compressed, bias, activation=self.activation, backend=self.backend
        )
        return cast(Tensor, y)

    def _forward_as_op(self, input: Tensor) -> Tensor:
        """forward through torch's dispatcher: for compilers, tracers, stand-ins and autocast."""
        if not torch.compiler.is_compiling():
            _ = self.compressed  # for its look at buffers that somebody may have replaced
        values, bias, scale = self.values, self.bias, self.scale
        if not values.is_meta and torch.is_autocast_enabled(values.device.type):
            dtype = torch.get_autocast_dtype(values.device.type)
            input, bias = autocast(input, dtype), autocast(bias, dtype)
            values = values if self.quantize is not None else autocast(values, dtype)
        has_groups = self.group_size is not None
        extents = (self.out_features, self.in_features)
        return operators.call_linear(
            *(input, values, self.metadata, *extents, self.pattern, bias),
            activation=self.activation,
            backend=self.backend,
            w_scale=None if has_groups else scale,
            group_scale=scale if has_groups else None,
            group_size=self.group_size,
        )

    def extra_repr(self) -> str:
        """What print(layer) shows between the brackets."""
        parts = [
            f"in_features={self.in_features}, out_features={self.out_features}",
            f"bias={self.bias is not None}, pattern={self.pattern}, dtype={self.dtype}",
        ]
        if self.quantize is not None:
            per = "row" if self.group_size is None else f"{self.group_size}"
            parts.append(f"quantize={self.quantize} per {per}")
        if self.activation is not None:
            parts.append(f"activation={self.activation}")
        return ", ".join(parts)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SparseLinear:
        # to(), half(), cuda() and all their kind come through here. The dtype is tried first, so
        # that a layer is never left half-converted. What one device holds packed, another device
        # or another dtype may not: it goes and is changed in canonical order.
        dtype = fn(self.values.new_empty(0, dtype=self.dtype)).dtype
        check_dtype(dtype, self.pattern)
        self._buffers.update(self._canonical_buffers())
        quantized = {} if self.quantize is None else make_bytes(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, native in quantized.items():
            self._buffers[name] = cast(Tensor, self._buffers[name]).view(native)
        self._dtype = dtype
        self._store_for_backend()
        return self

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        if state_dicts.save_compressed.get():
            canonical = self._canonical_buffers()
            for name in ("values", "metadata", "scale"):
                part = canonical[name]
                if part is not None:
                    destination[prefix + name] = part.detach()
        else:
            destination[prefix + "weight"] = self.weight
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Loads either set of keys: all of this layer's tensors, or, if any is unfit, none."""
        assign = bool(local_metadata.get("assign_to_params_buffers", False))
        target = state_dicts.Target(
            *(self.out_features, self.in_features, self.pattern, self.values, self.bias),
            *(assign, storage_backend(self.backend), self.scale, self.group_size, self.dtype),
        )
        incoming, errors = state_dicts.read_layer(target, state_dict, prefix)
        if errors:
            error_msgs.extend(errors)
            return
        if incoming is None and strict:
            missing_keys.append(prefix + "weight")
        # torch's own part: the bias, hooks, and keys that nobody knows. It does not know ours.
        unknown: list[str] = []
        super()._load_from_state_dict(
            *(state_dict, prefix, local_metadata, strict, missing_keys, unknown, error_msgs)
        )
        ours = {prefix + name for name in state_dicts.WEIGHT_NAMES}
        unexpected_keys.extend(key for key in unknown if key not in ours)
        if incoming is not None:
            self._store(incoming, assign)

    def _store(self, a: Sparse24Tensor, assign: bool) -> None:
        if assign:
            self._hold(a)
        elif self.values.is_meta:
            message = (
                "a weight was loaded into a SparseLinear on the meta device, which holds no data: "
                "pass assign=True to load_state_dict, or call to_empty() first"
            )
            warnings.warn(message, stacklevel=2)
        else:
            self._store_for_backend()  # as `a` is stored, unless there is no weight here yet
            if is_packed(self.values) != is_packed(a._values):
                self._hold(a)
            else:
                with torch.no_grad():
                    self.values.copy_(a._values)
                    self.metadata.copy_(a._metadata)
                    scale = a._row_scale if a.group_size is None else a._group_scales
                    if self.scale is not None and scale is not None:
                        self.scale.copy_(scale)
        self._view = None
