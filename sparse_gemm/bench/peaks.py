"""The vendor's peaks: what percent of them a rate is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparse_gemm.bench.names import MACHINE_TYPES

# Dense fp16 operations (a multiply-add is two) a clock and SM, fp32 accumulation: the vendor's peak
# TFLOPS divided by SMs and boost clock. GeForce parts accumulate in fp32 at half rate.
FP16_FLOPS_PER_CLK = {"8.0": 2048, "8.6": 1024, "8.9": 1024, "9.0": 4096}
GEFORCE_FACTOR = 0.5
# Of the fp16 rate. The integer rates of GeForce parts are not halved.
DTYPE_FACTOR = {
    "float16": 1.0,
    "bfloat16": 1.0,
    "tfloat32": 0.5,
    "float8_e4m3": 2.0,
    "int8": 2.0,
    "int4": 4.0,
}
SPARSE_FACTOR = 2.0


def peak_flops_per_clk(capability: str, name: str, dtype: str, sparse: bool) -> float | None:
    """Operations a clock and SM at the peak, dense-equivalent if sparse; None where not known."""
    fp16 = FP16_FLOPS_PER_CLK.get(capability)
    if fp16 is None or dtype not in DTYPE_FACTOR:
        return None
    halved = "GeForce" in name and not dtype.startswith("int")
    rate = fp16 * DTYPE_FACTOR[dtype] * (GEFORCE_FACTOR if halved else 1.0)
    return rate * (SPARSE_FACTOR if sparse else 1.0)


def percents(
    rate: float, type_name: str, facts: Mapping[str, Any], clocks: Mapping[str, Any] | None
) -> dict[str, float]:
    """Of operations a second, percent of the dense and the sparse peak at the sampled clock.

    Nothing where the device's peak or its clock is not known.
    """
    if not clocks or "compute_capability" not in facts:
        return {}
    of = (facts["compute_capability"], facts["name"], MACHINE_TYPES.get(type_name, type_name))
    per_clk = peak_flops_per_clk(*of, sparse=False)
    if per_clk is None:
        return {}
    dense = per_clk * facts["sms"] * clocks["sm_mhz"] * 1e6
    return {
        "percent_of_dense_peak": 100 * rate / dense,
        "percent_of_sparse_peak": 100 * rate / (SPARSE_FACTOR * dense),
    }
