"""The CUDA planner and its cost model, on devices that are made up: no GPU is asked."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_devices import (
    A100,
    B200,
    DEVICES,
    H100,
    RTX_3090,
    RTX_4090,
    RTX_5090,
    TYPES,
    candidates,
    plan,
    problem,
)

import sparse_gemm as sg
from sparse_gemm import _C
from sparse_gemm.planning import plans, tuning

ROOT = Path(__file__).parents[2]


def shape_of(plan: _C.CudaPlan) -> tuple[Any, ...]:
    return plan.row, plan.num_ctas, plan.num_whole_tiles


def busiest_steps(plan: _C.CudaPlan, sm_count: int) -> int:
    """Steps along K of the SM with the most, counted CTA by CTA as core/schedule.h deals them."""
    shared = (plan.num_tiles - plan.num_whole_tiles) * plan.num_k_tiles
    each, more = divmod(shared, plan.num_ctas)
    steps = [0] * sm_count
    for cta in range(plan.num_ctas):
        whole = max(-(-(plan.num_whole_tiles - cta) // plan.num_ctas), 0)
        steps[cta % sm_count] += each + (cta < more) + whole * plan.num_k_tiles
    return max(steps)


# ------------------------------------------------------------------------------------------ plans


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("props", DEVICES, ids=lambda props: props.name)
def test_every_type_has_plans_of_kernels_that_fit(props: _C.CudaProps, types: str) -> None:
    has_float8 = props.capability == (8, 9) or props.capability >= (12, 0)
    if types.startswith("e") and types[-3:] != "f16" and not has_float8:
        with pytest.raises(sg.UnsupportedError, match=r"compute capability 8\.9"):
            plan(props, 64, 1, 64, types)
        return
    name = "s4_as_s8" if types == "s4" and props.capability >= (9, 0) else types
    for n in (1, 16, 100, 4096):
        found = candidates(props, 4096, n, 4096, types)
        assert shape_of(found[0]) == shape_of(plan(props, 4096, n, 4096, types))
        assert len({shape_of(one) for one in found}) == len(found)
        for one in found:
            assert one.multiply == name
            assert props.capability < _C.cuda_kernels()[one.row]["end_capability"]
            assert one.shared_memory_bytes <= props.shared_memory_per_block


@pytest.mark.parametrize("props", DEVICES, ids=lambda props: props.name)
@pytest.mark.parametrize("n", [1, 16, 64, 500, 4096])
@pytest.mark.parametrize(("m", "k"), [(4096, 4096), (100, 64), (14336, 4096), (16, 100000)])
def test_every_candidate_is_a_schedule_with_a_finite_cost(
    props: _C.CudaProps, m: int, n: int, k: int
) -> None:
    kernels = _C.cuda_kernels()
    for one in candidates(props, m, n, k):
        assert one.num_tiles == -(-m // one.tile_m) * -(-n // one.tile_n)
        assert one.num_k_tiles == -(-k // one.k_tile)
        assert one.num_ctas > 0
        is_whole = one.num_whole_tiles == one.num_tiles
        assert is_whole or one.num_whole_tiles % one.num_ctas == 0
        shared = one.num_tiles - one.num_whole_tiles
        # A run long enough to be worth the partial sums; two slots for each CTA.
        assert is_whole or shared * one.num_k_tiles >= 4 * one.num_ctas
        sums = one.tile_m * one.tile_n * kernels[one.row]["warps_k"]
        slots = 0 if is_whole else 2 * one.num_ctas * sums * 4
        assert (one.workspace_bytes, one.num_counters) == (slots, shared)
        kinds = {0: "split", one.num_tiles: "whole"}
        assert one.schedule == kinds.get(one.num_whole_tiles, "stream-k")
        times = [*one.main_loop_us.values(), one.fixed_us, one.predicted_us, one.dense_us]
        assert all(math.isfinite(us) and us > 0 for us in times)
        assert one.wave_quantisation >= 1


@pytest.mark.parametrize("props", DEVICES, ids=lambda props: props.name)
def test_the_cost_is_one_function(props: _C.CudaProps) -> None:
    """The prediction follows from the parts that are shown, for every kernel and schedule."""
    of_sm = {"mma", "issue", "shared memory"}
    for n in (1, 64, 777, 4096):
        for one in candidates(props, 4096, n, 8192):
            steps = one.num_tiles * one.num_k_tiles
            busiest = busiest_steps(one, props.sm_count)
            share = busiest * props.sm_count / steps
            assert one.wave_quantisation == pytest.approx(share)
            bounds = {
                name: us * (one.wave_quantisation if name in of_sm else 1)
                for name, us in one.main_loop_us.items()
            }
            assert one.bound == max(bounds, key=bounds.__getitem__)
            assert one.predicted_us == pytest.approx(max(bounds.values()) + one.fixed_us)


@pytest.mark.parametrize("props", DEVICES, ids=lambda props: props.name)
def test_the_choice_is_within_what_the_estimate_can_tell_of_the_cheapest(
    props: _C.CudaProps,
) -> None:
    for n in (1, 8, 9, 33, 64, 129, 1000, 4096):
        found = candidates(props, 4096, n, 4096)
        cheapest = min(one.predicted_us for one in found)
        assert found[0].predicted_us <= 1.03 * cheapest
        rest = [one.predicted_us for one in found[1:]]
        assert rest == sorted(rest)


def test_plans_repeat() -> None:
    for n in (1, 100, 4096):
        assert shape_of(plan(H100, 4096, n, 4096)) == shape_of(plan(H100, 4096, n, 4096))


@pytest.mark.parametrize(
    ("props", "m", "n", "k"),
    [
        (A100, 4096, 256, 4096),
        (A100, 8192, 4096, 8192),
        (H100, 4096, 16, 4096),
        (H100, 4096, 1, 8192),
        (H100, 4096, 64, 14336),
        (RTX_4090, 8192, 2048, 8192),
        (RTX_3090, 8192, 2048, 8192),
    ],
    ids=str,
)
def test_work_enough_fills_the_device(props: _C.CudaProps, m: int, n: int, k: int) -> None:
    chosen = plan(props, m, n, k)
    assert chosen.num_ctas >= 0.95 * props.sm_count
    assert chosen.wave_quantisation <= 1.1


@pytest.mark.parametrize("props", DEVICES, ids=lambda props: props.name)
def test_decode_reads_each_weight_once(props: _C.CudaProps) -> None:
    for n, tile_n in ((1, 8), (8, 8), (16, 16)):
        assert plan(props, 14336, n, 4096).tile_n >= tile_n
        assert plan(props, 14336, n, 4096).bound == "DRAM"


def test_many_tokens_take_large_tiles_that_tensor_cores_bound() -> None:
    for props in (A100, H100, RTX_4090):
        chosen = plan(props, 8192, 8192, 8192)
        assert chosen.tile_m * chosen.tile_n >= 128 * 128
        assert chosen.main_loop_us["mma"] >= 0.7 * chosen.predicted_us


def test_the_last_wave_is_shared_where_it_would_leave_sms_idle() -> None:
    """129 tiles on 128 SMs: one of them alone would have another whole tile to do."""
    props = _C.CudaProps(sm_count=128)
    found = candidates(props, 256 * 43, 3 * 128, 65536)
    found = [one for one in found if one.kernel == "sm80_256x128"]
    best = {
        kind: min(one.predicted_us for one in found if one.schedule == kind)
        for kind in ("whole", "stream-k", "split")
    }
    assert min(best["stream-k"], best["split"]) < 0.6 * best["whole"]


# ---------------------------------------------------------------------------------------- the model


def best_us(props: _C.CudaProps, m: int, n: int, k: int, types: str = "f16") -> float:
    return min(one.predicted_us for one in candidates(props, m, n, k, types))


@pytest.mark.parametrize("props", DEVICES, ids=lambda props: props.name)
def test_more_work_is_not_predicted_to_take_less(props: _C.CudaProps) -> None:
    for n in (1, 8, 64, 512, 4096):
        for k in (1024, 4096, 16384):
            assert best_us(props, 8192, n, k) >= best_us(props, 4096, n, k)
            assert best_us(props, 4096, n, 2 * k) >= best_us(props, 4096, n, k)
            assert best_us(props, 4096, 2 * n, k) >= best_us(props, 4096, n, k)


def test_a_faster_device_is_not_predicted_to_take_longer() -> None:
    slow = {"capability": (8, 0), "clock_khz": 1_000_000, "memory_bytes_per_second": 10**12}
    for faster in (
        {"clock_khz": 2_000_000},
        {"memory_bytes_per_second": 2 * 10**12},
        {"sm_count": 216},
    ):
        for n in (1, 64, 4096):
            props = _C.CudaProps(**slow)
            assert best_us(_C.CudaProps(**slow | faster), 8192, n, 8192) <= best_us(
                props, 8192, n, 8192
            )


def test_rates_are_the_devices_where_it_says_them() -> None:
    """8192 x 8192 half-precision weights are 75.5 MB packed: 75.5 us at 1 TB/s, and no less."""
    props = _C.CudaProps(memory_bytes_per_second=10**12)
    chosen = plan(props, 8192, 1, 8192)
    assert chosen.a_bytes == 8192 * 8192 * 9 // 8
    assert 75.5 / 0.92 <= chosen.main_loop_us["DRAM"] <= 75.5 / 0.92 * 1.01


@pytest.mark.parametrize(
    ("props", "types", "tflops"),
    [  # peaks of sparse products, of which the model takes 88 %
        (A100, "f16", 624),
        (A100, "s8", 1248),
        (A100, "tf32", 312),
        (RTX_4090, "f16", 330),
        (RTX_4090, "e4m3", 661),
        (RTX_4090, "s8", 1321),
        (H100, "f16", 0.445 * 1979),  # what is reported of mma.sp
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_mma_rates_are_those_of_the_data_sheets(
    props: _C.CudaProps, types: str, tflops: float
) -> None:
    for one in candidates(props, 8192, 8192, 8192, types):
        flops = 2.0 * one.tile_m * one.tile_n * one.num_tiles * 8192
        peak = flops / (one.main_loop_us["mma"] * 0.88) / 1e6
        assert peak == pytest.approx(tflops, rel=0.06)


LAYERS = [  # out_features, in_features
    *[(6144, 4096), (4096, 4096), (1024, 4096), (28672, 4096), (14336, 4096), (4096, 14336)],
    *[(10240, 8192), (8192, 8192), (1024, 8192), (57344, 8192), (28672, 8192), (8192, 28672)],
    *[(4608, 3584), (3584, 3584), (512, 3584), (37888, 3584), (18944, 3584), (3584, 18944)],
    *[(7168, 5120), (5120, 5120), (1024, 5120), (8192, 5120), (25600, 5120), (5120, 25600)],
    *[(29568, 8192), (8192, 29568), (12288, 4096), (4096, 12288)],
]


@pytest.mark.parametrize("types", ["f16", "bf16", "s4_f16", "s8_f16"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_no_layer_of_llama_3_or_qwen_is_predicted_to_lose_to_dense(
    layer: tuple[int, int], types: str
) -> None:
    """Llama 3 8B and 70B, Qwen 2.5 7B, 32B and 72B, Qwen 3 8B: on an H100, for 1 to 64 tokens."""
    for n in range(1, 65):
        chosen = plan(H100, layer[0], n, layer[1], types)
        assert chosen.predicted_us <= chosen.dense_us, (n, chosen.kernel, chosen.schedule)


@pytest.mark.parametrize("types", ["f16", "bf16"])
@pytest.mark.parametrize("tokens", [1, 4, 8, 16])
@pytest.mark.parametrize(
    ("m", "k", "gain"),
    [(4096, 4096, 1.4), (14336, 4096, 1.6), (4096, 14336, 1.6), (28672, 8192, 1.6)],
)
def test_few_tokens_are_predicted_to_gain(
    m: int, k: int, gain: float, tokens: int, types: str
) -> None:
    found = plan(H100, m, tokens, k, types)
    assert found.dense_us >= gain * found.predicted_us


def test_a_plan_that_would_lose_says_so() -> None:
    text = str(plans._cuda_plan(problem(64, 4096, 64), H100))
    found = plan(H100, 64, 4096, 64)
    assert ("lose to dense" in text) == (found.predicted_us > found.dense_us)
    wide = plans._cuda_plan(problem(4096, 8192, 4096), H100)
    assert wide.predicted_us > wide.dense_us  # dense has wgmma
    assert "this would lose to dense" in str(wide)


def test_a_plan_prints() -> None:
    shown = plans._cuda_plan(problem(4096, 32, 4096), H100)
    assert isinstance(shown, sg.Plan)
    assert shown.multiply_adds == 4096 * 32 * 2048
    lines = str(shown).splitlines()
    assert lines[0] == "D[4096,32] = A[4096,4096] @ B[4096,32] on cuda (NVIDIA H100 80GB HBM3)"
    assert shown.why in lines[1]
    text = "\n".join(lines)
    assert f"{shown.num_ctas} CTA(s) of {shown.num_threads} threads, " in text
    assert "tile(s) shared along K (split)" in text
    assert f"workspace  {shown.workspace_bytes / 1e6:.2f} MB" in text
    assert f"predicted  {shown.predicted_us:.1f} us, bound by DRAM" in text
    assert "us (predicted): 1." in lines[-1]
    assert "int4 is multiplied as int8" in str(plans._cuda_plan(problem(64, 1, 64, "s4"), H100))
    assert "as int8" not in str(plans._cuda_plan(problem(64, 1, 64, "s4"), A100))


@pytest.mark.parametrize(("m", "n", "k"), [(0, 5, 64), (64, 0, 64), (64, 5, 0)])
def test_empty_problems_have_plans(m: int, n: int, k: int) -> None:
    found = plan(A100, m, n, k)
    assert found.num_tiles == found.num_whole_tiles == (0 if m == 0 or n == 0 else 1)
    assert found.num_ctas == found.num_tiles
    assert found.workspace_bytes == 0
    assert "D[" in str(plans._cuda_plan(problem(m, n, k), A100))


def test_a_batch_is_as_many_tiles() -> None:
    one = plan(A100, 4096, 4096, 64)
    batch = _C.cuda_plan(A100, *problem(4096, 4096, 64)._replace(batch=3))
    assert batch.num_tiles % 3 == 0
    assert batch.multiply_adds == 3 * one.multiply_adds


def test_ragged_rows_of_b_take_the_kernel_that_loads_any() -> None:
    assert plan(A100, 64, 16, 64).b_load == "aligned"
    assert plan(A100, 64, 16, 100).b_load == "any"  # rows of 200 bytes
    assert plan(A100, 64, 1, 100).b_load == "aligned"  # one row


# ------------------------------------------------------------------------------------------- forced


@pytest.fixture(autouse=True)
def _nothing_stays_forced() -> Iterator[None]:
    yield
    _C.cuda_unforce()


def row_of(config: str, multiply: str = "f16", b_load: str = "aligned") -> int:
    wanted = (config, multiply, b_load)
    rows = _C.cuda_kernels()
    return next(r["index"] for r in rows if (r["config"], r["multiply"], r["b_load"]) == wanted)


def test_every_row_that_fits_can_be_forced() -> None:
    for row in _C.cuda_kernels():
        types = "s4" if row["multiply"] == "s4_as_s8" else row["multiply"]
        fp8 = types.startswith("e") and types[-3:] != "f16"
        props = RTX_4090 if fp8 else H100 if row["multiply"] == "s4_as_s8" else A100
        with tuning.forced(row["index"]):
            found = plan(props, 300, 77, 512, types)
        assert found.row == row["index"]
        assert (found.kernel, found.b_load) == (row["config"], row["b_load"])


def test_a_row_that_would_spill_on_the_device_cannot_be_forced() -> None:
    row = row_of("sm80_128x128")
    assert plan(A100, 4096, 4096, 4096).kernel in ("sm80_128x128", "sm80_256x128")
    for props in (B200, RTX_5090):
        with tuning.forced(row), pytest.raises(ValueError, match="does not fit"):
            plan(props, 4096, 4096, 4096)


def test_a_schedule_can_be_forced() -> None:
    row = row_of("sm80_64x64")
    with tuning.forced(row, 3, 6):
        found = plan(A100, 64 * 8, 64, 640)
        assert (found.num_ctas, found.num_whole_tiles, found.num_tiles) == (3, 6, 8)
        assert found.num_counters == 2
        assert found.workspace_bytes == 2 * 3 * 64 * 64 * 4
    with tuning.forced(row, 5):
        assert plan(A100, 64 * 8, 64, 640).num_whole_tiles == 8
    assert shape_of(plan(A100, 64 * 8, 64, 640)) != (row, 5, 8)


@pytest.mark.parametrize(("num_ctas", "num_whole"), [(3, 4), (3, 9), (-1, 0)])
def test_a_schedule_that_is_none_is_refused(num_ctas: int, num_whole: int) -> None:
    with (
        tuning.forced(row_of("sm80_64x64"), num_ctas, num_whole),
        pytest.raises(ValueError, match="whole tiles of 8"),
    ):
        plan(A100, 64 * 8, 64, 640)


def test_a_kernel_that_does_not_fit_is_refused() -> None:
    with tuning.forced(row_of("sm80_64x16")), pytest.raises(ValueError, match="does not fit"):
        plan(A100, 64, 1, 64, "bf16")
    with tuning.forced(row_of("sm80_64x16")), pytest.raises(ValueError, match="b_load any"):
        plan(A100, 64, 16, 100)
    with tuning.forced(row_of("sm80_256x128")), pytest.raises(ValueError, match="does not fit"):
        plan(RTX_4090, 64, 16, 64)
    with tuning.forced(10_000), pytest.raises(ValueError, match="kernel 10000 is forced"):
        plan(A100, 64, 16, 64)


# ----------------------------------------------------------------------------------- the plan cache


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_the_plan_cache_is_fast_bounded_and_right_from_several_threads(tmp_path: Path) -> None:
    names = ("choose_plan", "plan_cache", "planner_cuda", "cost_model", "device_rates", "dispatch")
    sources = [ROOT / "csrc" / "core" / f"{name}.cpp" for name in names]
    program = tmp_path / "plan_cache"
    command = ["g++", "-std=c++20", "-O2", "-pthread", "-I", ROOT / "csrc", "-o", program]
    subprocess.run([*command, ROOT / "tests" / "plan_cache.cpp", *sources], check=True)
    done = subprocess.run([program], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert 0 < found["hit_ns"] <= 1000
    assert 0 < found["size"] <= found["max_size"]


def test_plans_of_arrays_on_the_cpu_print() -> None:
    a = sg.compress(np.ones((8, 16), np.float32), policy="prune")
    text = str(sg.plan(a, 3))
    assert "on cpu" in text
    assert "predicted" not in text
    with pytest.raises(sg.UnsupportedError, match="out_dtype can be"):
        sg.plan(a, 3, out_dtype="int32")
    with pytest.raises(TypeError, match="x_dtype"):
        sg.plan(a, 3, x_dtype="complex64")
