"""Writing safetensors files: one tensor at a time, in bounded memory, whole or not at all.

A file's header stands before its tensors but is only known after them. So tensors go to a staging
file first; closing writes header and tensors to their place, those of wide types first, so that
each is aligned. All files are made in a folder beside the destination, which takes its name last.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.safetensors_file import MAX_HEADER_BYTES
from sparse_gemm.checkpoints.tensors import Array, TensorInfo, code_of

__all__ = ["CHECKSUMS_KEY", "ModelWriter", "atomic_file", "atomic_folder", "checksum", "write_file"]

CHECKSUMS_KEY = "sparse_gemm.sha256"
_CHUNK_BYTES = 2**24
_ALIGNMENT = 8


def checksum(raw: memoryview) -> str:
    """The SHA-256 of a tensor's bytes, in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def raw_bytes(array: Array) -> memoryview:
    """An array's elements, row-major and little-endian."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return little.reshape(-1).view(np.uint8).data


class _Shard:
    """One file in the making."""

    def __init__(self, folder: Path, number: int) -> None:
        self.path = folder / f".shard-{number}"
        self.file: BinaryIO = open(self.path, "w+b")  # noqa: SIM115 - closed by `finish`
        self.places: dict[str, tuple[int, TensorInfo]] = {}
        self.checksums: dict[str, str] = {}
        self.weights: dict[str, Any] = {}
        self.nbytes = 0

    def add(self, name: str, info: TensorInfo, raw: memoryview) -> None:
        digest = hashlib.sha256()
        self.places[name] = (self.nbytes, info)
        for begin in range(0, len(raw), _CHUNK_BYTES):
            chunk = raw[begin : begin + _CHUNK_BYTES]
            digest.update(chunk)
            self.file.write(chunk)
        self.checksums[name] = digest.hexdigest()
        self.nbytes += len(raw)

    def finish(self, path: Path, metadata: Mapping[str, str], weights_key: str | None) -> None:
        """Writes the file, and removes the staging file."""
        described = dict(metadata)
        if weights_key is not None:
            described[weights_key] = json.dumps(self.weights)
            described[CHECKSUMS_KEY] = json.dumps(self.checksums)
        order = sorted(self.places, key=lambda name: (-self.places[name][1].dtype.itemsize, name))
        with open(path, "xb") as out, self.file:
            out.write(header_bytes({name: self.places[name][1] for name in order}, described))
            for name in order:
                begin, info = self.places[name]
                self.file.seek(begin)
                _copy(self.file, out, info.nbytes)
            out.flush()
            os.fsync(out.fileno())
        self.path.unlink()


def _copy(source: BinaryIO, out: BinaryIO, count: int) -> None:
    while count:
        chunk = source.read(min(count, _CHUNK_BYTES))
        out.write(chunk)
        count -= len(chunk)


def header_bytes(infos: Mapping[str, TensorInfo], metadata: Mapping[str, str]) -> bytes:
    """The length and the header of a file that holds these tensors in this order."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    begin = 0
    for name, info in infos.items():
        end = begin + info.nbytes
        header[name] = {
            "dtype": info.code, "shape": list(info.shape), "data_offsets": [begin, end],
        }  # fmt: skip
        begin = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        raise CheckpointError(f"the header would have {len(text)} bytes: write smaller shards")
    return len(text).to_bytes(8, "little") + text


class ModelWriter:
    """Writes a model's tensors into a folder, in as many files as their size asks for.

    Used as a context; leaving it without an error writes the last file and, if there are several,
    the index.
    """

    def __init__(
        self,
        folder: Path,
        *,
        metadata: Mapping[str, str],
        weights_key: str | None,
        max_shard_bytes: int,
        stem: str = "model",
    ) -> None:
        """Takes an existing folder.

        Args:
            folder: where the files go.
            metadata: of every file's header.
            weights_key: the metadata key of what `describe` collects; None to have neither that
                nor checksums.
            max_shard_bytes: a file is closed before it grows beyond this.
            stem: the files are STEM.safetensors, or STEM-00001-of-00002.safetensors.
        """
        self.folder, self.metadata, self.stem = folder, metadata, stem
        self.weights_key = weights_key
        self.max_shard_bytes = max_shard_bytes
        self._shards: list[_Shard] = []
        self._names: set[str] = set()

    def __enter__(self) -> ModelWriter:
        """The writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Finishes the files, or gives them up."""
        if kind is None:
            self._finish()
            return
        for shard in self._shards:
            shard.file.close()

    def add(self, tensors: Mapping[str, Array], described: Mapping[str, Any] | None = None) -> None:
        """Writes arrays, all into one file; `described` says what they are together."""
        self.add_raw(
            {
                name: (TensorInfo(code_of(array.dtype), array.shape), raw_bytes(array))
                for name, array in tensors.items()
            },
            described,
        )

    def add_raw(
        self,
        tensors: Mapping[str, tuple[TensorInfo, memoryview]],
        described: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes tensors from their bytes; see `add`."""
        size = sum(info.nbytes for info, _ in tensors.values())
        if not self._shards or (
            self._shards[-1].nbytes and self._shards[-1].nbytes + size > self.max_shard_bytes
        ):
            if self._shards:
                self._shards[-1].file.flush()
            self._shards.append(_Shard(self.folder, len(self._shards)))
        for name, (info, raw) in tensors.items():
            if name in self._names:
                raise CheckpointError(f"two tensors would be called {name!r}")
            self._names.add(name)
            self._shards[-1].add(name, info, raw)
        self._shards[-1].weights.update(described or {})

    def _finish(self) -> None:
        shards = self._shards or [_Shard(self.folder, 0)]
        weight_map: dict[str, str] = {}
        total = 0
        for number, shard in enumerate(shards, 1):
            suffix = "" if len(shards) == 1 else f"-{number:05}-of-{len(shards):05}"
            name = f"{self.stem}{suffix}.safetensors"
            shard.finish(self.folder / name, self.metadata, self.weights_key)
            weight_map.update(dict.fromkeys(shard.places, name))
            total += shard.nbytes
        if len(shards) > 1:
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            name = f"{self.stem}.safetensors.index.json"
            (self.folder / name).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def write_file(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Writes one plain safetensors file, whole or not at all."""
    with (
        atomic_file(path) as folder,
        ModelWriter(folder, metadata=metadata, weights_key=None, max_shard_bytes=2**62) as writer,
    ):
        writer.add(tensors)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A new folder, whose only file takes the place of `path` when the block ends well."""
    with _scratch_folder(path) as folder:
        yield folder
        (made,) = folder.iterdir()
        os.replace(made, path)
        _sync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder, which becomes `path` when the block ends well.

    Raises:
        FileExistsError: `path` exists and is not an empty folder.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists already: name a new folder")
    with _scratch_folder(path) as folder:
        yield folder
        if path.exists():
            path.rmdir()
        os.rename(folder, path)
        _sync(path.parent)


@contextmanager
def _scratch_folder(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    os.chmod(folder, 0o777 & ~_umask())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
