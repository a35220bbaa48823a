# What the extension offers; tests/test_laws.py compares this list with the built module.
from typing import Final

__version__: Final[str]

class _Enum:
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

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
