"""Reading a safetensors file: the header is checked whole before any of its numbers is used.

A file is 8 bytes, the header's length; the header, a JSON object; and the tensors' bytes, which the
header cuts up without gap or overlap. It is mapped, not read: memory is taken as tensors are.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.tensors import Array, TensorInfo, check_extents

__all__ = ["SafetensorsFile", "map_file", "parse_json", "release_map"]

# Headers of the largest models are a few MB. JSON takes up to 30 times its size when parsed.
MAX_HEADER_BYTES = 32 * 2**20
_LENGTH_BYTES = 8
# A tensor's entry has three brackets in at least 50 bytes; more of them is an attempt on memory.
_MIN_BYTES_A_BRACKET = 8


class SafetensorsFile:
    """One mapped file. Its tensors are views of the mapping: constant, and never copied."""

    def __init__(self, path: Path) -> None:
        """Maps the file and checks its header.

        Raises:
            CheckpointError: it is truncated, or its header is not a safetensors header.
        """
        self.path = path
        self._map = map_file(path)
        self._begin, header = _read_header(self._map)
        self.metadata = _metadata_of(header.pop("__metadata__", {}))
        self._offsets: dict[str, int] = {}
        self._infos: dict[str, TensorInfo] = {}
        end = 0
        for begin, name, info in sorted(_entries(header)):
            if begin != end:
                raise CheckpointError(
                    f"tensor {name!r:.200} begins at byte {begin} of the data; expected {end}, "
                    "where the one before it ends"
                )
            end = begin + info.nbytes
            self._offsets[name], self._infos[name] = begin, info
        found = len(self._map) - self._begin
        if found != end:
            raise CheckpointError(f"the file holds {found} bytes of data; expected {end}")

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """What is known of each tensor, in the order in which they are stored."""
        return self._infos

    def raw(self, name: str) -> memoryview:
        """A tensor's bytes."""
        begin = self._begin + self._offsets[name]
        return memoryview(self._map)[begin : begin + self._infos[name].nbytes]

    def release(self) -> None:
        """Gives back the memory of what was read; it is read again when it is looked at again."""
        release_map(self._map)

    def read(self, name: str) -> Array:
        """A tensor, read-only."""
        info = self._infos[name]
        little = np.frombuffer(self.raw(name), info.dtype.newbyteorder("<"))
        return little.astype(info.dtype, copy=False).reshape(info.shape)


def map_file(path: Path) -> mmap.mmap:
    """The file, mapped for reading.

    Raises:
        CheckpointError: it is empty.
    """
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise CheckpointError("the file is empty")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def release_map(mapped: mmap.mmap) -> None:
    """Has a mapping take no memory until it is looked at again."""
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def parse_json(text: bytes, what: str) -> dict[str, Any]:
    """A JSON object, no key of which stands twice.

    Raises:
        CheckpointError: it is none; `what` is what the message calls it.
    """
    brackets = text.count(b"[") + text.count(b"{")
    if brackets > 64 + len(text) // _MIN_BYTES_A_BRACKET:
        raise CheckpointError(f"{what} nests {brackets} lists and objects in {len(text)} bytes")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice")
        return found

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{what} is not JSON: {error!s:.200}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{what} is a JSON {type(value).__name__}; expected an object")
    return value


def _read_header(mapped: mmap.mmap) -> tuple[int, dict[str, Any]]:
    """Where the data begin, and the header."""
    if len(mapped) < _LENGTH_BYTES:
        raise CheckpointError(f"the file has {len(mapped)} bytes; expected at least 8")
    length = int.from_bytes(mapped[:_LENGTH_BYTES], "little")
    room = min(MAX_HEADER_BYTES, len(mapped) - _LENGTH_BYTES)
    if length > room:
        raise CheckpointError(
            f"the header says that it has {length} bytes; expected at most {room}: the file is "
            "truncated, or no safetensors file"
        )
    begin = _LENGTH_BYTES + length
    return begin, parse_json(mapped[_LENGTH_BYTES:begin], "the header")


def _metadata_of(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError("the header's __metadata__ is no object of strings")
    return metadata


def _entries(header: dict[str, Any]) -> Iterable[tuple[int, str, TensorInfo]]:
    for name, entry in header.items():
        try:
            yield _entry(name, entry)
        except CheckpointError as error:
            raise CheckpointError(f"tensor {name!r:.200}: {error}") from None


def _entry(name: str, entry: Any) -> tuple[int, str, TensorInfo]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError("its entry is not dtype, shape and data_offsets")
    info = TensorInfo(entry["dtype"], check_extents(entry["shape"]))
    offsets = entry["data_offsets"]
    if not isinstance(offsets, list) or [type(offset) for offset in offsets] != [int, int]:
        raise CheckpointError(f"data_offsets is {offsets!r:.80}; expected two integers")
    begin, end = offsets
    if begin < 0 or end - begin != info.nbytes:
        raise CheckpointError(
            f"data_offsets is {offsets}; expected {info.nbytes} bytes for {info.code} "
            f"{list(info.shape)}"
        )
    return begin, name, info
