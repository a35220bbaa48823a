"""Which types of A and of the dense operand go together, and of which type the result is.

The one place for these rules: `linear`, `matmul`, `plan`, torch's operators and the layers ask.
What goes together here may still have no kernel on the backend at hand: the C++ side says that.
"""

from __future__ import annotations

from sparse_gemm._C import DType, Pattern

__all__ = [
    "ACCUMULATORS",
    "accumulates_in_float16",
    "check_types",
    "default_dense",
    "default_result",
    "dense_types",
]

_INTEGERS = (DType.int8, DType.int4, DType.uint4)
_FLOAT8 = (DType.float8_e4m3fn, DType.float8_e5m2)
_FLOATS = (DType.float16, DType.bfloat16, DType.float32)
ACCUMULATORS = (None, "float32", "float16")

# What may be multiplied with A; first what `plan` supposes.
_DENSE_TYPES: dict[tuple[Pattern, DType], tuple[DType, ...]] = {
    (Pattern.k2of4, DType.float32): (DType.float32,),
    (Pattern.k2of4, DType.float16): (DType.float16,),
    (Pattern.k2of4, DType.bfloat16): (DType.bfloat16,),
    (Pattern.k2of4, DType.int8): (DType.int8, *_FLOATS),
    (Pattern.k2of4, DType.float8_e4m3fn): (*_FLOAT8, *_FLOATS),
    (Pattern.k2of4, DType.float8_e5m2): (*reversed(_FLOAT8), *_FLOATS),
    (Pattern.k2of4, DType.int4): _FLOATS,
    (Pattern.k1of2, DType.float32): (DType.float32,),
    (Pattern.k4of8, DType.int4): (DType.int4,),
    (Pattern.k4of8, DType.uint4): (DType.uint4,),
}


def dense_types(pattern: Pattern, a: DType) -> tuple[DType, ...]:
    """The types that the dense operand may have beside such an A."""
    return _DENSE_TYPES.get((pattern, a), ())


def default_dense(pattern: Pattern, a: DType, group_size: int | None = None) -> DType:
    """The dense operand's type where only A is known: A's own, or, for weights that only go with
    floating-point activations, float16."""
    if group_size is not None:
        return DType.float16
    types = dense_types(pattern, a)
    return types[0] if types else a


def check_types(
    pattern: Pattern, a: DType, b: DType | None, found: object, name: str, group_size: int | None
) -> DType:
    """`b`, the type of the dense operand called `name`, which its library calls `found`.

    Raises:
        TypeError: it does not go with an A of such pattern and type.
    """
    types = dense_types(pattern, a)
    if b is not None and b in types and (group_size is None or b in _FLOATS):
        return b
    if group_size is not None:
        types = _FLOATS
    names = " or ".join(dtype.name for dtype in types)
    message = f"{name} has dtype {found}; expected {names}, as a is {a.name}"
    if group_size is not None:
        message += f" with a scale for each {group_size} elements of K"
    elif a == DType.int4 and pattern == Pattern.k2of4:
        message += " of pattern 2:4 (for int4 x int4 compress a with pattern='4:8', pairwise)"
    elif pattern == Pattern.k4of8:
        message += ", or uint8, two elements a byte along K, the low nibble first"
    raise TypeError(message)


def default_result(b: DType, exact: bool) -> DType:
    """The result's type where none is asked for.

    That of a floating-point dense operand, but bfloat16 for float8. Of integers int32 if the result
    is the plain product (`exact`), else float32.
    """
    if b in _FLOAT8:
        return DType.bfloat16
    if b in _INTEGERS:
        return DType.int32 if exact else DType.float32
    return b


def accumulates_in_float16(accumulate: str | None, a: DType, b: DType, preferred: bool) -> bool:
    """Whether sums are kept in float16; `preferred`: whether the array library is set to that.

    Raises:
        ValueError: no such accumulator, or not for these types.
    """
    if accumulate not in ACCUMULATORS:
        raise ValueError(f"accumulate is {accumulate!r}; expected None, 'float32' or 'float16'")
    is_possible = a == b == DType.float16
    if accumulate == "float16" and not is_possible:
        raise ValueError(
            f"accumulate is 'float16', but a is {a.name} and the dense operand {b.name}; expected "
            "float16 for both, or accumulate=None"
        )
    return is_possible and (accumulate == "float16" or (accumulate is None and preferred))
