"""selftest: every operation, type, instruction set and GPU of this machine against the reference.

Compression is compared bit for bit. `linear` is compared exactly on small integers, whose sums are
exact in every type, and on normal data within twice the dense rounding error; with quantised
weights on normal data alone. On a GPU these are the types that all of them have.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from sparse_gemm import _C, ops, reference
from sparse_gemm.arrays import NUMPY_DTYPES, Array, kind_of
from sparse_gemm.errors import SparsityError, UnsupportedError
from sparse_gemm.format import compression, quantization
from sparse_gemm.format.tensor import PACKED_DTYPES, PATTERNS
from sparse_gemm.planning.device_work import current_device

_SEED = 24
_SHAPES = ((1, 4), (3, 5), (64, 64), (65, 130), (33, 1000))  # (M, K): whole and ragged
_TOKENS = (1, 7, 70)  # one, a few, and more than a panel: each kernel of the CPU backend
_FLOATS = (_C.DType.float32, _C.DType.float16, _C.DType.bfloat16)
_LINEAR_DTYPES = (*_FLOATS, _C.DType.int8)
_CUDA_DTYPES = (_C.DType.float16, _C.DType.bfloat16)
_WEIGHT_DTYPES = ("int8", "int4", "float8_e4m3fn", "float8_e5m2")  # beside activations of another
_BAR_WIDTH = 30

Matrix = np.ndarray[Any, Any]


class Check(NamedTuple):
    """One thing to show; `run` returns what went wrong, or None."""

    operation: str
    dtype: str
    where: str
    run: Callable[[], str | None]


def _random(rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> Matrix:
    """Normal data, or integers where the type holds nothing else."""
    name = np.dtype(dtype).name
    if name in ("int8", "int4", "uint4"):
        low, high = {"int8": (-128, 128), "int4": (-8, 8), "uint4": (0, 16)}[name]
        return rng.integers(low, high, shape).astype(np.int16).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def _same_bits(x: Matrix, y: Matrix) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


class Place(NamedTuple):
    """Where arrays are to be: `put` takes NumPy arrays there, `get` back."""

    name: str
    put: Callable[[Matrix], Array]

    def get(self, x: Array) -> Matrix:
        """`x` as a NumPy array."""
        return kind_of(x, "x").to_numpy(x)


def _cuda_place(device: int) -> Place | None:
    """A CUDA device, by way of torch or CuPy; None if neither is there with CUDA."""
    try:
        kind, _ = current_device()
    except UnsupportedError:
        return None
    name = f"cuda:{device}"
    return Place(name, lambda x: kind.from_numpy(x, name))


_CPU_PLACE = Place("cpu", lambda x: x)


def _check_compress(place: Place, dtype: Any, pattern: str) -> str | None:
    rng = np.random.default_rng(_SEED)
    for shape in _SHAPES:
        w = _random(rng, shape, dtype)
        pruned = compression.prune(place.put(w), pattern=pattern)
        if not _same_bits(place.get(pruned), reference.prune(w, pattern)):
            return f"prune differs at shape {shape}"
        a = compression.compress(pruned, pattern=pattern)
        expected = reference.compress(place.get(pruned), pattern)
        if not _same_bits(place.get(a.values), expected.values):
            return f"values differ at shape {shape}"
        if not _same_bits(place.get(a.metadata), expected.metadata):
            return f"metadata differs at shape {shape}"
        if not _same_bits(place.get(a.to_dense()), reference.decompress(expected)):
            return f"to_dense differs at shape {shape}"
    return None


def _check_check(place: Place, dtype: Any, pattern: str) -> str | None:
    w = np.ones((3, 16), dtype)
    w[:2] = compression.prune(w[:2], pattern=pattern)
    try:
        compression.check(place.put(w), pattern=pattern)
    except SparsityError as error:
        return None if (error.row, error.group) == (2, 0) else f"found {error.row}, {error.group}"
    return "a dense row was taken for a sparse one"


def _on_isa(isa: _C.Isa, run: Callable[[], str | None]) -> str | None:
    before = _C.current_isa()
    _C.set_isa(isa)
    try:
        return run()
    finally:
        _C.set_isa(before)


def _check_linear_exact(place: Place, dtype: Any) -> str | None:
    rng = np.random.default_rng(_SEED)
    for (m, k), n in ((shape, n) for shape in _SHAPES for n in _TOKENS):
        w, x = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((m, k), (n, k)))
        a = compression.compress(place.put(w), policy="prune")
        dense = place.get(a.to_dense()).astype(np.float64)
        y = place.get(ops.linear(place.put(x), a))
        wanted = (x.astype(np.float64) @ dense.T).astype(y.dtype)
        if not _same_bits(y, np.ascontiguousarray(wanted)):
            return f"not exact on integers at M={m}, N={n}, K={k}"
        d = place.get(ops.matmul(a, place.put(np.ascontiguousarray(x.T))))
        if not _same_bits(np.ascontiguousarray(d.T), np.ascontiguousarray(wanted)):
            return f"matmul is not exact on integers at M={m}, N={n}, K={k}"
    return None


def _check_linear_epilogue(place: Place, dtype: Any) -> str | None:
    rng = np.random.default_rng(_SEED)
    m, k, n = 65, 130, 20
    is_int8 = np.dtype(dtype) == np.int8
    w = reference.prune(_random(rng, (m, k), dtype))
    a, x = compression.compress(place.put(w)), _random(rng, (n, k), dtype)
    scale = np.float32(2.0**-12 if is_int8 else 0.1)
    terms: dict[str, Any] = {
        "bias": rng.standard_normal(m).astype(np.float32),
        "w_scale": rng.uniform(0.5, 1, m).astype(np.float32) * scale,
        "x_scale": rng.uniform(0.5, 1, n).astype(np.float32),
        "residual": rng.standard_normal((n, m)).astype(np.float32),
        "gate": rng.standard_normal((n, m)).astype(np.float32),
    }
    factors = {"alpha": 0.5, "beta": 2.0}
    placed = {name: place.put(term) for name, term in terms.items()} | factors
    for activation in (None, "relu", "gelu", "gelu_tanh", "silu"):
        y = ops.linear(place.put(x), a, activation=activation, out_dtype="float32", **placed)
        expected = reference.linear(
            *(x, reference.compress(w)),
            activation=activation,
            out_dtype=np.float32,
            **(terms | factors),
        )
        error = float(np.abs(place.get(y).astype(np.float64) - expected).max())
        if not error <= _tolerance(w, x, float(scale)):
            return f"activation {activation}: off by {error:.2e}"
    return None


def _check_weight_only(place: Place, weight: str, dtypes: tuple[_C.DType, ...]) -> str | None:
    """Weights of few bits, with scales of rows and of groups, times activations of each type."""
    rng = np.random.default_rng(_SEED)
    m, k = 65, 130
    for dtype, group_size, n in itertools.product(dtypes, (None, 64), _TOKENS):
        w, x = (_random(rng, (rows, k), NUMPY_DTYPES[dtype]) for rows in (m, n))
        on_host, a = (
            quantization.quantize(array, weight, group_size=group_size, prune=True)
            for array in (w, place.put(w))
        )
        y = ops.linear(place.put(x), a, out_dtype="float32")
        row_scale = on_host.scale if group_size is None else None
        expected = reference.linear(x, on_host, w_scale=row_scale, out_dtype=np.float32)
        error = float(np.abs(place.get(y).astype(np.float64) - expected).max())
        if not error <= _tolerance(w, x, 1.0):
            return f"{dtype.name} activations, group_size {group_size}, N={n}: off by {error:.2e}"
    return None


def _tolerance(w: Matrix, x: Matrix, scale: float) -> float:
    """The float32 rounding of a sum of this length and size, twice over, and of the terms."""
    magnitude = np.abs(x.astype(np.float64)) @ np.abs(w.astype(np.float64)).T
    eps = float(np.finfo(np.float32).eps)
    return 2 * eps * (scale * float(magnitude.max()) + 10.0)


def _cuda_checks() -> Iterator[Check]:
    for device in range(_C.cuda_device_count()):
        place = None if _C.cuda_device(device).emulated else _cuda_place(device)
        if place is None:
            continue
        for dtype in _CUDA_DTYPES:
            native = NUMPY_DTYPES[dtype]
            for operation, run in (
                ("compress 2:4", partial(_check_compress, place, native, "2:4")),
                ("check 2:4", partial(_check_check, place, native, "2:4")),
                ("linear", partial(_check_linear_exact, place, native)),
                ("epilogue", partial(_check_linear_epilogue, place, native)),
            ):
                yield Check(operation, dtype.name, place.name, run)
        for weight in _WEIGHT_DTYPES:
            run = partial(_check_weight_only, place, weight, _CUDA_DTYPES)
            yield Check("weight-only", weight, place.name, run)


def _checks(isas: list[_C.Isa]) -> Iterator[Check]:
    for pattern, code in PATTERNS.items():
        for dtype, native in NUMPY_DTYPES.items():
            if not _C.supports(code, dtype):
                continue
            compress = partial(_check_compress, _CPU_PLACE, native, pattern)
            yield Check(f"compress {pattern}", dtype.name, "cpu", compress)
            if dtype not in PACKED_DTYPES:
                check = partial(_check_check, _CPU_PLACE, native, pattern)
                yield Check(f"check {pattern}", dtype.name, "cpu", check)
    for isa in isas:
        for dtype in _LINEAR_DTYPES:
            native = NUMPY_DTYPES[dtype]
            exact = partial(_on_isa, isa, partial(_check_linear_exact, _CPU_PLACE, native))
            yield Check("linear", dtype.name, f"cpu {isa.name}", exact)
            epilogue = partial(_on_isa, isa, partial(_check_linear_epilogue, _CPU_PLACE, native))
            yield Check("epilogue", dtype.name, f"cpu {isa.name}", epilogue)
        for weight in _WEIGHT_DTYPES:
            mixed = partial(_check_weight_only, _CPU_PLACE, weight, _FLOATS)
            yield Check("weight-only", weight, f"cpu {isa.name}", partial(_on_isa, isa, mixed))
    yield from _cuda_checks()


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        filled = _BAR_WIDTH * done // total
        end = "\n" if done == total else ""
        bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        print(f"\r[{bar}] {done}/{total}", end=end, file=sys.stderr, flush=True)


def _left_out() -> list[str]:
    """CUDA devices that are not checked, and why."""
    reasons = []
    for device in range(_C.cuda_device_count()):
        if _C.cuda_device(device).emulated:
            reasons.append(f"cuda:{device} is emulated: `make test` checks it")
        elif _cuda_place(device) is None:
            reasons.append(f"cuda:{device} is not checked: that needs torch with CUDA, or CuPy")
    return reasons


def run(isa: str | None = None) -> int:
    """Runs all checks, prints a table; 0 if all passed, 1 if one failed, 2 for an unknown isa."""
    available = [i for i in _C.Isa.__members__.values() if _C.isa_available(i)]
    if isa is not None:
        available = [i for i in available if i.name == isa]
        if not available:
            print(f"isa is {isa!r}; expected one that `info` lists as available", file=sys.stderr)
            return 2
    checks = list(_checks(available))
    failures = 0
    rows = []
    for done, check in enumerate(checks, start=1):
        try:
            problem = check.run()
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        failures += problem is not None
        rows.append((check.operation, check.dtype, check.where, problem or "ok"))
        _show_progress(done, len(checks))
    for row in [("operation", "dtype", "backend", "result"), *rows]:
        print("{:<14}{:<15}{:<17}{}".format(*row))
    for reason in _left_out():
        print(reason)
    print(f"{len(checks) - failures} passed, {failures} failed")
    return 1 if failures else 0
