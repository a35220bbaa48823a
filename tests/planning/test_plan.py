"""plan on the CPU; the planner of devices is in test_planner.py."""

from __future__ import annotations

import pytest
from small_matrices import A, X, sparse

import sparse_gemm as sg
from sparse_gemm import _C


def test_plan_says_what_runs_and_tells_few_tokens_from_many() -> None:
    a = sg.compress(sparse(64, 64))
    few, many = sg.plan(a, 1), sg.plan(a, 512)
    assert few.kernel.startswith("row_dot")
    assert many.kernel.startswith("panel")
    assert few.a_bytes == a.nbytes
    assert many.multiply_adds == 64 * 512 * 32
    assert "row_dot" in str(few)
    assert few.why in str(few)


def test_plan_names_the_instruction_set_in_use_whatever_the_kernel_needs(isa: _C.Isa) -> None:
    assert sg.plan(A, 1).device == isa.name


def test_plan_refuses_what_is_no_number_of_tokens() -> None:
    with pytest.raises(TypeError, match="tokens is 1.5; expected a whole number"):
        sg.plan(A, 1.5)
    with pytest.raises(ValueError, match="tokens is 4611686018427387904"):
        sg.plan(A, 2**62)
    with pytest.raises(TypeError, match="alpha is 'a'; expected a number"):
        sg.linear(X, A, alpha="a")
    with pytest.raises(ValueError, match="tokens is -1"):
        sg.plan(A, -1)


def test_few_rows_are_shared_out_too() -> None:
    dtype, pattern = _C.DType.float32, _C.Pattern.k2of4
    plan = _C.plan(64, 2048, 1024, dtype, dtype, pattern, dtype, _C.Isa.portable, 4)
    assert plan.num_threads == 4


# Lanes; what one group of K takes packed for a vector of tokens; vectors of tokens that come
# together, and at most side by side.
PANELS = {
    ("portable", "float32"): (4, 64, 1, 4),
    ("avx2", "bfloat16"): (8, 128, 1, 4),
    ("avx512", "int8"): (16, 256, 1, 4),
    ("avx512_vnni", "float16"): (16, 256, 1, 4),
    ("avx512_bf16", "bfloat16"): (16, 128, 2, 8),
}


@pytest.mark.parametrize(("isa", "name"), PANELS)
@pytest.mark.parametrize("n", [17, 32, 33, 64, 65, 250, 257, 1000, 4096])
@pytest.mark.parametrize("k", [1, 100, 4096])
def test_many_tokens_are_cut_into_blocks_that_fit_the_cache(
    isa: str, name: str, n: int, k: int
) -> None:
    lanes, group_bytes, step, most = PANELS[isa, name]
    dtype = getattr(_C.DType, name)
    out = _C.DType.int32 if name == "int8" else dtype
    plan = _C.plan(1000, n, k, dtype, dtype, _C.Pattern.k2of4, out, getattr(_C.Isa, isa), 2)
    if plan.kernel.startswith("row_dot"):
        assert n <= 32
        return
    width = plan.panel_vectors * lanes
    assert plan.panel_vectors in range(step, most + 1, step)
    assert plan.tile_n % width == 0
    assert plan.tile_n <= 256
    spans = -(-n // plan.tile_n)
    assert spans == -(-n // 256)  # no more than needed
    assert plan.tile_n * spans - n < spans * most * lanes
    groups = plan.k_tile // 4
    assert groups % 8 == 0  # whole steps
    assert groups * plan.panel_vectors * group_bytes <= 24 * 1024
    padded_groups = -(-k // 4) + 7
    panels = plan.tile_n // width
    packed = panels * padded_groups * plan.panel_vectors * group_bytes
    of_span = plan.workspace_bytes // plan.num_spans
    assert packed * (padded_groups - 7) // padded_groups <= of_span <= packed


@pytest.mark.parametrize("n", [1, 17, 257, 1500, 5000])
@pytest.mark.parametrize("k", [8, 384, 4096, 20000])
def test_spans_are_packed_together_as_long_as_they_fit_the_cache(n: int, k: int) -> None:
    dtype, pattern = _C.DType.float32, _C.Pattern.k2of4
    plan = _C.plan(384, n, k, dtype, dtype, pattern, dtype, _C.Isa.avx2, 2)
    of_span, rest = divmod(plan.workspace_bytes, plan.num_spans)
    spans = -(-n // plan.tile_n)
    assert rest == 0
    assert plan.num_spans == max(1, min(spans, (2 << 20) // of_span))


@pytest.mark.parametrize("n", [17, 250, 257, 1000])
@pytest.mark.parametrize("k", [1, 100, 4096])
def test_many_tokens_of_int8_are_cut_into_blocks_of_four(n: int, k: int) -> None:
    int8, pattern = _C.DType.int8, _C.Pattern.k2of4
    plan = _C.plan(1000, n, k, int8, int8, pattern, _C.DType.int32, _C.Isa.avx512_bf16, 2)
    assert plan.kernel.startswith("row_block_int8")
    assert plan.tile_n % 4 == 0
    assert plan.tile_n <= 256
    spans = -(-n // plan.tile_n)
    assert spans == -(-n // 256)  # no more than needed
    assert plan.tile_n * spans - n < 4 * spans
    assert plan.tile_m % 8 == 0
    assert plan.workspace_bytes == plan.num_spans * plan.tile_n * -(-k // 128) * 128


@pytest.mark.parametrize(
    ("isa", "name", "last"),
    [("avx2", "float32", 16), ("avx512_vnni", "int8", 16), ("avx512_bf16", "bfloat16", 32)],
)
def test_few_tokens_are_multiplied_along_k(isa: str, name: str, last: int) -> None:
    dtype = getattr(_C.DType, name)
    out = _C.DType.int32 if name == "int8" else dtype
    element_bytes = {"float32": 4, "int8": 1, "bfloat16": 2}[name]
    for n in (1, last - 1, last):
        plan = _C.plan(64, n, 256, dtype, dtype, _C.Pattern.k2of4, out, getattr(_C.Isa, isa), 1)
        assert plan.kernel.startswith("row_dot")
        assert plan.tile_n == n
        assert plan.workspace_bytes == n * 256 * element_bytes
    plan = _C.plan(64, last + 1, 256, dtype, dtype, _C.Pattern.k2of4, out, getattr(_C.Isa, isa), 1)
    assert not plan.kernel.startswith("row_dot")


def test_pairs_are_multiplied_where_there_are_instructions_for_them() -> None:
    for name, kernel in (("bfloat16", "pair_panel_bf16"), ("int8", "row_block_int8")):
        dtype = getattr(_C.DType, name)
        out = _C.DType.int32 if name == "int8" else dtype
        for isa, expected in ((_C.Isa.avx512_bf16, kernel), (_C.Isa.avx512, "panel_avx512")):
            plan = _C.plan(64, 100, 64, dtype, dtype, _C.Pattern.k2of4, out, isa, 1)
            assert plan.kernel.startswith(expected)


def test_slow_dot_products_of_bfloat16_are_left_out() -> None:
    bf16, pattern = _C.DType.bfloat16, _C.Pattern.k2of4
    for n, expected in ((1, "row_dot_avx512"), (24, "row_dot_avx512"), (25, "panel_avx512")):
        plan = _C.plan(64, n, 64, bf16, bf16, pattern, bf16, _C.Isa.avx512_bf16, 1, True)
        assert plan.kernel == expected
    plan = _C.plan(64, 300, 64, bf16, bf16, pattern, bf16, _C.Isa.portable, 1, True)
    assert plan.kernel == "panel_portable"


def test_permutations_that_take_the_place_of_products_are_left_out() -> None:
    int8, int32, pattern = _C.DType.int8, _C.DType.int32, _C.Pattern.k2of4
    for isa in (_C.Isa.avx512_vnni, _C.Isa.avx512_bf16):
        for n, expected in ((8, "row_dot_int8_avx512_vnni"), (9, "dense_panel_int8_avx512_vnni")):
            plan = _C.plan(64, n, 64, int8, int8, pattern, int32, isa, 1, True)
            assert plan.kernel == expected


@pytest.mark.parametrize("n", [9, 16, 17, 48, 65, 129, 250, 257, 1000])
@pytest.mark.parametrize("k", [1, 100, 4096, 5000])
def test_panels_of_expanded_rows_are_of_one_width(n: int, k: int) -> None:
    int8, pattern = _C.DType.int8, _C.Pattern.k2of4
    isa = _C.Isa.avx512_vnni
    plan = _C.plan(1000, n, k, int8, int8, pattern, _C.DType.int32, isa, 2, True)
    assert plan.kernel.startswith("dense_panel")
    panels, rest = divmod(plan.tile_n, 16 * plan.panel_vectors)
    assert rest == 0
    assert plan.panel_vectors <= 4
    assert plan.tile_n <= 256
    spans = -(-n // plan.tile_n)
    assert spans == -(-n // 256)  # no more than needed
    assert (plan.tile_n - -(-n // spans)) // 16 < panels  # less than a vector a panel is idle
    assert plan.tile_m % 16 == 0
    assert plan.k_tile == 4096
    assert plan.workspace_bytes == plan.num_spans * plan.tile_n * -(-k // 64) * 64


def test_tasks_are_of_one_size_for_every_thread() -> None:
    dtype, pattern = _C.DType.float32, _C.Pattern.k2of4
    for m, threads in ((384, 2), (4096, 2), (1000, 3), (130, 1)):
        plan = _C.plan(m, 100, 512, dtype, dtype, pattern, dtype, _C.Isa.avx2, threads)
        assert plan.tile_m <= 128
        assert plan.num_tasks == -(-m // plan.tile_m)
        assert plan.num_tasks % threads == 0
