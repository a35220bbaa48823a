"""Weights of 8 and 4 bits times activations of 16, on a device: what every stored value becomes,
scales of rows and of groups, shapes, and each kernel of the table.

The weights are drawn as stored parts, so that no compression has a say in what is expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from device_arrays import Array, Library
from typed_cases import rows_on_this_device

import sparse_gemm as sg
from sparse_gemm.planning.tuning import forced

FLOAT16, BFLOAT16, FLOAT32 = map(np.dtype, (np.float16, ml_dtypes.bfloat16, np.float32))
INT8, INT4 = np.dtype(np.int8), np.dtype(ml_dtypes.int4)
E4M3, E5M2 = np.dtype(ml_dtypes.float8_e4m3fn), np.dtype(ml_dtypes.float8_e5m2)
WEIGHTS = (INT8, INT4, E4M3, E5M2)
ACTIVATIONS = (FLOAT16, BFLOAT16)
GROUP_SIZES = (32, 64, 128)
POSITIONS = np.array([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
# K within a group, a step, a stage of 128, and rings of 4 to 6 stages that go round; all cut.
SHAPES = [(1, 1, 1), (16, 8, 32), (17, 9, 33), (40, 3, 127), (64, 16, 128), (70, 33, 130)]
SHAPES += [(130, 1, 300), (16, 65, 512), (129, 31, 645), (128, 100, 901), (200, 0, 64)]


def name_of(value: Any) -> str:
    return value.name if isinstance(value, np.dtype) else str(value)


@dataclass(frozen=True)
class Weight:
    """A 2:4 matrix as it is stored, and as the numbers that are meant."""

    values: Array
    metadata: Array
    dense: Array  # float64 [M, K], unscaled

    def on(self, library: Library, dtype: Any, **scales: Any) -> sg.Sparse24Tensor:
        return sg.Sparse24Tensor(
            library.put(self.values),
            library.put(self.metadata),
            (self.dense.shape[0], self.dense.shape[1]),
            dtype="int4" if dtype == INT4 else None,
            backend=library.backend,
            **scales,
        )


def stored(rng: np.random.Generator, kept: Array, k: int) -> Weight:
    """`kept` [M, ceil(K / 4), 2] at random positions; what lies past K becomes zero."""
    m, groups, _ = kept.shape
    places = POSITIONS[rng.integers(len(POSITIONS), size=(m, groups))]
    columns = 4 * np.arange(groups)[:, None] + places
    kept = np.where(columns < k, kept, np.zeros((), kept.dtype))
    dense = np.zeros((m, 4 * groups))
    np.put_along_axis(dense, columns.reshape(m, -1), kept.reshape(m, -1).astype(np.float64), 1)
    nibbles = np.full((m, groups + groups % 2), 0xE, np.uint8)
    nibbles[:, :groups] = places[..., 0] | places[..., 1] << 2
    values = kept.reshape(m, -1)
    if kept.dtype == INT4:
        bits = kept.astype(np.int8).view(np.uint8) & 0xF
        values = bits[..., 0] | bits[..., 1] << 4
    return Weight(values, nibbles[:, ::2] | nibbles[:, 1::2] << 4, dense[:, :k].copy())


def integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, bound: int = 4) -> Array:
    return rng.integers(-bound, bound + 1, shape).astype(np.int8).astype(dtype)


def small_weight(rng: np.random.Generator, m: int, k: int, dtype: Any) -> Weight:
    return stored(rng, integers(rng, (m, -(-k // 4), 2), dtype), k)


def every_value(rng: np.random.Generator, dtype: Any, rows: int) -> tuple[Weight, int]:
    """Every finite value of `dtype`, in each row once at least; K is 512."""
    bits = np.arange(-8, 8).astype(INT4) if dtype == INT4 else np.arange(256, dtype=np.uint8)
    found = bits if dtype == INT4 else bits.view(dtype)
    found = found[np.isfinite(found.astype(np.float64))]
    order = np.argsort(rng.random((rows, 256)), axis=1)
    kept = np.resize(found, 256)[order]
    return stored(rng, kept.reshape(rows, 128, 2), 512), 512


def run(
    library: Library, weight: Weight, dtype: Any, x: Array, out_dtype: Any = FLOAT32, **scales: Any
) -> Array:
    """linear and matmul of it, which must agree."""
    scales = {
        name: library.put(value) if isinstance(value, np.ndarray) else value
        for name, value in scales.items()
    }
    a = weight.on(library, dtype, **scales)
    y = library.get(sg.linear(library.put(x), a, out_dtype=out_dtype.name))
    d = library.get(sg.matmul(a, library.put(x.T), out_dtype=out_dtype.name))
    assert y.dtype == d.dtype == out_dtype
    np.testing.assert_array_equal(d.T.astype(np.float64), y.astype(np.float64))
    return y


def scaled(weight: Weight, scale: Array, group_size: int, x_dtype: Any) -> Array:
    """The weight that is multiplied: the scale in x's type, the product rounded to it, once."""
    k = weight.dense.shape[1]
    factors = np.repeat(scale.astype(x_dtype), group_size, axis=1)[:, :k]
    return (weight.dense * factors.astype(np.float64)).astype(x_dtype).astype(np.float64)


@pytest.mark.parametrize("x_dtype", ACTIVATIONS, ids=name_of)
@pytest.mark.parametrize("dtype", WEIGHTS, ids=name_of)
def test_every_value_is_exact(library: Library, dtype: Any, x_dtype: Any) -> None:
    weight, k = every_value(np.random.default_rng(1), dtype, 18)
    y = run(library, weight, dtype, np.eye(k, dtype=x_dtype))
    np.testing.assert_array_equal(y, weight.dense.T.astype(np.float32))


@pytest.mark.parametrize("x_dtype", ACTIVATIONS, ids=name_of)
@pytest.mark.parametrize("dtype", [E4M3, E5M2], ids=name_of)
def test_inf_and_nan_stay_what_they_are(device: Library, dtype: Any, x_dtype: Any) -> None:
    bits = np.arange(256, dtype=np.uint8)
    with np.errstate(invalid="ignore"):
        special = bits[~np.isfinite(bits.view(dtype).astype(np.float64))]
        kept = np.zeros((len(special), 32, 2), np.uint8)
        index = np.arange(len(special))  # one for each row, in a group of its own
        kept[index, index, index % 2] = special
        weight = stored(np.random.default_rng(2), kept.view(dtype), 128)
        y = run(device, weight, dtype, np.ones((3, 128), x_dtype))
        np.testing.assert_array_equal(y, np.tile(weight.dense.sum(axis=1), (3, 1)))


@pytest.mark.parametrize("scale_dtype", ACTIVATIONS, ids=name_of)
@pytest.mark.parametrize("x_dtype", ACTIVATIONS, ids=name_of)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
@pytest.mark.parametrize("dtype", WEIGHTS, ids=name_of)
def test_scaled_weights_are_rounded_once(
    device: Library, dtype: Any, group_size: int, x_dtype: Any, scale_dtype: Any
) -> None:
    """Any scales at all, and every value: with unit vectors the weights themselves come out."""
    rng = np.random.default_rng(group_size)
    weight, k = every_value(rng, dtype, 18)
    scale = (rng.standard_normal((18, k // group_size)) * 0.01).astype(scale_dtype)
    y = run(device, weight, dtype, np.eye(k, dtype=x_dtype), scale=scale, group_size=group_size)
    expected = scaled(weight, scale, group_size, x_dtype)
    np.testing.assert_array_equal(y, expected.T)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("dtype", WEIGHTS, ids=name_of)
def test_shapes(device: Library, dtype: Any, shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    rng = np.random.default_rng(shape)
    weight = small_weight(rng, m, k, dtype)
    for x_dtype in ACTIVATIONS:
        x = integers(rng, (n, k), x_dtype)
        x64 = x.astype(np.float64)
        np.testing.assert_array_equal(run(device, weight, dtype, x), x64 @ weight.dense.T)
        for group_size in GROUP_SIZES:
            scale = np.exp2(rng.integers(-2, 3, (m, -(-k // group_size)))).astype(x_dtype)
            y = run(device, weight, dtype, x, scale=scale, group_size=group_size)
            expected = x64 @ scaled(weight, scale, group_size, x_dtype).T
            np.testing.assert_array_equal(y, expected, err_msg=f"groups of {group_size}")


@pytest.mark.parametrize("out_dtype", [FLOAT16, BFLOAT16, FLOAT32], ids=name_of)
@pytest.mark.parametrize("dtype", WEIGHTS, ids=name_of)
def test_row_scales_and_terms(library: Library, dtype: Any, out_dtype: Any) -> None:
    """A scale for each row is the epilogue's; it goes with bias and activation as ever."""
    rng = np.random.default_rng(5)
    weight = small_weight(rng, 50, 200, dtype)
    x, bias = integers(rng, (7, 200), BFLOAT16), integers(rng, (50,), BFLOAT16)
    scale = np.exp2(rng.integers(-6, -2, 50)).astype(np.float32)
    a = weight.on(library, dtype, scale=library.put(scale))
    y = sg.linear(library.put(x), a, library.put(bias), activation="relu", out_dtype=out_dtype.name)
    sums = x.astype(np.float64) @ weight.dense.T
    expected = np.maximum(sums * scale + bias.astype(np.float64), 0).astype(out_dtype)
    np.testing.assert_array_equal(library.get(y), expected)


@pytest.mark.parametrize("x_dtype", ACTIVATIONS, ids=name_of)
@pytest.mark.parametrize("dtype", WEIGHTS, ids=name_of)
def test_strides_and_offsets_of_x(device: Library, dtype: Any, x_dtype: Any) -> None:
    """B that is misaligned, transposed or spread out goes through other copies."""
    rng = np.random.default_rng(6)
    weight = small_weight(rng, 33, 140, dtype)
    a = weight.on(device, dtype)
    space = integers(rng, (2 * 20 + 1, 2 * 140 + 3), x_dtype)
    on_device = device.put(space)
    for rows, columns in ((slice(1, 21), slice(1, 141)), (slice(0, 40, 2), slice(3, 283, 2))):
        y = device.get(sg.linear(on_device[rows, columns], a, out_dtype="float32"))
        expected = space[rows, columns].astype(np.float64) @ weight.dense.T
        np.testing.assert_array_equal(y, expected)
    transposed = device.put(np.ascontiguousarray(space[:20, :140].T)).T
    y = device.get(sg.linear(transposed, a, out_dtype="float32"))
    np.testing.assert_array_equal(y, space[:20, :140].astype(np.float64) @ weight.dense.T)


def weight_only_rows() -> list[dict[str, Any]]:
    names = tuple(f"{a}_{b}" for a in ("s8", "s4", "e4m3", "e5m2") for b in ("f16", "bf16"))
    return [row for row in rows_on_this_device() if row["multiply"] in names]


def test_the_table_has_kernels_for_every_pair_of_types(device: Library) -> None:
    assert len({row["multiply"] for row in weight_only_rows()}) == len(WEIGHTS) * len(ACTIVATIONS)


@pytest.mark.parametrize(
    "row", weight_only_rows(), ids=lambda row: f"{row['config']}-{row['multiply']}-{row['b_load']}"
)
def test_every_kernel(device: Library, row: dict[str, Any]) -> None:
    """Whole tiles, and tiles whose K several CTAs share."""
    a_name, b_name = row["multiply"].split("_")
    dtype = {"s8": INT8, "s4": INT4, "e4m3": E4M3, "e5m2": E5M2}[a_name]
    x_dtype = {"f16": FLOAT16, "bf16": BFLOAT16}[b_name]
    rng = np.random.default_rng(7)
    m, n, k = row["tile_m"] + 5, row["tile_n"] + 3, 128 * (row["num_stages"] + 2) + 8
    weight = small_weight(rng, m, k, dtype)
    x = integers(rng, (n, k), x_dtype)
    scale = np.exp2(rng.integers(-2, 3, (m, -(-k // 64)))).astype(FLOAT16)
    a = weight.on(device, dtype, scale=device.put(scale), group_size=64)
    expected = x.astype(np.float64) @ scaled(weight, scale, 64, x_dtype).T
    for num_ctas, num_whole_tiles in ((0, -1), (3, 0)):
        with forced(row["index"], num_ctas=num_ctas, num_whole_tiles=num_whole_tiles):
            y = device.get(sg.linear(device.put(x), a, out_dtype="float32"))
        np.testing.assert_array_equal(y, expected, err_msg=f"{num_ctas} CTAs")
