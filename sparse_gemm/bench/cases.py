"""The suites: what each of them measures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sparse_gemm.bench.names import CPU_TYPES, CUDA_TYPES
from sparse_gemm.bench.shapes import MODELS, RESNEXT_101_32X8D, Layer


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        suite: which asked for it.
        record: "linear", "compress", "call" (the function, with next to nothing to compute),
            "layer" (the module likewise) or "bandwidth".
        type: of the operands, a name of `operands.OPERANDS`.
        m, k: of the weight; 0 where there is none.
        tokens: of the activations; 0 where they take no part.
        batch: images, for convolutions; else 0.
    """

    suite: str
    record: str
    type: str
    m: int
    k: int
    tokens: int
    batch: int = 0


@dataclass(frozen=True)
class Wanted:
    """What of a suite is wanted: None leaves the suite's own choice.

    Attributes:
        types, tokens: instead of the suite's.
        layers: shapes such as (4096, 4096); of a suite's own those, or these instead.
        tiny: every extent is cut down, whatever else is wanted: to see that it runs.
    """

    types: Sequence[str] | None = None
    tokens: Sequence[int] | None = None
    layers: Sequence[Layer] | None = None
    tiny: bool = False


DECODE_LAYERS = (Layer(4096, 4096), Layer(14336, 4096))
DECODE_TOKENS = (1, 2, 4, 8, 16, 32, 64)
PREFILL_TOKENS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
MODEL_TOKENS = (1, 16, 64, 256, 1024, 4096)
CPU_TOKENS = (1, 4, 16, 32, 64, 256, 1024, 2048)
SQUARES = (1024, 2048, 4096, 8192, 16384)
BATCHES = (1, 4, 16, 64, 256)
COMPRESSED = (Layer(4096, 4096), Layer(28672, 8192))
CALL = Layer(64, 64)

TINY_LAYER, TINY_TOKENS = Layer(64, 128), (1, 16)


def _linear(
    suite: str, wanted: Wanted, types: Sequence[str], layers: Iterable[Layer], tokens: Sequence[int]
) -> Iterator[Case]:
    """Grouped by weight, which is made once."""
    layers, tokens = wanted.layers or sorted(set(layers)), wanted.tokens or tokens
    if wanted.tiny:
        layers, tokens = [TINY_LAYER], TINY_TOKENS
    for layer, name in itertools.product(layers, wanted.types or types):
        for n in tokens:
            yield Case(suite, "linear", name, *layer, n)


def _compress(suite: str, wanted: Wanted, types: Sequence[str]) -> Iterator[Case]:
    layers = [TINY_LAYER] if wanted.tiny else wanted.layers or COMPRESSED
    for layer, name in itertools.product(layers, wanted.types or types):
        yield Case(suite, "compress", name, *layer, 0)


def _of_layers(
    suite: str, types: Sequence[str], layers: Iterable[Layer], tokens: Sequence[int]
) -> Callable[[Wanted, bool], Iterator[Case]]:
    found = tuple(layers)

    def cases(wanted: Wanted, on_cpu: bool) -> Iterator[Case]:
        return _linear(suite, wanted, CPU_TYPES if on_cpu else types, found, tokens)

    return cases


def _square(wanted: Wanted, on_cpu: bool) -> Iterator[Case]:
    types = wanted.types or (CPU_TYPES if on_cpu else ("float16", "tf32", "int8", "float8_e4m3fn"))
    extents = (128,) if wanted.tiny else wanted.tokens or SQUARES
    for extent, name in itertools.product(extents, types):
        yield Case("square", "linear", name, extent, extent, extent)


def _convolutions(wanted: Wanted, on_cpu: bool) -> Iterator[Case]:
    types = wanted.types or (CPU_TYPES[:1] if on_cpu else ("float16", "int8"))
    batches = (1,) if wanted.tiny else wanted.tokens or BATCHES
    layers = RESNEXT_101_32X8D[-1:] if wanted.tiny else RESNEXT_101_32X8D
    for layer, name, batch in itertools.product(layers, types, batches):
        yield Case("conv-as-gemm", "linear", name, layer.m, layer.k, batch * layer.places, batch)


def _compress_suite(wanted: Wanted, on_cpu: bool) -> Iterator[Case]:
    return _compress("compress", wanted, ("bfloat16",) if on_cpu else ("float16", "int8"))


def _overhead(wanted: Wanted, on_cpu: bool) -> Iterator[Case]:
    for name in wanted.types or (("float32",) if on_cpu else ("float16",)):
        yield Case("overhead", "call", name, *CALL, 1)
        yield Case("overhead", "layer", name, *CALL, 1)


def _cpu(wanted: Wanted, on_cpu: bool) -> Iterator[Case]:
    """What the README shows of a CPU."""
    for record in ("call", "layer"):
        yield Case("cpu", record, "float32", *CALL, 1)
    layers = [TINY_LAYER] if wanted.tiny else [Layer(4096, 4096)]
    yield Case("cpu", "compress", "bfloat16", *layers[0], 0)
    yield from _linear("cpu", wanted, CPU_TYPES, DECODE_LAYERS, CPU_TOKENS)


# By name; each is given what is wanted of it, and whether it is to run on a CPU.
SUITES: dict[str, Callable[[Wanted, bool], Iterator[Case]]] = {
    "decode": _of_layers("decode", CUDA_TYPES, DECODE_LAYERS, DECODE_TOKENS),
    "prefill": _of_layers(
        "prefill", ("float16", "tf32", "int8", "float8_e4m3fn"), DECODE_LAYERS, PREFILL_TOKENS
    ),
    "square": _square,
    "models": _of_layers(
        *("models", ("float16", "int8", "float8_e4m3fn")),
        (layer for layers in MODELS.values() for layer in layers),
        MODEL_TOKENS,
    ),
    "conv-as-gemm": _convolutions,
    "compress": _compress_suite,
    "overhead": _overhead,
    "cpu": _cpu,
}
