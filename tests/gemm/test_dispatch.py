"""Which kernels a problem gets, and what is said where there are none: no device is asked."""

from __future__ import annotations

from typing import Any

import pytest
from made_up_devices import (
    A100,
    B200,
    H100,
    RTX_3090,
    RTX_4090,
    RTX_5090,
    D,
    P,
    plan,
    problem,
)

import sparse_gemm as sg
from sparse_gemm import _C


@pytest.mark.parametrize(
    ("types", "words"),
    [
        (
            (D.float32, D.float32, P.k2of4, D.float32),
            r"pattern='1:2'.*\.half\(\) or \.bfloat16\(\)",
        ),
        ((D.uint4, D.uint4, P.k4of8, D.int32), r"use int4"),
        ((D.int4, D.int4, P.k2of4, D.int32), r"pattern='4:8'"),
        ((D.int4, D.float16, P.k4of8, D.float16), r"pattern='2:4'"),
        ((D.float16, D.float16, P.k1of2, D.float16), r"pattern='2:4'"),
        ((D.float16, D.bfloat16, P.k2of4, D.float16), r"activations must be float16 too"),
        ((D.int8, D.float8_e4m3fn, P.k2of4, D.float16), r"int8, float16 or bfloat16"),
        (
            (D.float16, D.float16, P.k2of4, D.int32),
            r"out_dtype can be float32, float16 or bfloat16",
        ),
        ((D.int8, D.int8, P.k2of4, D.float8_e5m2), r"out_dtype can be int32, int8, float32"),
        ((D.bfloat16, D.bfloat16, P.k2of4, D.float32, 1, 0, True), r"only float16 operands"),
    ],
)
def test_what_has_no_kernel_says_what_has(types: tuple[Any, ...], words: str) -> None:
    with pytest.raises(sg.UnsupportedError, match=words):
        _C.cuda_plan(H100, 64, 16, 64, *types)


@pytest.mark.parametrize("props", [A100, H100, B200], ids=lambda props: props.name)
def test_float8_products_name_the_devices_that_have_them(props: _C.CudaProps) -> None:
    with pytest.raises(sg.UnsupportedError) as error:
        plan(props, 64, 16, 64, "e4m3_e5m2")
    has = "has {}.{}".format(*props.capability)
    for words in ("8.9", "12.0 and later", props.name, has, "float16 or bfloat16 activations"):
        assert words in str(error.value)
    assert plan(props, 64, 16, 64, "e4m3_bf16").kernel


@pytest.mark.parametrize("types", ["e4m3", "e4m3_e5m2", "e5m2_e4m3", "e5m2"])
def test_float8_is_native_on_8_9_and_from_12_0_on(types: str) -> None:
    for props in (RTX_4090, RTX_5090):
        assert plan(props, 64, 16, 64, types).multiply == types


def test_int4_is_native_up_to_8_9() -> None:
    expected = {A100: "s4", RTX_3090: "s4", RTX_4090: "s4", H100: "s4_as_s8", RTX_5090: "s4_as_s8"}
    for props, multiply in expected.items():
        assert plan(props, 64, 16, 64, "s4").multiply == multiply


def test_devices_before_sm_80_are_refused() -> None:
    with pytest.raises(sg.UnsupportedError, match=r"has compute capability 7\.5; .* needs 8\.0"):
        plan(_C.CudaProps(name="T4", capability=(7, 5)), 64, 16, 64)


@pytest.mark.parametrize(
    ("types", "k", "fits"),
    [
        ("s8", 262_140, True),  # 131 070 products of 2^14
        ("s8", 262_144, False),
        ("s4", 4_194_296, True),  # 2 097 148 products of 2^10, as they are formed for int8
        ("s4", 4_194_304, False),
        ("s8_f16", 10**6, True),  # summed in float
    ],
)
def test_sums_that_could_wrap_are_refused(types: str, k: int, fits: bool) -> None:
    if fits:
        assert plan(A100, 16, 1, k, types).num_k_tiles > 0
        return
    with pytest.raises(sg.UnsupportedError, match=f"K is {k}: an int32 sum of that many"):
        plan(A100, 16, 1, k, types)


def test_group_sizes_are_32_64_or_128() -> None:
    for size in (32, 64, 128):
        _C.cuda_plan(A100, *problem(64, 1, 256, "s4_f16")._replace(group_size=size))
    for size in (16, 48, 256, -32):
        with pytest.raises(ValueError, match=f"group_size is {size}; expected 32, 64 or 128"):
            _C.cuda_plan(A100, *problem(64, 1, 256, "s4_f16")._replace(group_size=size))
    with pytest.raises(sg.UnsupportedError, match="group scales need float32, float16 or"):
        _C.cuda_plan(A100, *problem(64, 1, 256, "s8")._replace(group_size=32))


def test_the_cpu_backend_says_what_it_lacks() -> None:
    for a, b, pattern, words in (
        (D.int8, D.float8_e5m2, P.k2of4, "activations can be float32, float16 or bfloat16"),
        (D.float8_e4m3fn, D.float8_e4m3fn, P.k2of4, "can be float32, float16 or bfloat16"),
        (D.int4, D.int4, P.k4of8, "compress an int8 copy with pattern='2:4'"),
        (D.float32, D.float32, P.k1of2, "pattern='2:4'"),
    ):
        with pytest.raises(sg.UnsupportedError, match=f"the cpu backend has no kernel.*{words}"):
            _C.plan(64, 1, 64, a, b, pattern, D.float16, _C.current_isa(), 1)
