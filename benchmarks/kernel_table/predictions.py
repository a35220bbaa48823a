"""What the planner expects: of each kernel, its bound and time; of each layer, whether it loses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.kernel_table.layers import DEVICES, MODELS, TOKENS
from sparse_gemm import _C
from sparse_gemm.bench.shapes import Layer
from sparse_gemm.planning.plans import Problem

_D, _P = _C.DType, _C.Pattern
_HALF = {"f16": _D.float16, "bf16": _D.bfloat16}
_FLOAT8 = {"e4m3": _D.float8_e4m3fn, "e5m2": _D.float8_e5m2}
_STORED = {"s8": _D.int8, **_FLOAT8, "s4": _D.int4}
_GROUP_SIZE = 128  # of int4 weights; other weights have a scale a row

# Types whose layers are compared with a dense product. Others of the same widths fare alike.
COMPARED = ("f16", "tf32", "s8", "e4m3", "s4", "s8_f16", "s4_f16")
SHOWN = ("f16", "s8", "e4m3", "s4_f16")
SHOWN_LAYERS = (Layer(4096, 4096), Layer(14336, 4096))
SHOWN_TOKENS = (1, 16, 64, 256, 1024, 4096)
_LARGE = 4096  # M and K of the problem that a kernel's time is predicted for; its N, or a tile's


def problem(multiply: str, m: int, n: int, k: int) -> Problem:
    """That of a name in csrc/core/multiply.h, D as it is by default."""
    if multiply == "f16_acc_f16":
        return Problem(
            m, n, k, _D.float16, _D.float16, _P.k2of4, _D.float16, accumulate_in_f16=True
        )
    if multiply == "tf32":
        return Problem(m, n, k, _D.float32, _D.float32, _P.k1of2, _D.float32)
    if multiply in ("s4", "s4_as_s8"):
        return Problem(m, n, k, _D.int4, _D.int4, _P.k4of8, _D.int32)
    if multiply in _HALF:
        return Problem(m, n, k, _HALF[multiply], _HALF[multiply], _P.k2of4, _HALF[multiply])
    if multiply == "s8":
        return Problem(m, n, k, _D.int8, _D.int8, _P.k2of4, _D.int32)
    stored, _, dense = multiply.partition("_")
    if dense in _HALF:
        group_size = _GROUP_SIZE if stored == "s4" else 0
        operands = (_STORED[stored], _HALF[dense], _P.k2of4, _HALF[dense])
        return Problem(m, n, k, *operands, group_size=group_size)
    b = _FLOAT8[dense or stored]
    return Problem(m, n, k, _FLOAT8[stored], b, _P.k2of4, _D.bfloat16)


def of_row(row: dict[str, Any]) -> dict[str, Any]:
    """Of a row of `_C.cuda_kernels()`: the cheapest schedule of a problem that suits its tile."""
    n = row["tile_n"] if row["tile_n"] < 128 else _LARGE
    k = _LARGE if row["b_load"] == "aligned" else _LARGE - 1
    for device, props in DEVICES.items():
        for plan in _candidates(props, problem(row["multiply"], _LARGE, n, k)):
            if plan.row == row["index"]:
                return {
                    "device": device,
                    "tokens": n,
                    "schedule": plan.schedule,
                    "bound": plan.bound,
                    "us": _rounded(plan.predicted_us),
                }
    raise ValueError(f"no device of the table can run {row}")


def losses() -> list[dict[str, Any]]:
    """Layers that are predicted to take longer than a dense product of the usual type."""
    return list(_losses())


def gains() -> list[dict[str, Any]]:
    """What the README shows while no GPU has measured it: dense time over ours, by tokens."""
    found = []
    for device, props in DEVICES.items():
        for multiply in SHOWN:
            for layer in SHOWN_LAYERS:
                plans = {n: _best(props, problem(multiply, *_mnk(layer, n))) for n in SHOWN_TOKENS}
                ratios = {
                    str(n): _rounded(plan.dense_us / plan.predicted_us)
                    for n, plan in plans.items()
                    if plan is not None
                }
                if ratios:
                    of = {"device": device, "multiply": multiply, "layer": layer.name}
                    found.append({**of, "ratios": ratios})
    return found


def _mnk(layer: Layer, n: int) -> tuple[int, int, int]:
    return layer.m, n, layer.k


def num_layers() -> int:
    """Layers of different shape that `losses` looks at."""
    return len(_layers())


def compared_on(device: str) -> list[str]:
    """The types that `losses` looks at and that the device multiplies."""
    return [name for name in COMPARED if _best(DEVICES[device], problem(name, 16, 1, 256))]


def _losses() -> Iterator[dict[str, Any]]:
    for device, props in DEVICES.items():
        for multiply in COMPARED:
            for layer in _layers():
                ratios = {}
                for n in TOKENS:
                    plan = _best(props, problem(multiply, layer.m, n, layer.k))
                    if plan is not None and plan.dense_us < plan.predicted_us:
                        ratios[str(n)] = _rounded(plan.dense_us / plan.predicted_us)
                if ratios:
                    of = {"device": device, "multiply": multiply, "layer": layer.name}
                    yield {**of, "ratios": ratios}


def _layers() -> list[Layer]:
    return sorted({layer for layers in MODELS.values() for layer in layers})


def _candidates(props: _C.CudaProps, of: Problem) -> list[_C.CudaPlan]:
    """Cheapest first; none where the device has not got the type."""
    try:
        plans = _C.cuda_candidates(props, *of)
    except NotImplementedError:
        return []
    return sorted(plans, key=lambda plan: plan.predicted_us)


def _best(props: _C.CudaProps, of: Problem) -> _C.CudaPlan | None:
    try:
        return _C.cuda_plan(props, *of)
    except NotImplementedError:
        return None


def _rounded(x: float) -> float:
    """To three digits: what a change of the last bit of a constant does not touch."""
    return float(f"{x:.3g}")
