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

# --- CUDA: addresses are device addresses, `stream` is the array library's handle (0: the default
# stream) and nothing synchronises. A build without CUDA has the same names: cuda_build() is None,
# cuda_device_count() is 0, and what needs a device raises UnsupportedError with
# cuda_unavailable_reason(). ---

class CudaProps:
    # Tests make devices up: any field may be given by name.
    def __init__(
        self,
        *,
        name: str = ...,
        capability: tuple[int, int] = ...,
        sm_count: int = ...,
        shared_memory_per_block: int = ...,
        shared_memory_per_sm: int = ...,
        l2_bytes: int = ...,
        memory_bytes: int = ...,
        driver_version: int = ...,
        runtime_version: int = ...,
        emulated: bool = ...,
    ) -> None: ...
    name: Final[str]
    capability: Final[tuple[int, int]]
    sm_count: Final[int]
    shared_memory_per_block: Final[int]
    shared_memory_per_sm: Final[int]
    l2_bytes: Final[int]
    memory_bytes: Final[int]
    driver_version: Final[int]  # 13000 is 13.0
    runtime_version: Final[int]
    emulated: Final[bool]

class CudaPlan:
    kernel: Final[str]  # the row of the config table
    why: Final[str]
    b_load: Final[str]  # how the dense operand reaches shared memory
    tile_m: Final[int]  # the CTA's tile
    tile_n: Final[int]
    k_tile: Final[int]
    num_stages: Final[int]
    num_ctas: Final[int]
    num_threads: Final[int]  # of a CTA
    shared_memory_bytes: Final[int]  # of a CTA
    a_bytes: Final[int]  # packed values and metadata
    multiply_adds: Final[int]  # with the kept weights only

# {"compiler": "13.0.88", "architectures": ["80", "90a", "80-virtual"], "runtime": "static"}
def cuda_build() -> dict[str, Any] | None: ...
def cuda_device_count() -> int: ...  # 0 where there is none, for whatever reason
def cuda_unavailable_reason() -> str: ...  # "" if there is a device
def cuda_device(index: int, /) -> CudaProps: ...

# Packed storage: what every kernel reads. 16-bit types in 2:4 only.
def packed_supports(pattern: Pattern, dtype: DType, /) -> bool: ...
def packed_values_bytes(pattern: Pattern, dtype: DType, rows: int, k: int, /) -> int: ...
def packed_metadata_bytes(pattern: Pattern, dtype: DType, rows: int, k: int, /) -> int: ...

# out: contiguous [rows, k].
def cuda_prune(
    w: int,
    dtype: DType,
    rows: int,
    k: int,
    row_stride: int,
    col_stride: int,
    pattern: Pattern,
    out: int,
    device: int,
    stream: int,
    /,
) -> None: ...

# `violation` is an int64 on the device that the caller has set to 2**63 - 1: it becomes the
# smallest row * num_groups + group of the groups with too many non-zeros, or stays as it is.
def cuda_check(
    w: int,
    dtype: DType,
    rows: int,
    k: int,
    row_stride: int,
    col_stride: int,
    pattern: Pattern,
    violation: int,
    device: int,
    stream: int,
    /,
) -> None: ...

# With Policy.raise_ and a violation, what was written is meaningless; with Policy.prune `violation`
# is not touched and may be 0. Packed addresses are multiples of 16.
def cuda_compress(
    w: int,
    dtype: DType,
    rows: int,
    k: int,
    row_stride: int,
    col_stride: int,
    pattern: Pattern,
    policy: Policy,
    packed_values: int,
    packed_metadata: int,
    violation: int,
    device: int,
    stream: int,
    /,
) -> None: ...

# out: contiguous [rows, k].
def cuda_decompress(
    packed_values: int,
    packed_metadata: int,
    dtype: DType,
    pattern: Pattern,
    rows: int,
    k: int,
    out: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def cuda_pack(
    values: int,
    metadata: int,
    dtype: DType,
    pattern: Pattern,
    rows: int,
    k: int,
    packed_values: int,
    packed_metadata: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def cuda_unpack(
    packed_values: int,
    packed_metadata: int,
    dtype: DType,
    pattern: Pattern,
    rows: int,
    k: int,
    values: int,
    metadata: int,
    device: int,
    stream: int,
    /,
) -> None: ...

# As `gemm`, with packed values and metadata, and `device, stream` instead of `num_threads`.
def cuda_gemm(*arguments: int | Epilogue | None) -> None: ...
def cuda_plan(
    m: int,
    n: int,
    k: int,
    ab_dtype: DType,
    pattern: Pattern,
    d_dtype: DType,
    props: CudaProps,
    /,
) -> CudaPlan: ...
