"""The emulator's number formats and roundings against NumPy, ml_dtypes and exact fractions."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

EMULATOR = Path(__file__).parents[1]
Array = npt.NDArray[Any]

MODES = {"rn": "Nearest", "rz": "Zero", "rm": "Down", "rp": "Up"}
FORMATS = {"F16": np.dtype(np.float16), "BF16": np.dtype(ml_dtypes.bfloat16)}
FLOATS8 = {"E4M3": ml_dtypes.float8_e4m3fn, "E5M2": ml_dtypes.float8_e5m2}
# Bits of the mantissa with the hidden one, and the exponent of the smallest normal number.
PRECISIONS = {"F16": (11, -14), "BF16": (8, -126), "float": (24, -126), "double": (53, -1022)}
OPERATIONS = {"add": 2, "sub": 2, "mul": 2, "div": 2, "fma": 3, "sqrt": 1}
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")

HEADER = """
#include "numeric/arithmetic16.h"
#include "numeric/convert.h"
#include "numeric/float8.h"
#include "numeric/tf32.h"
using namespace emulator::numeric;
#define MAP(name, In, Out, expression)                                     \\
  extern "C" void name(const In* a, const In* b, const In* c, Out* out, long count) { \\
    for (long i = 0; i < count; ++i) out[i] = expression;                  \\
  }
"""


def program() -> str:
    """One exported function a conversion or operation, each over whole arrays."""
    lines = [HEADER]
    for name in FORMATS:
        lines.append(f"MAP({name}_widen, uint16_t, float, to_float<{name}>(a[i]))")
        for op, arity in {"add": 2, "sub": 2, "mul": 2, "fma": 3}.items():
            operands = ", ".join(f"{x}[i]" for x in "abc"[:arity])
            lines.append(f"MAP({name}_{op}, uint16_t, uint16_t, ({op}16<{name}>({operands})))")
        for mode, rounding in MODES.items():
            arguments = f"<{name}, Rounding::k{rounding}>"
            for source, function in (("float", "from_float"), ("double", "from_double")):
                call = f"({function}{arguments}(a[i]))"
                lines.append(f"MAP({name}_{mode}_{source}, {source}, uint16_t, {call})")
            call = f"(integer_to_float16<{name}, Rounding::k{rounding}>(a[i]))"
            lines.append(f"MAP({name}_{mode}_int64, int64_t, uint16_t, {call})")
    for name in FLOATS8:
        lines.append(f"MAP({name}_widen, uint8_t, float, to_float8<{name}>(a[i]))")
        lines.append(f"MAP({name}_half, uint8_t, uint16_t, to_half8<{name}>(a[i]))")
        lines.append(f"MAP({name}_from, float, uint8_t, from_float8<{name}>(a[i]))")
    for mode, rounding in {**MODES, "rna": "NearestAway"}.items():
        if mode in ("rn", "rz", "rna"):
            call = f"tf32_from_float<Rounding::k{rounding}>(a[i])"
            lines.append(f"MAP(tf32_{mode}, float, uint32_t, {call})")
    for mode, rounding in MODES.items():
        lines.append(f"MAP(narrow_{mode}, double, float, narrow<Rounding::k{rounding}>(a[i]))")
        for kind in ("float", "double"):
            for op, arity in OPERATIONS.items():
                operands = ", ".join(f"{x}[i]" for x in "abc"[:arity])
                # Qualified: the mathematical functions of C are visible too.
                call = f"(emulator::numeric::{op}<Rounding::k{rounding}>({operands}))"
                lines.append(f"MAP({kind}_{op}_{mode}, {kind}, {kind}, {call})")
            for integer in INTEGERS:
                call = f"(float_to_integer<{integer}_t>(a[i], Rounding::k{rounding}))"
                lines.append(f"MAP({kind}_{integer}_{mode}, {kind}, {integer}_t, {call})")
                call = f"(integer_to_float<Rounding::k{rounding}, {kind}>(a[i]))"
                lines.append(f"MAP({integer}_{kind}_{mode}, {integer}_t, {kind}, {call})")
    return "\n".join(lines)


class Library:
    """The compiled headers."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))

    def __call__(self, name: str, out: npt.DTypeLike, *arrays: Array) -> Array:
        """Calls a function on whole arrays."""
        operands = [np.ascontiguousarray(array) for array in arrays]
        result = np.empty(len(operands[0]), out)
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in operands]
        pointers += [ctypes.c_void_p()] * (3 - len(pointers))
        function = getattr(self._library, name)
        function(*pointers, ctypes.c_void_p(result.ctypes.data), ctypes.c_long(len(result)))
        return result


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Compiles numeric/ with the options of emulator/CMakeLists.txt that matter."""
    compiler = shutil.which("g++")
    assert compiler is not None, "g++ is needed"
    folder = tmp_path_factory.mktemp("numeric")
    (folder / "numeric.cpp").write_text(program())
    options = ["-std=c++20", "-O1", "-ffp-contract=off", "-fPIC", "-shared", f"-I{EMULATOR}"]
    command = [compiler, *options, "numeric.cpp", "-o", "numeric.so"]
    subprocess.run(command, cwd=folder, check=True)
    return Library(folder / "numeric.so")


def random_floats(dtype: npt.DTypeLike, count: int, seed: int) -> Array:
    """Finite values: random patterns, numbers of moderate size, and the edges of the format."""
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    patterns = random.integers(0, 256, count * kind.itemsize, np.uint8).view(kind)
    moderate = (random.standard_normal(count) * 4).round(3).astype(kind)
    limits = np.finfo(kind)
    edges = [0.0, limits.smallest_subnormal, limits.smallest_normal, limits.max, 1.0, limits.eps]
    values = np.concatenate([patterns, moderate, np.array(edges, kind), -np.array(edges, kind)])
    return values[np.isfinite(values)]


def every_pattern(kind: np.dtype[Any]) -> Array:
    """All values of a format of 8 or 16 bits."""
    bits = 8 * kind.itemsize
    return np.arange(1 << bits).astype(f"uint{bits}").view(kind)


def bits_widened(bits: Array, kind: np.dtype[Any]) -> Array:
    """Patterns of a format as f64."""
    with np.errstate(invalid="ignore"):  # of NaN
        return bits.view(kind).astype(np.float64)


def directed(value: Array, nearest: Array, mode: str) -> Array:
    """Moves values rounded to nearest to the side that the mode asks for."""
    back = nearest.astype(np.float64)
    towards = {"rz": np.zeros_like(nearest), "rm": -np.inf, "rp": np.inf}[mode]
    wrong = {
        "rz": np.abs(back) > np.abs(value),
        "rm": back > value,
        "rp": back < value,
    }[mode]
    target = np.broadcast_to(np.asarray(towards, nearest.dtype), nearest.shape)
    return np.where(wrong, np.nextafter(nearest, target), nearest)


def bits_of(values: Array) -> Array:
    """The patterns of floating-point values."""
    return values.view(f"uint{8 * values.dtype.itemsize}")


def assert_same(ours: Array, theirs: Array) -> None:
    """Equal patterns, NaN equal to NaN."""
    nan = np.isnan(theirs)
    np.testing.assert_array_equal(np.isnan(ours), nan)
    np.testing.assert_array_equal(bits_of(ours[~nan]), bits_of(theirs[~nan]))


@pytest.mark.parametrize("name", FORMATS)
def test_every_16_bit_value_widens(name: str, library: Library) -> None:
    values = every_pattern(FORMATS[name])
    assert_same(library(f"{name}_widen", np.float32, bits_of(values)), values.astype(np.float32))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", ["float", "double"])
@pytest.mark.parametrize("name", FORMATS)
def test_narrowing_to_16_bits(name: str, source: str, mode: str, library: Library) -> None:
    kind, wide = FORMATS[name], np.dtype({"float": np.float32, "double": np.float64}[source])
    # Every value, every midpoint and both sides of each.
    exact = bits_widened(np.arange(1 << 16).astype(np.uint16), kind)
    exact = np.sort(exact[np.isfinite(exact)])
    middle = ((exact[1:] + exact[:-1]) / 2).astype(wide)
    near = [np.nextafter(middle, wide.type(side * np.inf)) for side in (-1, 1)]
    values = np.concatenate([exact.astype(wide), middle, *near, random_floats(wide, 20000, 1)])
    with np.errstate(over="ignore", under="ignore"):
        expected = nearest_16(name, values)
        if mode != "rn":
            expected = directed(values.astype(np.float64), expected, mode)
    ours = library(f"{name}_{mode}_{source}", np.uint16, values).view(kind)
    assert_same(ours, expected)


def nearest_16(name: str, values: Array) -> Array:
    """Rounded to nearest once. ml_dtypes narrows f64 by way of f32, so that is made odd first."""
    if name == "F16" or values.dtype == np.float32:
        return values.astype(FORMATS[name])
    single = directed(values, values.astype(np.float32), "rz")
    odd = single.view(np.uint32) | (single.astype(np.float64) != values)
    return odd.view(np.float32).astype(FORMATS[name])


@pytest.mark.parametrize("name", FLOATS8)
def test_8_bit_floats(name: str, library: Library) -> None:
    kind = np.dtype(FLOATS8[name])
    values = every_pattern(kind)
    assert_same(library(f"{name}_widen", np.float32, bits_of(values)), values.astype(np.float32))
    halves = library(f"{name}_half", np.uint16, bits_of(values)).view(np.float16)
    assert_same(halves, values.astype(np.float16))

    finite = np.sort(values.astype(np.float32)[np.isfinite(values.astype(np.float32))])
    middle = (finite[1:] + finite[:-1]) / 2
    near = [np.nextafter(middle, np.float32(side * np.inf)) for side in (-1, 1)]
    edges = np.array([np.inf, -np.inf, np.nan, 464, 61440, 1e30], np.float32)
    all_f16 = every_pattern(np.dtype(np.float16)).astype(np.float32)
    samples = np.concatenate([finite, middle, *near, edges, all_f16])
    largest = np.float32(ml_dtypes.finfo(kind).max)
    with np.errstate(invalid="ignore"):  # of NaN
        expected = np.clip(samples, -largest, largest).astype(kind)
    assert_same(library(f"{name}_from", np.uint8, samples).view(kind), expected)


def test_tf32(library: Library) -> None:
    values = random_floats(np.float32, 50000, 2)
    ties = (values.view(np.uint32) & ~np.uint32(0x1FFF) | np.uint32(0x1000)).view(np.float32)
    values = np.concatenate([values, ties[np.isfinite(ties)]])
    bits = values.view(np.uint32).astype(np.uint64)
    odd = bits >> 13 & 1
    expected = {
        "rz": bits,
        "rna": bits + 0x1000,
        "rn": bits + 0xFFF + odd,
    }
    for mode, rounded in expected.items():
        ours = library(f"tf32_{mode}", np.uint32, values)
        np.testing.assert_array_equal(ours, rounded & ~np.uint64(0x1FFF))


def rounded(value: Fraction, kind: str, mode: str) -> float:
    """A fraction in a format of PRECISIONS, by integers alone; infinity beyond its range."""
    precision, min_exponent = PRECISIONS[kind]
    if value == 0:
        return 0.0
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    step = Fraction(2) ** (max(exponent, min_exponent) - precision + 1)
    count, rest = divmod(size, step)
    up = {
        "rn": 2 * rest > step or (2 * rest == step and count % 2 == 1),
        "rz": False,
        "rm": value < 0 and rest > 0,
        "rp": value > 0 and rest > 0,
    }[mode]
    result = (count + up) * step
    beyond = Fraction(2) ** (2 - min_exponent)
    if result >= beyond:
        outwards = {"rn": True, "rz": False, "rm": value < 0, "rp": value > 0}[mode]
        largest = float(beyond - Fraction(2) ** (2 - min_exponent - precision))
        return math.copysign(math.inf if outwards else largest, 1 if value > 0 else -1)
    return float(result) if value > 0 else -float(result)


def exact_result(op: str, operands: list[Fraction]) -> Fraction:
    """The result without rounding."""
    a, b, c = (*operands, Fraction(0), Fraction(0))[:3]
    if op == "div":
        return a / b
    return {"add": a + b, "sub": a - b, "mul": a * b, "fma": a * b + c}[op]


def check_results(ours: Array, kind: str, op: str, mode: str, operands: list[Array]) -> None:
    """Compares with exact results; those that are zero are left to test_numeric.cpp."""
    for i in range(len(ours)):
        values = [Fraction(float(operand[i])) for operand in operands]
        if op == "div" and values[1] == 0:
            continue
        exact = exact_result(op, values)
        if exact != 0:
            assert float(ours[i]) == rounded(exact, kind, mode), (op, mode, [*map(float, values)])


def operand_sets(dtype: npt.DTypeLike, count: int) -> list[Array]:
    """Three arrays; in half of the places the third nearly cancels the product of the others."""
    arrays = [random_floats(dtype, count, seed)[:count] for seed in (3, 4, 5)]
    shortest = min(map(len, arrays))
    a, b, c = (np.random.default_rng(6).permutation(array)[:shortest] for array in arrays)
    with np.errstate(all="ignore"):
        product = a * b
    cancel = np.isfinite(product) & (np.arange(shortest) % 2 == 0)
    return [a, b, np.where(cancel, -product, c).astype(dtype)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["float", "double"])
def test_arithmetic_rounds_exactly(kind: str, mode: str, library: Library) -> None:
    dtype = np.dtype({"float": np.float32, "double": np.float64}[kind])
    operands = operand_sets(dtype, 1500)
    for op, arity in OPERATIONS.items():
        if op != "sqrt":
            ours = library(f"{kind}_{op}_{mode}", dtype, *operands[:arity])
            check_results(ours, kind, op, mode, operands[:arity])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["float", "double"])
def test_roots_round_exactly(kind: str, mode: str, library: Library) -> None:
    dtype = np.dtype({"float": np.float32, "double": np.float64}[kind])
    values = np.abs(random_floats(dtype, 2000, 7))
    for value, root in zip(values, library(f"{kind}_sqrt_{mode}", dtype, values), strict=True):
        exact, ours = Fraction(float(value)), Fraction(float(root))
        lower, upper = (Fraction(float(np.nextafter(root, dtype.type(x)))) for x in (0, np.inf))
        if mode == "rn":
            assert ((lower + ours) / 2) ** 2 <= exact <= ((ours + upper) / 2) ** 2
        elif mode == "rp":
            assert exact == 0 or lower**2 < exact <= ours**2
        else:
            assert ours**2 <= exact < upper**2


@pytest.mark.parametrize("name", FORMATS)
def test_16_bit_arithmetic_rounds_once(name: str, library: Library) -> None:
    kind = FORMATS[name]
    random = np.random.default_rng(8)
    bits = [random.integers(0, 1 << 16, 6000).astype(np.uint16) for _ in range(3)]
    values = [bits_widened(x, kind) for x in bits]
    finite = np.all(np.isfinite(values), axis=0)
    bits, values = [x[finite] for x in bits], [x[finite] for x in values]
    for op, arity in {"add": 2, "sub": 2, "mul": 2, "fma": 3}.items():
        ours = library(f"{name}_{op}", np.uint16, *bits[:arity]).view(kind).astype(np.float64)
        check_results(ours, name, op, "rn", values[:arity])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["float", "double"])
def test_floats_to_integers(kind: str, mode: str, library: Library) -> None:
    dtype = np.dtype({"float": np.float32, "double": np.float64}[kind])
    powers = np.array([2.0**n * sign for n in range(66) for sign in (-1, 1)], dtype)
    sides = [np.nextafter(powers, dtype.type(x)) for x in (-np.inf, np.inf)]
    halves = np.arange(-600, 600).astype(dtype) / 2
    infinite = np.array([np.inf, -np.inf], dtype)
    values = np.concatenate([powers, *sides, halves, infinite, random_floats(dtype, 2000, 9)])
    whole = {"rn": np.rint, "rz": np.trunc, "rm": np.floor, "rp": np.ceil}[mode](values)
    for integer in INTEGERS:
        limits = np.iinfo(integer)
        expected = [
            (limits.max if value > 0 else limits.min)
            if np.isinf(value)
            else min(max(int(value), limits.min), limits.max)
            for value in whole
        ]
        ours = library(f"{kind}_{integer}_{mode}", integer, values)
        np.testing.assert_array_equal(ours, np.array(expected, integer))


@pytest.mark.parametrize("mode", MODES)
def test_integers_to_floats(mode: str, library: Library) -> None:
    random = np.random.default_rng(10)
    for integer in INTEGERS:
        limits = np.iinfo(integer)
        values = random.integers(limits.min, limits.max, 400, integer, endpoint=True)
        shifted = values >> random.integers(0, limits.bits, 400).astype(integer)
        edges = np.array([limits.min, limits.max, limits.max - 1, 0, 1], integer)
        values = np.concatenate([values, shifted, edges])
        for kind, dtype in (("float", np.float32), ("double", np.float64)):
            ours = library(f"{integer}_{kind}_{mode}", dtype, values)
            expected = [rounded(Fraction(int(value)), kind, mode) for value in values]
            np.testing.assert_array_equal(ours, np.array(expected, dtype))
        if integer == "int64":
            for name, half in FORMATS.items():
                ours = library(f"{name}_{mode}_int64", np.uint16, values).view(half)
                expected = [rounded(Fraction(int(value)), name, mode) for value in values]
                np.testing.assert_array_equal(ours.astype(np.float64), expected)


@pytest.mark.parametrize("mode", MODES)
def test_f64_to_f32(mode: str, library: Library) -> None:
    values = random_floats(np.float64, 20000, 11)
    with np.errstate(all="ignore"):
        expected = values.astype(np.float32)
        if mode != "rn":
            expected = directed(values, expected, mode)
    assert_same(library(f"narrow_{mode}", np.float32, values), expected)
