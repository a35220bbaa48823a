# What the extension offers; tests/test_laws.py compares this list with the built module.
from collections.abc import Callable
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
    avx512_vnni: Final[Isa]
    avx512_bf16: Final[Isa]

class ThreadSource(_Enum):
    __members__: Final[dict[str, ThreadSource]]
    pool: Final[ThreadSource]
    openmp: Final[ThreadSource]

def use_openmp_threads() -> ThreadSource: ...
def thread_source() -> ThreadSource: ...

# --- format ---

def supports(pattern: Pattern, dtype: DType) -> bool: ...
def k_compressed(pattern: Pattern, dtype: DType, k: int) -> int: ...
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
    def __init__(
        self, data: int, dtype: DType, row_stride: int, col_stride: int, batch_stride: int = 0
    ) -> None: ...

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
    why: Final[str]
    tile_m: Final[int]
    tile_n: Final[int]
    k_tile: Final[int]
    panel_vectors: Final[int]
    num_spans: Final[int]
    num_tasks: Final[int]
    num_threads: Final[int]
    workspace_bytes: Final[int]
    a_bytes: Final[int]
    multiply_adds: Final[int]

# (m, k, values, metadata, a_dtype, pattern, group_scales, group_scale_dtype, group_size,
# a_is_batched, n, batch, b, b_dtype, b_row_stride, b_col_stride, b_batch_stride, d, d_dtype,
# d_row_stride, d_col_stride, d_batch_stride, bias, bias_dtype, bias_stride, activation,
# accumulate_in_f16, num_threads, epilogue)
def gemm(*arguments: int | Epilogue | None) -> None: ...
def plan(
    m: int,
    n: int,
    k: int,
    a_dtype: DType,
    b_dtype: DType,
    pattern: Pattern,
    d_dtype: DType,
    isa: Isa,
    num_threads: int,
    intel_core: bool = False,
    /,
) -> Plan: ...
def isa_available(isa: Isa, /) -> bool: ...
def current_isa() -> Isa: ...
def set_isa(isa: Isa, /) -> bool: ...
def intel_core() -> bool: ...
def set_intel_core(is_intel: bool, /) -> None: ...

# Calls of `linear` that are plain, on torch tensors in the CPU's memory: once told what torch is.
def use_torch(
    exchange_api: Any,
    tensor: type,
    parameter: type,
    matrix: type,
    is_grad_enabled: Callable[[], bool],
    get_num_threads: Callable[[], int],
    activations: dict[str, int],
    dtypes: dict[Any, int],
    types_of_x: dict[tuple[int, int], set[int]],
    /,
) -> None: ...
def torch_linear(
    x: Any, a: Any, bias: Any, activation: Any, w_scale: Any, x_scale: Any, out_dtype: Any, /
) -> Any: ...

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
        max_threads_per_sm: int = ...,
        clock_khz: int = ...,
        memory_bytes_per_second: int = ...,
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
    max_threads_per_sm: Final[int]
    clock_khz: Final[int]  # 0 where CUDA does not say, as the next one
    memory_bytes_per_second: Final[int]
    driver_version: Final[int]  # 13000 is 13.0
    runtime_version: Final[int]
    emulated: Final[bool]

class CudaPlan:
    row: Final[int]  # of cuda_kernels()
    kernel: Final[str]  # the row of the config table
    why: Final[str]
    multiply: Final[str]
    b_load: Final[str]  # how the dense operand reaches shared memory
    tile_m: Final[int]  # the CTA's tile
    tile_n: Final[int]
    k_tile: Final[int]
    num_stages: Final[int]
    num_threads: Final[int]  # of a CTA
    shared_memory_bytes: Final[int]  # of a CTA
    num_ctas: Final[int]
    num_tiles: Final[int]
    num_k_tiles: Final[int]
    num_whole_tiles: Final[int]
    schedule: Final[str]  # "whole", "stream-k", "split"
    workspace_bytes: Final[int]
    num_counters: Final[int]
    a_bytes: Final[int]  # packed values, metadata and group scales
    multiply_adds: Final[int]  # with the kept weights only
    is_tuned: Final[bool]
    main_loop_us: Final[dict[str, float]]  # by what would bound them
    bound: Final[str]
    wave_quantisation: Final[float]
    fixed_us: Final[float]
    predicted_us: Final[float]
    dense_us: Final[float]

# {"compiler": "13.0.88", "architectures": ["80", "90a", "80-virtual"], "runtime": "static"}
def cuda_build() -> dict[str, Any] | None: ...
def cuda_device_count() -> int: ...  # 0 where there is none, for whatever reason
def cuda_unavailable_reason() -> str: ...  # "" if there is a device
def cuda_device(index: int, /) -> CudaProps: ...

# Packed storage: what every kernel reads. `as_8_bit`: 4:8 as a device without 4-bit mma.sp has it.
def packed_supports(pattern: Pattern, dtype: DType, /) -> bool: ...
def packed_values_bytes(
    pattern: Pattern, dtype: DType, rows: int, k: int, as_8_bit: bool, /
) -> int: ...
def packed_metadata_bytes(
    pattern: Pattern, dtype: DType, rows: int, k: int, as_8_bit: bool, /
) -> int: ...
def packed_group_size_fits(pattern: Pattern, dtype: DType, group_size: int, /) -> bool: ...
def packed_scales_bytes(
    pattern: Pattern, dtype: DType, rows: int, k: int, group_size: int, /
) -> int: ...

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
    as_8_bit: bool,
    batch: int,
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
    pattern: Pattern,
    dtype: DType,
    rows: int,
    k: int,
    as_8_bit: bool,
    batch: int,
    packed_values: int,
    packed_metadata: int,
    out: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def cuda_pack(
    pattern: Pattern,
    dtype: DType,
    rows: int,
    k: int,
    as_8_bit: bool,
    batch: int,
    values: int,
    metadata: int,
    packed_values: int,
    packed_metadata: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def cuda_unpack(
    pattern: Pattern,
    dtype: DType,
    rows: int,
    k: int,
    as_8_bit: bool,
    batch: int,
    packed_values: int,
    packed_metadata: int,
    values: int,
    metadata: int,
    device: int,
    stream: int,
    /,
) -> None: ...

# Scales of groups of `group_size` elements of K: 16-bit floats [rows, ceil(k / group_size)].
def cuda_pack_scales(
    pattern: Pattern,
    dtype: DType,
    rows: int,
    k: int,
    batch: int,
    group_size: int,
    scales: int,
    packed_scales: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def cuda_unpack_scales(
    pattern: Pattern,
    dtype: DType,
    rows: int,
    k: int,
    batch: int,
    group_size: int,
    packed_scales: int,
    scales: int,
    device: int,
    stream: int,
    /,
) -> None: ...

# As `gemm`, with packed values and metadata, `device, stream` instead of `num_threads`, and after
# the epilogue a callable (workspace_bytes, num_counters) -> (address, address, owner), asked only
# if the plan needs a workspace: memory for partial sums, int32 zeros, and what holds them.
def cuda_gemm(
    *arguments: int | Epilogue | Callable[[int, int], tuple[int, int, object]] | None,
) -> None: ...

# A number of the capture (into a CUDA graph) that a stream is in; 0 if it is in none.
def cuda_capture_id(device: int, stream: int, /) -> int: ...

# On a device of this machine, or one that is made up.
def cuda_plan(
    device: int | CudaProps,
    m: int,
    n: int,
    k: int,
    a_dtype: DType,
    b_dtype: DType,
    pattern: Pattern,
    d_dtype: DType,
    batch: int = 1,
    group_size: int = 0,
    accumulate_in_f16: bool = False,
) -> CudaPlan: ...

# All that could run, the cheapest by the cost model first.
def cuda_candidates(
    device: int | CudaProps,
    m: int,
    n: int,
    k: int,
    a_dtype: DType,
    b_dtype: DType,
    pattern: Pattern,
    d_dtype: DType,
    batch: int = 1,
    group_size: int = 0,
    accumulate_in_f16: bool = False,
) -> list[CudaPlan]: ...

# {"index": 0, "config": "sm80_64x8", "multiply": "f16", "b_load": "aligned", "tile_m": 64, ...}
def cuda_kernels() -> list[dict[str, Any]]: ...

# What the calling thread's launches run, whatever the cost model says, until cuda_unforce().
# num_ctas 0: as the cost model has it for that kernel; num_whole_tiles < 0: all.
def cuda_force(kernel: int, num_ctas: int = 0, num_whole_tiles: int = -1) -> None: ...
def cuda_unforce() -> None: ...

# Of a device, n rounded up to a power of two; plans made until now are forgotten.
def cuda_set_tuned(
    device: int,
    multiply: str,
    b_load: str,
    d_dtype: DType,
    a_is_batched: bool,
    group_size: int,
    m: int,
    n: int,
    k: int,
    batch: int,
    config: str,
    schedule: str,
    num_ctas: int,
    /,
) -> None: ...
def cuda_clear_tuned() -> None: ...
def cuda_plan_cache() -> dict[str, int]: ...  # "hits", "misses", "size"
