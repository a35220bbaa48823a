"""The terms of a call besides the product, checked and handed to the C++ side.

Works in M and N: `bias` and `scale_m` run along M, `scale_n` along N, `residual` and `gate` are
[M, N]. How a caller's arrays map to these, and what they are called in messages, is in `Names`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sparse_gemm import _C
from sparse_gemm.arrays import Array, ArrayKind, require_same_kind

ACTIVATIONS: dict[str | None, _C.Activation] = {
    None: _C.Activation.none,
    "relu": _C.Activation.relu,
    "gelu": _C.Activation.gelu,
    "gelu_tanh": _C.Activation.gelu_tanh,
    "silu": _C.Activation.silu,
}
ACTIVATION_CODES = {name: int(code) for name, code in ACTIVATIONS.items()}
_FLOATS = (_C.DType.float32, _C.DType.float16, _C.DType.bfloat16)


class Terms(NamedTuple):
    """What a caller gave besides the two operands."""

    bias: Array | None = None
    activation: str | None = None
    scale_m: Array | None = None
    scale_n: Array | None = None
    residual: Array | None = None
    gate: Array | None = None
    alpha: float = 1.0
    beta: float = 0.0

    def has_no_matrix_or_factor(self) -> bool:
        """Whether there are only bias, activation and scales."""
        return self.residual is self.gate is None and (self.alpha, self.beta) == (1.0, 0.0)

    def is_empty(self) -> bool:
        """Whether D is the plain product."""
        vectors = (self.bias, self.activation, self.scale_m, self.scale_n)
        return all(vector is None for vector in vectors) and self.has_no_matrix_or_factor()

    def as_columns(self) -> Terms:
        """The terms of a product with a vector, for that with a matrix of one column."""
        return self.map_matrices(lambda x: x[:, None])

    def arrays(self, names: Names) -> dict[str, Array]:
        """The arrays that are given, by the names that messages use."""
        arrays = {
            "bias": self.bias,
            names.scale_m: self.scale_m,
            names.scale_n: self.scale_n,
            "residual": self.residual,
            "gate": self.gate,
        }
        return {name: array for name, array in arrays.items() if array is not None}

    def materialized(self, kind: ArrayKind) -> Terms:
        """The terms with arrays whose memory holds what they say."""
        fields = ("bias", "scale_m", "scale_n", "residual", "gate")
        given = {name: getattr(self, name) for name in fields if getattr(self, name) is not None}
        return self._replace(**{name: kind.materialize(x) for name, x in given.items()})

    def map_matrices(self, function: Callable[[Array], Array]) -> Terms:
        """The terms with `function` of each that has D's shape."""
        return self._replace(
            residual=None if self.residual is None else function(self.residual),
            gate=None if self.gate is None else function(self.gate),
        )


Built = tuple[_C.Epilogue, list[Array]]


class Names(NamedTuple):
    """What a caller calls the scales."""

    scale_m: str
    scale_n: str


LINEAR_NAMES = Names("w_scale", "x_scale")
MATMUL_NAMES = Names("a_scale", "b_scale")


class Layout(NamedTuple):
    """How the caller's arrays map to M and N."""

    m: int
    d_shape: tuple[int, ...]  # of D, residual and gate as the caller holds them
    n_shape: tuple[int, ...]  # of scale_n
    # Whether D is linear's [..., M], all that precedes M being N. Else it is matmul's: [M, N], or
    # [batch, M, N].
    m_is_last: bool
    names: Names


def _activation(name: str | None) -> _C.Activation:
    found = ACTIVATIONS.get(name) if name is None or isinstance(name, str) else None
    if found is None:
        raise ValueError(f"activation is {name!r}; expected one of {[*ACTIVATIONS]}")
    return found


def build_epilogue(kind: ArrayKind, device: str, terms: Terms, layout: Layout) -> Built:
    """The epilogue for the C++ side, and the arrays that must outlive the call.

    Raises:
        TypeError, ValueError: a term does not fit; the message names it.
    """
    arrays = terms.arrays(layout.names)
    require_same_kind(kind, device, **arrays)
    for name, array in arrays.items():
        kind.require_strided(array, name)
    for name, factor in (("alpha", terms.alpha), ("beta", terms.beta)):
        if not isinstance(factor, numbers.Real):
            raise TypeError(f"{name} is {factor!r}; expected a number")
    if (terms.residual is None) != (terms.beta == 0.0):
        given = "not given" if terms.residual is None else "given"
        raise ValueError(
            f"beta is {terms.beta} and residual is {given}; expected both or neither: the residual "
            "is multiplied by beta (pass beta=1.0 to add it)"
        )
    terms = terms.materialized(kind)
    held: list[Array] = [terms]
    epilogue = _C.Epilogue()
    epilogue.alpha = terms.alpha
    epilogue.beta = terms.beta
    epilogue.activation = _activation(terms.activation)
    if terms.bias is not None:
        if tuple(terms.bias.shape) != (layout.m,):
            raise ValueError(f"bias has shape {tuple(terms.bias.shape)}; expected ({layout.m},)")
        epilogue.bias = _vector(kind, terms.bias, "bias", _FLOATS)
    if terms.scale_m is not None:
        epilogue.scale_m = _scale(kind, terms.scale_m, layout.names.scale_m, (layout.m,), held)
    if terms.scale_n is not None:
        epilogue.scale_n = _scale(kind, terms.scale_n, layout.names.scale_n, layout.n_shape, held)
    set_matrices(kind, terms, layout, (epilogue, held))
    return epilogue, held


def set_matrices(kind: ArrayKind, terms: Terms, layout: Layout, built: Built) -> None:
    """Has the epilogue use the residual and the gate of these terms, and all else as it was."""
    epilogue, held = built
    terms = terms.map_matrices(kind.materialize)
    if terms.residual is not None:
        epilogue.c = _matrix(kind, terms.residual, "residual", layout, held)
    if terms.gate is not None:
        epilogue.gate = _matrix(kind, terms.gate, "gate", layout, held)


def _check_dtype(kind: ArrayKind, x: Array, name: str, accepted: Sequence[_C.DType]) -> _C.DType:
    dtype = kind.dtypes.get(x.dtype)
    if dtype is None or dtype not in accepted:
        names = ", ".join(d.name for d in accepted)
        raise TypeError(f"{name} has dtype {x.dtype}; expected {names}")
    return dtype


def _vector(kind: ArrayKind, x: Array, name: str, accepted: Sequence[_C.DType]) -> _C.VectorOperand:
    dtype = _check_dtype(kind, x, name, accepted)
    return _C.VectorOperand(kind.address_of(x, name), dtype, kind.strides(x)[0])


def _scale(
    kind: ArrayKind, x: Array, name: str, shape: tuple[int, ...], held: list[Array]
) -> _C.VectorOperand:
    """One factor for each index along `shape`, or a single one for all."""
    found = tuple(x.shape)
    if math.prod(found) == 1:
        dtype = _check_dtype(kind, x, name, (_C.DType.float32,))
        return _C.VectorOperand(kind.address_of(x, name), dtype, 0)
    if found not in (shape, (*shape, 1)):
        raise ValueError(
            f"{name} has shape {found}; expected {shape}, {(*shape, 1)} or one element"
        )
    flat = x.reshape(-1)
    held.append(flat)
    return _vector(kind, flat, name, (_C.DType.float32,))


def _matrix(
    kind: ArrayKind, x: Array, name: str, layout: Layout, held: list[Array]
) -> _C.DenseOperand:
    if tuple(x.shape) != layout.d_shape:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; expected {layout.d_shape}")
    dtype = _check_dtype(kind, x, name, _FLOATS)
    held.append(x)
    if not layout.m_is_last:
        *batch_stride, row_stride, col_stride = kind.strides(x)
        address = kind.address_of(x, name)
        return _C.DenseOperand(address, dtype, row_stride, col_stride, *batch_stride)
    *leading, columns = layout.d_shape
    flat = x if x.ndim == 2 else x.reshape(math.prod(leading), columns)
    held.append(flat)
    row_stride, col_stride = kind.strides(flat)
    return _C.DenseOperand(kind.address_of(flat, name), dtype, col_stride, row_stride)
