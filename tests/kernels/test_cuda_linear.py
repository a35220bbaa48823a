"""linear and matmul on a device against the reference: shapes, strides, types, terms."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from device_arrays import Array, Library

import sparse_gemm as sg
from sparse_gemm import _C, reference
from sparse_gemm.gemm.epilogue import Terms

FLOAT16, BFLOAT16, FLOAT32 = map(np.dtype, (np.float16, ml_dtypes.bfloat16, np.float32))
DTYPES = (FLOAT16, BFLOAT16)
K_TILE = 64  # a stage of these types; rings have 3 to 6 (test_cuda_types.py has every one)
# Groups with two, one and no element of K; one tile; rings with a stage to spare, full, and going
# round; and tiles that are cut.
DEPTHS = [1, 2, 3, 4, 5, 7, 8, 30, 32, 33, 63, 64, 65, 100, 127, 128, 129, 191, 192, 193]
DEPTHS += [*(K_TILE * num_tiles for num_tiles in (4, 5, 6, 7)), 321, 386, 509]
ROWS = (1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 130)
TOKENS = (0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 128, 129, 200)
FEW, SOME, MANY = 5, 40, 130  # tokens


def integers(rng: np.random.Generator, *shape: int, dtype: Any = FLOAT16) -> Array:
    """Small integers, whose products and sums of these lengths are exact in float32."""
    return rng.integers(-4, 5, shape).astype(dtype)


def sparse(rng: np.random.Generator, m: int, k: int, dtype: Any = FLOAT16) -> Array:
    """A 2:4 matrix of small integers: groups keep two, one and no non-zero, in all positions."""
    w = integers(rng, m, k, dtype=dtype)
    order = rng.random((m, -(-k // 4), 4)).argsort(axis=-1)
    return np.where((order < 2).reshape(m, -1)[:, :k], w, np.zeros((), dtype))


def same(y: Array, expected: Array) -> bool:
    return y.dtype == expected.dtype and np.array_equal(
        y.astype(np.float64), expected.astype(np.float64), equal_nan=True
    )


def check_exact(
    library: Library, m: int, n: int, k: int, dtype: Any, out_dtype: Any = np.float32
) -> None:
    rng = np.random.default_rng((m, n, k))
    w, x = sparse(rng, m, k, dtype), integers(rng, n, k, dtype=dtype)
    a = sg.compress(library.put(w), backend=library.backend)
    expected = reference.linear(x, reference.compress(w), out_dtype=out_dtype)
    y = library.get(sg.linear(library.put(x), a, out_dtype=np.dtype(out_dtype).name))
    assert same(y, expected), f"linear, M={m} N={n} K={k}"
    d = library.get(sg.matmul(a, library.put(x.T), out_dtype=np.dtype(out_dtype).name))
    assert same(d, expected.T), f"matmul, M={m} N={n} K={k}"


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("k", DEPTHS)
def test_depths(device: Library, k: int, dtype: Any) -> None:
    for n in (FEW, SOME, MANY):
        check_exact(device, 70, n, k, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("n", TOKENS)
def test_tokens(device: Library, n: int, dtype: Any) -> None:
    check_exact(device, 70, n, 100, dtype)


@pytest.mark.parametrize("m", ROWS)
def test_rows(device: Library, m: int) -> None:
    for n in (FEW, SOME, MANY):
        check_exact(device, m, n, 68, BFLOAT16)


def test_more_tiles_than_a_band_has(device: Library) -> None:
    """CTAs go through bands of 16 tiles of M, the last of which is lower."""
    for n in (FEW, SOME, MANY):
        check_exact(device, 17 * 128 + 3, n, 8, FLOAT16)


@pytest.mark.parametrize(
    "out_dtype",
    [np.float32, FLOAT16, BFLOAT16],
    ids=lambda d: d.__name__ if isinstance(d, type) else d.name,
)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_types(library: Library, dtype: Any, out_dtype: Any) -> None:
    for n in (1, FEW, SOME):
        check_exact(library, 33, n, 129, dtype, out_dtype)


def test_all_six_positions(device: Library) -> None:
    positions = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    w = np.zeros((36, 128), FLOAT16)
    for row in range(36):
        for group in range(32):
            first, second = positions[(row + group) % 6]
            w[row, 4 * group + first], w[row, 4 * group + second] = row % 5 + 1, group % 7 + 1
    x = np.random.default_rng(0).integers(-4, 5, (20, 128)).astype(FLOAT16)
    a = sg.compress(device.put(w), backend=device.backend)
    y = device.get(sg.linear(device.put(x), a, out_dtype="float32"))
    assert same(y, (x.astype(np.float32) @ w.T.astype(np.float32)))


def strided(library: Library, x: Array) -> dict[str, Any]:
    """Arrays of the values of `x` [N, K] on the device, whose memory is laid out in other ways."""
    n, k = x.shape
    wide, tall, flat = np.ones((n, 2 * k + 3), x.dtype), np.ones((2 * n, k), x.dtype), x.reshape(-1)
    wide[:, : 2 * k : 2], tall[::2] = x, x
    gap = np.concatenate([x, np.ones((n, 5), x.dtype)], axis=1)
    arrays = {
        "columns apart": library.put(wide)[:, : 2 * k : 2],
        "rows apart": library.put(tall)[::2],
        "rows of odd length": library.put(gap)[:, :k],
        "transposed": library.put(x.T).T,
        "one token": library.put(x[:1]),
    }
    for shift in (1, 2, 4):
        shifted = np.concatenate([np.ones(shift, x.dtype), flat])
        arrays[f"{shift} elements off"] = library.put(shifted)[shift:].reshape(n, k)
    return arrays


@pytest.mark.parametrize("k", [64, 67, 130])
def test_activations_of_any_strides_and_alignment(library: Library, k: int) -> None:
    rng = np.random.default_rng(k)
    w = sparse(rng, 40, k)
    a = sg.compress(library.put(w), backend=library.backend)
    for n in (3, SOME):
        x = integers(rng, n, k)
        for name, array in strided(library, x).items():
            expected = reference.linear(library.get(array), reference.compress(w))
            assert same(library.get(sg.linear(array, a)), expected), name
            columns = sg.matmul(a, array.T)
            assert same(library.get(columns), expected.T), f"matmul, {name}"


def test_more_and_fewer_dimensions_and_batches(device: Library) -> None:
    rng = np.random.default_rng(1)
    w = sparse(rng, 20, 36)
    a, stored = sg.compress(device.put(w), backend=device.backend), reference.compress(w)
    for shape in ((36,), (1, 36), (2, 3, 36), (0, 36), (2, 0, 36)):
        x = integers(rng, *shape)
        assert same(device.get(sg.linear(device.put(x), a)), reference.linear(x, stored)), shape
    b = integers(rng, 3, 36, 5)
    expected = np.stack([reference.matmul(stored, item) for item in b])
    assert same(device.get(sg.matmul(a, device.put(b))), expected)
    assert same(device.get(sg.matmul(a, device.put(b[0, :, 0]))), expected[0, :, 0])


def test_empty_matrices(device: Library) -> None:
    bias = device.put(np.arange(6, dtype=np.float32))
    no_k = sg.compress(device.put(np.empty((6, 0), FLOAT16)), backend=device.backend)
    y = device.get(sg.linear(device.put(np.empty((3, 0), FLOAT16)), no_k, bias))
    np.testing.assert_array_equal(y, np.tile(np.arange(6, dtype=FLOAT16), (3, 1)))
    no_rows = sg.compress(device.put(np.empty((0, 8), FLOAT16)), backend=device.backend)
    assert sg.linear(device.put(np.ones((3, 8), FLOAT16)), no_rows).shape == (3, 0)


def test_out_of_any_strides(library: Library) -> None:
    rng = np.random.default_rng(2)
    for n in (3, SOME):
        w, x = sparse(rng, 30, 40), integers(rng, n, 40)
        a = sg.compress(library.put(w), backend=library.backend)
        expected = reference.linear(x, reference.compress(w))
        for out in (
            library.put(np.zeros((n, 30), FLOAT16)),
            library.put(np.zeros((30, n), FLOAT16)).T,
            library.put(np.zeros((n, 61), FLOAT16))[:, :60:2],
            library.put(np.zeros(n * 30 + 1, FLOAT16))[1:].reshape(n, 30),
            library.put(np.zeros((n, 30), np.float32)),
        ):
            assert sg.linear(library.put(x), a, out=out) is out
            assert same(library.get(out), expected.astype(library.get(out).dtype))


def test_elements_beside_out_are_not_touched(device: Library) -> None:
    rng = np.random.default_rng(3)
    w, x = sparse(rng, 30, 40), integers(rng, 7, 40)
    a = sg.compress(device.put(w), backend=device.backend)
    around = device.put(np.full((9, 34), 9.0, FLOAT16))
    sg.linear(device.put(x), a, out=around[1:8, 2:32])
    written = device.get(around).copy()
    assert same(written[1:8, 2:32], reference.linear(x, reference.compress(w)))
    written[1:8, 2:32] = 9.0
    assert (written == 9.0).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_random_data_is_as_near_as_a_dense_product(device: Library, dtype: Any) -> None:
    """Error against float64 at most twice that of the dense product of the same dtype, whose sums
    are float32's, plus 2^-20 of the sum of magnitudes: tensor cores may round sums towards zero."""
    rng = np.random.default_rng(4)
    for n in (1, FEW, SOME, MANY):
        w = reference.prune(rng.standard_normal((80, 512)).astype(dtype))
        x = rng.standard_normal((n, 512)).astype(dtype)
        a = sg.compress(device.put(w), backend=device.backend)
        exact = x.astype(np.float64) @ w.T.astype(np.float64)
        magnitude = np.abs(x.astype(np.float64)) @ np.abs(w.T.astype(np.float64))
        for out_dtype in (np.dtype(np.float32), dtype):
            dense = (x.astype(np.float32) @ w.T.astype(np.float32)).astype(out_dtype)
            y = device.get(sg.linear(device.put(x), a, out_dtype=out_dtype.name))
            bound = 2 * np.abs(dense.astype(np.float64) - exact).max() + 2.0**-20 * magnitude.max()
            assert np.abs(y.astype(np.float64) - exact).max() <= bound


def test_inf_nan_and_subnormals(device: Library) -> None:
    """A pruned weight is absent: it gives nothing even with inf; a stored zero times inf is nan."""
    rng = np.random.default_rng(5)
    w = sparse(rng, 24, 64)
    w[3, 8:12], w[4, 0:4], w[5] = (0, np.inf, 0, 0), (np.nan, 0, 0, 0), 0
    w[5, 0] = 2.0**-24  # alone in its row, so that its products are not rounded away
    x = integers(rng, 6, 64)
    x[1, 5], x[2, 6], x[3, 7], x[4, 0] = np.inf, -np.inf, np.nan, 2.0**-14
    a = sg.compress(device.put(w), backend=device.backend)
    y = device.get(sg.linear(device.put(x), a, out_dtype="float32"))
    expected = reference.linear(x, reference.compress(w), out_dtype=np.float32)
    assert np.isfinite(expected).any(axis=1).all()
    assert same(y, expected)


def test_results_repeat_bit_for_bit(device: Library) -> None:
    rng = np.random.default_rng(6)
    w = reference.prune(rng.standard_normal((70, 300)).astype(FLOAT16))
    a = sg.compress(device.put(w), backend=device.backend)
    for n in (FEW, SOME, MANY):
        x = device.put(rng.standard_normal((n, 300)).astype(FLOAT16))
        first, second = (device.get(sg.linear(x, a, out_dtype="float32")) for _ in range(2))
        assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("scales", [None, "rows", "groups"])
@pytest.mark.parametrize("leading", [(5,), (2, 3)], ids=str)
@pytest.mark.parametrize("has_terms", [False, True])
def test_the_shortcut_of_torch_hands_down_what_the_long_way_does(
    emulator: object,
    monkeypatch: pytest.MonkeyPatch,
    scales: str | None,
    leading: tuple[int, ...],
    has_terms: bool,
) -> None:
    """It asks for CUDA tensors; there are none on the emulated device, so it is told of some."""
    torch = pytest.importorskip("torch")
    from sparse_gemm.gemm import eager
    from sparse_gemm.torch_glue import shortcut

    w = torch.randint(-4, 5, (30, 128)).half()
    if scales is None:
        a = sg.compress(w, policy="prune", backend="cuda")
    else:
        size = 64 if scales == "groups" else None
        a = sg.quantize(w, "int4", group_size=size, prune=True, backend="cuda")
    x = torch.ones(*leading, 128).half()
    bias = torch.ones(30).half() if has_terms else None
    x_scale = torch.ones(leading) if has_terms else None
    calls: list[tuple[Any, ...]] = []
    vectors: list[tuple[Any, ...]] = []  # what becomes of bias and scales in an epilogue

    def vector(*arguments: Any) -> Any:
        vectors.append(arguments)
        return make_vector(*arguments)

    make_vector = _C.VectorOperand
    monkeypatch.setattr(_C, "VectorOperand", vector)
    monkeypatch.setattr(_C, "cuda_gemm", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(shortcut, "_is_on", lambda *_: True)
    y = shortcut.linear(x, a, bias, "relu", None, x_scale, torch.float32)
    assert not vectors
    terms = Terms(bias, "relu", None, x_scale)
    eager.linear(x, a, terms, eager.Options(out_dtype=torch.float32))
    assert y is not None
    assert y.shape == (*leading, 30)
    short, long = calls
    d, code = 17, 22  # of the arguments in gemm_arguments.h
    assert short[d] == y.data_ptr()
    found = {(short[code], _C.DType(short[code + 1]), short[code + 2])}
    assert short[code + 3] == int(_C.Activation.relu)
    found |= {
        (address, _C.DType.float32, stride)
        for address, stride in zip(short[26:30:2], short[27:30:2], strict=True)
    }
    assert {vector for vector in found if vector[0]} == {*vectors}
    assert short[-2] is None
    same_in_both = [i for i in range(33) if i not in (d, 31) and not 22 <= i < 30]
    assert [short[i] for i in same_in_both] == [long[i] for i in same_in_both]
