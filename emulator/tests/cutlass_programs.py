"""CUTLASS's own example programs, as they are or with their element and tile lines replaced.

The sources come from the PyPI package nvidia-cutlass 4.2.0.0; nothing of them is kept here.
"""

from __future__ import annotations

import importlib.util
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "cutlass"
SPARSE = "15_ampere_sparse_tensorop_gemm/ampere_sparse_tensorop_gemm.cu"

# In example 15: the lines that choose element types and tiles, and what stands there for int4.
_INT4 = {
    "accumulator": "using ElementAccumulator = int32_t;",
    "a": "using ElementInputA = cutlass::int4b_t;",
    "b": "using ElementInputB = cutlass::int4b_t;",
    "output": "using ElementOutput = int32_t;",
    "cta_tile": "cutlass::gemm::GemmShape<128, 128, 256>;",
    "warp_tile": "cutlass::gemm::GemmShape<64, 64, 256>;",
    "mma_shape": "cutlass::gemm::GemmShape<16, 8, 128>;",
}


def _sparse_variant(element: str, accumulator: str, k_tile: int, mma_k: int) -> dict[str, str]:
    """Replacements that turn example 15 from int4 into another type."""
    new = {
        "accumulator": f"using ElementAccumulator = {accumulator};",
        "a": f"using ElementInputA = {element};",
        "b": f"using ElementInputB = {element};",
        "output": f"using ElementOutput = {accumulator};",
        "cta_tile": f"cutlass::gemm::GemmShape<128, 128, {k_tile}>;",
        "warp_tile": f"cutlass::gemm::GemmShape<64, 64, {k_tile}>;",
        "mma_shape": f"cutlass::gemm::GemmShape<16, 8, {mma_k}>;",
    }
    return {_INT4[name]: text for name, text in new.items()}


@dataclass(frozen=True)
class Program:
    """One program: its source, what is replaced in it, and the mma instructions it must execute."""

    name: str
    source: str
    replace: tuple[tuple[str, str], ...]
    shape: tuple[int, int, int]  # M, N, K of the multiplication
    mma: str  # as the counters name it
    mma_shape: tuple[int, int, int]
    arch: int = 80
    device: str = "a100"
    arguments: tuple[str, ...] = ()
    launches: int = 1
    suppress: str = ""  # KIND:WHERE:REASON

    @property
    def num_mma(self) -> int:
        """mma instructions that the shape implies: its tiles divide it."""
        (m, n, k), (mma_m, mma_n, mma_k) = self.shape, self.mma_shape
        return self.launches * (m // mma_m) * (n // mma_n) * (k // mma_k)


def _variant(
    name: str, element: str, accumulator: str, k_tile: int, mma_k: int, mma: str
) -> Program:
    replace = _sparse_variant(element, accumulator, k_tile, mma_k)
    return Program(name, SPARSE, tuple(replace.items()), (512, 512, 1024), mma, (16, 8, mma_k))


_EXAMPLE_15 = "15_ampere_sparse_tensorop_gemm/ampere_sparse_tensorop_gemm"
_S4 = "sp.m16n8k128.s32.s4.s4.s32"
PROGRAMS = [
    Program("15-int4", SPARSE, (), (512, 512, 1024), _S4, (16, 8, 128)),
    Program(
        "15-universal",
        f"{_EXAMPLE_15}_universal.cu",
        (),
        (512, 512, 1024),
        _S4,
        (16, 8, 128),
        # K is split in two: each half has two k-tiles, and the ring three stages.
        suppress="uninitialised-read:ldmatrix:fragments loaded ahead, from a stage that was never "
        "filled, are not used",
    ),
    Program(
        "15-visitor",
        f"{_EXAMPLE_15}_with_visitor.cu",
        (),
        (512, 512, 1024),
        "sp.m16n8k64.s32.s8.s8.s32",
        (16, 8, 64),
    ),
    _variant("15-half", "cutlass::half_t", "float", 64, 32, "sp.m16n8k32.f32.f16.f16.f32"),
    _variant(
        "15-bfloat16", "cutlass::bfloat16_t", "float", 64, 32, "sp.m16n8k32.f32.bf16.bf16.f32"
    ),
    _variant(
        "15-tfloat32", "cutlass::tfloat32_t", "float", 32, 16, "sp.m16n8k16.f32.tf32.tf32.f32"
    ),
    _variant("15-int8", "int8_t", "int32_t", 128, 64, "sp.m16n8k64.s32.s8.s8.s32"),
    Program(
        "14-tf32",
        "14_ampere_tf32_tensorop_gemm/ampere_tf32_tensorop_gemm.cu",
        (),
        (256, 256, 128),
        "m16n8k8.f32.tf32.tf32.f32",
        (16, 8, 8),
        arguments=("--m=256", "--n=256", "--k=128", "--iterations=1"),
    ),
    Program(
        "58-fp8",
        "58_ada_fp8_gemm/ada_fp8_gemm.cu",
        (),
        (256, 256, 512),
        "m16n8k32.f32.e4m3.e4m3.f32",
        (16, 8, 32),
        arch=89,
        device="rtx4090",
        arguments=(
            *("--m=256", "--n=256", "--k=512", "--iterations=0"),
            *("--warmup_iterations=0", "--reference-check=true"),
        ),
        launches=2,  # with and without fast accumulation
    ),
]


def source_root() -> Path | None:
    """CUTLASS's source tree inside the installed package; None without it."""
    spec = importlib.util.find_spec("cutlass_library")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "source"


def build(program: Program) -> Path:
    """Compiles `program` unless that was done before; the executable's path."""
    root = source_root()
    assert root is not None
    text = (root / "examples" / program.source).read_text()
    for old, new in program.replace:
        assert text.count(old) == 1, f"example has {text.count(old)} lines {old!r}; expected one"
        text = text.replace(old, new)
    BUILD.mkdir(parents=True, exist_ok=True)
    source = BUILD / f"{program.name}.cu"
    executable = BUILD / program.name
    if executable.exists() and source.exists() and source.read_text() == text:
        return executable
    source.write_text(text)
    arch = f"compute_{program.arch}"
    command = [
        *("nvcc", "-std=c++17", "-O1", "-cudart", "shared", "-w"),
        *("-gencode", f"arch={arch},code={arch}", "--expt-relaxed-constexpr"),
        *(
            f"-I{root / directory}"
            for directory in ("include", "tools/util/include", "examples/common")
        ),
        *("-o", str(executable), str(source)),
    ]
    subprocess.run(command, check=True)
    return executable
