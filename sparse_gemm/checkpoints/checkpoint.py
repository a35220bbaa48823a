"""Checkpoint: a file, or a Hugging Face folder of them, as one table of tensors.

Files are mapped and checked when the checkpoint is opened; tensors are read one at a time. What a
folder's index says is checked against the files: no name leads out of the folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats import FORMATS, Context, Decoded, Entry, Format
from sparse_gemm.checkpoints.formats.dense import SKIPPED
from sparse_gemm.checkpoints.formats.ours import WEIGHTS_KEY, check_version
from sparse_gemm.checkpoints.safetensors_file import SafetensorsFile, parse_json
from sparse_gemm.checkpoints.safetensors_writer import CHECKSUMS_KEY, checksum
from sparse_gemm.checkpoints.tensors import Array, TensorInfo
from sparse_gemm.checkpoints.torch_file import TorchFile

__all__ = ["TORCH_SUFFIXES", "Checkpoint"]

TORCH_SUFFIXES = (".pt", ".pth", ".bin")
_MAX_JSON_BYTES = 64 * 2**20
_FALLBACKS = ("*.safetensors", "pytorch_model*.bin", "*.pt", "*.pth")


class Checkpoint:
    """A checkpoint that is open for reading.

    Attributes:
        path: the file or the folder.
        files: the files that hold its tensors.
        config: config.json; empty if there is none.
        infos: every tensor's type and shape, by name.
        context: what the formats need to know besides the tensors.
    """

    def __init__(
        self,
        path: Path,
        *,
        tile_k: int | None = None,
        skip: tuple[str, ...] = SKIPPED,
        files: list[Path] | None = None,
    ) -> None:
        """Maps all files and checks their headers.

        Args:
            path: the file or the folder.
            tile_k, skip: see Context.
            files: of the folder, if it is known which; default those that its index or their
                names tell.

        Raises:
            CheckpointError: a file is damaged, or missing; the message names it.
            FileNotFoundError: there is nothing at `path`.
        """
        self.path = path
        self.config = _read_json(path / "config.json") if path.is_dir() else {}
        self.files, indexed = (files, []) if files is not None else _files_of(path)
        self.infos: dict[str, TensorInfo] = {}
        self._file_of: dict[str, SafetensorsFile | TorchFile] = {}
        self._opened: list[SafetensorsFile | TorchFile] = []
        self._checksums: dict[str, Any] = {}
        metadata: dict[str, str] = {}
        classes: dict[str, str] = {}
        weights: dict[str, dict[str, Any]] = {}
        for file_path in self.files:
            try:
                file = _open(file_path)
                self._take(file)
                metadata.update(file.metadata)
                weights.update(_described(file.metadata))
                classes.update(getattr(file, "classes", {}))
            except CheckpointError as error:
                raise CheckpointError(f"{file_path.name}: {error}") from None
        known = {*self.infos, *classes}
        if absent := [name for name in indexed if name not in known]:
            raise CheckpointError(
                f"the index names {absent[0]!r:.200} and {len(absent) - 1} more tensors that no "
                "file holds"
            )
        self.context = Context(self.config, metadata, classes, weights, tile_k, skip)

    def read(self, name: str) -> Array:
        """A tensor, checked against its checksum if the file has one."""
        expected = self._checksums.get(name)
        if expected is not None and checksum(self.raw(name)) != expected:
            raise CheckpointError(f"tensor {name:.200} does not match its checksum: damaged")
        return self._file_of[name].read(name)

    def raw(self, name: str) -> memoryview:
        """A tensor's bytes."""
        return self._file_of[name].raw(name)

    def release(self) -> None:
        """Gives the memory back that mapped files took when they were read; they stay readable."""
        for file in self._opened:
            file.release()

    def find(self) -> Iterator[tuple[Format, Entry]]:
        """Every parameter that a format knows, with it; no tensor is part of two."""
        left = dict(self.infos)
        for file_format in FORMATS:
            for entry in list(file_format.find(left, self.context)):
                if all(name in left for name in entry.parts.values()):
                    for name in set(entry.parts.values()):
                        del left[name]
                    yield file_format, entry

    def outside(self, found: Iterable[tuple[Format, Entry]]) -> list[str]:
        """Names of the tensors that are part of none of these."""
        parts = {name for _, entry in found for name in entry.parts.values()}
        return [name for name in self.infos if name not in parts]

    def decode(self, file_format: Format, entry: Entry) -> Decoded:
        """One parameter.

        Raises:
            CheckpointError: its tensors do not make one; the message names it.
        """
        try:
            for name in entry.parts.values():
                shape = self.infos[name].shape
                if len(shape) > 1 and 0 in shape:  # any extent goes with no elements
                    raise CheckpointError(f"{name:.200} has shape {shape}: it is empty")
            parts = {part: self.read(name) for part, name in entry.parts.items()}
            return file_format.decode(parts, entry, self.context)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{entry.param:.200} ({file_format.name}): {error}") from error

    def _take(self, file: SafetensorsFile | TorchFile) -> None:
        self._opened.append(file)
        for name, info in file.infos.items():
            if name in self.infos:
                raise CheckpointError(f"tensor {name:.200} is in another file too")
            self.infos[name] = info
            self._file_of[name] = file
        if CHECKSUMS_KEY in file.metadata:
            text = file.metadata[CHECKSUMS_KEY].encode()
            self._checksums.update(parse_json(text, "the list of checksums"))


def _open(path: Path) -> SafetensorsFile | TorchFile:
    return TorchFile(path) if path.suffix in TORCH_SUFFIXES else SafetensorsFile(path)


def _described(metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    check_version(metadata)
    if WEIGHTS_KEY not in metadata:
        return {}
    weights = parse_json(metadata[WEIGHTS_KEY].encode(), "the list of weights")
    if not all(isinstance(about, dict) for about in weights.values()):
        raise CheckpointError("the list of weights is no object of objects")
    return weights


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise CheckpointError(f"{path.name} has {path.stat().st_size} bytes")
    return parse_json(path.read_bytes(), path.name)


def _files_of(path: Path) -> tuple[list[Path], list[str]]:
    """The files, and the tensors that an index says they hold."""
    if not path.is_dir():
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        return [path], []
    for pattern in ("*.safetensors.index.json", "*.bin.index.json"):
        indexes = sorted(path.glob(pattern))
        if indexes:
            return _indexed(path, indexes[0])
    if (path / "model.safetensors").is_file():
        return [path / "model.safetensors"], []
    for pattern in _FALLBACKS:
        if found := sorted(file for file in path.glob(pattern) if file.is_file()):
            return found, []
    raise CheckpointError(f"{path} holds no .safetensors, .bin, .pt or .pth file")


def _indexed(folder: Path, index: Path) -> tuple[list[Path], list[str]]:
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{index.name} has no weight_map")
    names = set()
    for name in weight_map.values():
        if not isinstance(name, str) or name != Path(name).name or name in ("", ".", ".."):
            raise CheckpointError(f"{index.name} names a file that is not in the folder")
        names.add(name)
    files = [folder / name for name in sorted(names)]
    if missing := [file.name for file in files if not file.is_file()]:
        raise CheckpointError(f"{index.name} names {missing[0]}, which is missing")
    return files, list(weight_map)


def encode_json(value: Mapping[str, Any]) -> str:
    """JSON as it is written into folders."""
    return json.dumps(value, indent=2) + "\n"
