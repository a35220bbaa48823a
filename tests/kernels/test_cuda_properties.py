"""Random problems: shapes, types, layouts and terms drawn from fixed seeds; and threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from device_arrays import Array, Library
from typed_cases import (
    DTYPES,
    TYPES,
    integers,
    names_on_this_device,
    put_dense,
    put_matrix,
    same,
    scaled,
    sparse,
    widened,
)

import sparse_gemm as sg
from sparse_gemm import reference

pytestmark = pytest.mark.usefixtures("allow_tf32")

NUM_QUICK, NUM_SLOW = 40, 320
NAMES = names_on_this_device()
EXACT_ACTIVATIONS, ROUNDED_ACTIVATIONS = (None, "relu"), ("gelu", "gelu_tanh", "silu")
# Of the terms, which are computed in float32 there and in float64 here: before the last rounding.
RELATIVE, ABSOLUTE = 2.0**-18, 2.0**-18
ULPS = {"float32": 2.0**-22, "float16": 2.0**-10, "bfloat16": 2.0**-7}  # two halves of one


@dataclass(frozen=True)
class Drawn:
    """A problem: what it is called, operands and terms as the reference takes them."""

    name: str
    c: Any
    stored: Any  # `c`, or with the scales of groups in it
    scale: Array | None
    group_size: int | None
    x: Array
    out_dtype: str
    terms: dict[str, Any]
    is_exact: bool
    layout: str
    uses_matmul: bool


def draw(seed: int) -> Drawn:
    rng = np.random.default_rng((0x5EED, seed))
    name = NAMES[seed % len(NAMES)]
    types = TYPES[name]
    m, n, k = (int(rng.choice([1, 2, 7, 16, rng.integers(1, top)])) for top in (150, 80, 700))
    if rng.random() < 0.05:
        m, n, k = (int(extent) for extent in rng.permutation([0, 5, 33]))
    c = reference.compress(sparse(rng, types, m, k), pattern=types.pattern)
    scale, group_size, stored = None, None, c
    if types.is_weight_only and rng.random() < 0.5:
        group_size = int(rng.choice([32, 64, 128]))
        scale = np.exp2(rng.integers(-2, 3, (m, -(-k // group_size)))).astype(DTYPES[types.b])
        stored = reference.compress(scaled(c, scale, group_size, types.b))
    is_exact = bool(rng.random() < 0.6)
    terms = draw_terms(rng, m, n, is_exact)
    choices = [d for d in types.out_types if d != "int32" or not terms]
    if not is_exact:
        choices = [d for d in choices if d != "int8"]
    return Drawn(
        *(name, c, stored, scale, group_size, integers(rng, types, "b", n, k)),
        out_dtype=str(rng.choice(choices)),
        terms=terms,
        is_exact=is_exact,
        layout=str(rng.choice(["plain", "transposed", "shifted", "apart"])),
        uses_matmul=bool(rng.random() < 0.4),
    )


def draw_terms(rng: np.random.Generator, m: int, n: int, is_exact: bool) -> dict[str, Any]:
    """Some of the terms: if exact, those that need no rounding of integers."""
    terms: dict[str, Any] = {}
    floats = [DTYPES[name] for name in ("float32", "float16", "bfloat16")]

    def chosen(probability: float = 0.4) -> bool:
        return bool(rng.random() < probability)

    def some(*shape: int) -> Array:
        return rng.integers(-4, 5, shape).astype(floats[rng.integers(3)])

    def factors(count: int) -> Array:
        exponents = rng.integers(-2, 1, 1 if chosen(0.2) else count)
        return np.exp2(exponents).astype(np.float32)

    if chosen():
        terms["bias"] = some(m)
    if chosen():
        terms["x_scale"] = factors(n)
    if chosen():
        terms["w_scale"] = factors(m)
    if chosen():
        terms.update(residual=some(n, m), beta=float(rng.choice([0.5, 1.0, -2.0])))
    if chosen(0.3):
        terms["alpha"] = float(rng.choice([0.25, 2.0]))
    activations = EXACT_ACTIVATIONS if is_exact else ROUNDED_ACTIVATIONS
    activation = activations[rng.integers(len(activations))]
    if activation is not None:
        terms["activation"] = activation
    if not is_exact and chosen():
        terms["gate"] = some(n, m)
    return terms


def laid_out(library: Library, x: Array, layout: str) -> Any:
    """`x` [N, K] on the device in that layout; packed elements stay beside one another along K."""
    if x.dtype == DTYPES["int4"] or layout == "plain":
        return put_dense(library, x)
    if layout == "transposed":
        return library.put(x.T).T
    if layout == "shifted":
        flat = np.concatenate([np.zeros(1, x.dtype), x.reshape(-1)])
        return library.put(flat)[1:].reshape(*x.shape)
    wide = np.zeros((x.shape[0], x.shape[1] + 5), x.dtype)
    wide[:, : x.shape[1]] = x
    return library.put(wide)[:, : x.shape[1]]


def compute(library: Library, drawn: Drawn) -> Array:
    types = TYPES[drawn.name]
    a = put_matrix(library, drawn.c, drawn.scale, drawn.group_size)
    x = laid_out(library, drawn.x, drawn.layout)
    terms = {
        name: library.put(term) if isinstance(term, np.ndarray) else term
        for name, term in drawn.terms.items()
    }
    how = {"out_dtype": drawn.out_dtype, "accumulate": types.accumulate}
    if not drawn.uses_matmul:
        return library.get(sg.linear(x, a, **terms, **how))
    names = {"x_scale": "b_scale", "w_scale": "a_scale"}
    terms = {names.get(name, name): term for name, term in terms.items()}
    terms |= {name: terms[name].T for name in ("residual", "gate") if name in terms}
    return library.get(sg.matmul(a, x.T, **terms, **how)).T


def assert_right(y: Array, drawn: Drawn) -> None:
    x, wide = widened(drawn.x), np.dtype(np.float64)
    exact = reference.linear(x, drawn.stored, out_dtype=wide, **drawn.terms)
    if drawn.is_exact:
        expected = reference.linear(
            x, drawn.stored, out_dtype=DTYPES[drawn.out_dtype], **drawn.terms
        )
        assert same(y, expected), drawn
        return
    allowed = ABSOLUTE + (RELATIVE + ULPS[drawn.out_dtype]) * np.abs(exact)
    largest = float(np.finfo(np.float16).max) if drawn.out_dtype == "float16" else np.inf
    inside = np.abs(exact) < largest
    assert (np.abs(y.astype(wide) - exact) <= allowed)[inside].all(), drawn


@pytest.mark.parametrize("seed", range(NUM_QUICK))
def test_random_problems(device: Library, seed: int) -> None:
    drawn = draw(seed)
    assert_right(compute(device, drawn), drawn)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(NUM_QUICK, NUM_QUICK + NUM_SLOW))
def test_more_random_problems(library: Library, seed: int) -> None:
    drawn = draw(seed)
    assert_right(compute(library, drawn), drawn)


def test_the_draws_have_everything() -> None:
    """Each type, layout and term, some of them in the same problem."""
    all_drawn = [draw(seed) for seed in range(NUM_QUICK)]
    assert {drawn.name for drawn in all_drawn} == set(NAMES)
    assert len({drawn.layout for drawn in all_drawn}) == 4
    assert {drawn.uses_matmul for drawn in all_drawn} == {False, True}
    names = {name for drawn in all_drawn for name in drawn.terms}
    assert names == {
        *("bias", "x_scale", "w_scale", "residual", "beta", "alpha", "activation", "gate")
    }


def test_threads_at_once(device: Library) -> None:
    """Each has matrices of its own and one of all; each result is that of the thread alone."""
    shared = draw(0)
    a = put_matrix(device, shared.c, shared.scale, shared.group_size)

    def work(seed: int) -> None:
        for offset in range(3):
            drawn = draw(100 + 3 * seed + offset)
            assert_right(compute(device, drawn), drawn)
            x = put_dense(device, shared.x)
            y = sg.linear(x, a, out_dtype="float32", accumulate=TYPES[shared.name].accumulate)
            expected = reference.linear(widened(shared.x), shared.stored, out_dtype=np.float32)
            assert same(device.get(y), expected)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
