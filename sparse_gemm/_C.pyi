# What the extension offers; tests/test_laws.py compares this list with the built module.
from typing import Any, Final

__version__: Final[str]

class _Enum:
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...
    def __int__(self) -> int: ...

class DType(_Enum):
    __members__: Final[dict[str, DType]]
    float32: Final[DType]
    float16: Final[DType]
    bfloat16: Final[DType]
    int8: Final[DType]
    float8_e4m3fn: Final[DType]
    float8_e5m2: Final[DType]
    int32: Final[DType]
    int4: Final[DType]
    uint4: Final[DType]

class Pattern(_Enum):
    __members__: Final[dict[str, Pattern]]
    k2of4: Final[Pattern]
    k1of2: Final[Pattern]
    k4of8: Final[Pattern]

class Policy(_Enum):
    __members__: Final[dict[str, Policy]]
    raise_: Final[Policy]
    prune: Final[Policy]

class Activation(_Enum):
    __members__: Final[dict[str, Activation]]
    none: Final[Activation]
    relu: Final[Activation]
    gelu: Final[Activation]
    gelu_tanh: Final[Activation]
    silu: Final[Activation]

class Isa(_Enum):
    __members__: Final[dict[str, Isa]]
    portable: Final[Isa]
    avx2: Final[Isa]
    avx512: Final[Isa]

class ThreadSource(_Enum):
    __members__: Final[dict[str, ThreadSource]]
    pool: Final[ThreadSource]
    openmp: Final[ThreadSource]

def use_openmp_threads() -> ThreadSource: ...
def thread_source() -> ThreadSource: ...

# --- format ---

def supports(pattern: Pattern, dtype: DType) -> bool: ...
def k_compressed(pattern: Pattern, k: int) -> int: ...
def metadata_row_bytes(pattern: Pattern, k: int) -> int: ...
def check(
    w: int,
    dtype: DType,
    rows: int,
    k: int,
    row_stride: int,
    col_stride: int,
    pattern: Pattern,
    num_threads: int,
) -> tuple[int, int] | None: ...
def prune(
    w: int,
    dtype: DType,
    rows: int,
    k: int,
    row_stride: int,
    col_stride: int,
    pattern: Pattern,
    out: int,
    num_threads: int,
) -> None: ...
def compress(
    w: int,
    dtype: DType,
    rows: int,
    k: int,
    row_stride: int,
    col_stride: int,
    pattern: Pattern,
    policy: Policy,
    values: int,
    metadata: int,
    num_threads: int,
) -> tuple[int, int] | None: ...
def decompress(
    values: int,
    metadata: int,
    dtype: DType,
    pattern: Pattern,
    rows: int,
    k: int,
    out: int,
    num_threads: int,
) -> None: ...
def check_metadata(
    metadata: int, pattern: Pattern, rows: int, k: int, num_threads: int
) -> tuple[int, int] | None: ...

# --- metadata orders ---

def metadata_instructions() -> list[dict[str, Any]]: ...
def metadata_canonical_position(num_groups: int, row: int, group: int) -> tuple[int, int]: ...
def metadata_canonical_group(num_groups: int, byte: int, nibble: int) -> tuple[int, int]: ...
def metadata_lane_bit(instruction: str, selector: int, row: int, group: int) -> tuple[int, int]: ...
def metadata_row_group(instruction: str, selector: int, lane: int, bit: int) -> tuple[int, int]: ...
def cutlass_sm80_offset(word_bits: int, num_rows: int, row: Any, column: Any) -> Any: ...
def cutlass_sm80_word(word_bits: int, num_rows: int, offset: int) -> tuple[int, int]: ...

# --- gemm ---

class VectorOperand:
    def __init__(self, data: int, dtype: DType, stride: int, /) -> None: ...

class DenseOperand:
    def __init__(self, data: int, dtype: DType, row_stride: int, col_stride: int, /) -> None: ...

class Epilogue:
    alpha: float
    beta: float
    activation: Activation
    scale_m: VectorOperand
    scale_n: VectorOperand
    bias: VectorOperand
    c: DenseOperand
    gate: DenseOperand

class Plan:
    kernel: Final[str]
    isa: Final[str]
    why: Final[str]
    tile_m: Final[int]
    tile_n: Final[int]
    k_tile: Final[int]
    num_tasks: Final[int]
    num_threads: Final[int]
    workspace_bytes: Final[int]
    a_bytes: Final[int]
    multiply_adds: Final[int]

# (m, n, k, values, metadata, ab_dtype, pattern, b, b_row_stride, b_col_stride, d, d_dtype,
# d_row_stride, d_col_stride, bias, bias_dtype, bias_stride, activation, num_threads, epilogue)
def gemm(*arguments: int | Epilogue | None) -> None: ...
def plan(
    m: int,
    n: int,
    k: int,
    ab_dtype: DType,
    pattern: Pattern,
    d_dtype: DType,
    isa: Isa,
    num_threads: int,
    /,
) -> Plan: ...
def isa_available(isa: Isa, /) -> bool: ...
def current_isa() -> Isa: ...
def set_isa(isa: Isa, /) -> bool: ...
