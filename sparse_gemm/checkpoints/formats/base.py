"""What a format is: how its tensors are named, and how they turn into a Weight and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sparse_gemm.checkpoints.tensors import Array, TensorInfo
from sparse_gemm.checkpoints.weight import FLOATS, Weight

__all__ = [
    "Context",
    "Decoded",
    "Entry",
    "Format",
    "Spelling",
    "base_of",
    "find_spelled",
    "param_of",
]

Decoded = Weight | Array  # an array: the parameter is dense after all


class Entry(NamedTuple):
    """One parameter as a file holds it."""

    param: str  # the dense parameter's name, such as "model.layers.0.mlp.up_proj.weight"
    parts: dict[str, str]  # the format's name of each part -> the tensor's name


@dataclass(frozen=True)
class Context:
    """What surrounds the tensors.

    Attributes:
        config: config.json, or nothing.
        metadata: of the headers of all files.
        classes: parameter -> class of a saved SparseSemiStructuredTensor.
        weights: what the headers of our own form tell, by parameter.
        tile_k: for CUTLASS 3.x: the writer's tile along K (for float32 its half), if known.
        skip: patterns of names of parameters that are not looked at for zeros.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    tile_k: int | None = None
    skip: tuple[str, ...] = ()

    @property
    def float_dtype(self) -> str | None:
        """The floating-point type that the model's config names."""
        name = str(self.config.get("dtype", self.config.get("torch_dtype"))).rpartition(".")[2]
        return name if name in FLOATS else None


class Spelling(NamedTuple):
    """How the parts of a weight are named: what follows the module's name, by part."""

    required: dict[str, str]  # the first one is searched for
    optional: dict[str, str] = {}  # noqa: RUF012 - never changed


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        name: as the user names it.
        find: lists the parameters among tensors; `taken` are spoken for.
        decode: parts by name -> Weight, or a dense array where it is not compressible.
        encode: Weight -> parts by name; None: this format is not written.
        spelling: how the parts that `encode` gives are named.
        header: what is said of them in the metadata of the files that hold them.
    """

    name: str
    find: Callable[[Mapping[str, TensorInfo], Context], Iterable[Entry]]
    decode: Callable[[dict[str, Array], Entry, Context], Decoded]
    encode: Callable[[Weight], dict[str, Array]] | None = None
    spelling: Spelling = field(default_factory=lambda: Spelling({}))
    header: Mapping[str, str] = field(default_factory=dict)

    def names(self, param: str, parts: Iterable[str]) -> dict[str, str]:
        """Part -> name of its tensor, for a parameter that is to be written."""
        suffixes = {**self.spelling.required, **self.spelling.optional}
        return {part: base_of(param) + suffixes[part] for part in parts}


def base_of(param: str) -> str:
    """The module's name, to which the parts' names are added."""
    return param.removesuffix(".weight")


def param_of(base: str) -> str:
    """The parameter whose parts' names begin with `base`."""
    return base if base.endswith(".weight") else f"{base}.weight"


def find_spelled(
    *spellings: Spelling, accepts: Callable[[dict[str, TensorInfo]], bool] = lambda parts: True
) -> Callable[[Mapping[str, TensorInfo], Context], Iterator[Entry]]:
    """A `find` that goes by the names, and by what `accepts` says of the parts' types."""

    def find(infos: Mapping[str, TensorInfo], _: Context) -> Iterator[Entry]:
        for spelling in spellings:
            first = next(iter(spelling.required.values()))
            for name in infos:
                base = name.removesuffix(first)
                if base == name:
                    continue
                parts = {part: base + suffix for part, suffix in spelling.required.items()}
                if not all(part in infos for part in parts.values()):
                    continue
                for part, suffix in spelling.optional.items():
                    if base + suffix in infos:
                        parts[part] = base + suffix
                if accepts({part: infos[tensor] for part, tensor in parts.items()}):
                    yield Entry(param_of(base), parts)

    return find
