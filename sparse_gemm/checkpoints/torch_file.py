"""Reading a torch.save file (.pt, .pth, .bin): a zip archive of one pickle and the storages.

The pickle is read by `torch_pickle`; torch is not needed. Storages are views of the mapped file:
torch stores them uncompressed, and an archive that does not is refused, so that what is read is
never more than the file holds.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.safetensors_file import map_file, release_map
from sparse_gemm.checkpoints.tensors import Array, TensorInfo, dtype_of_code
from sparse_gemm.checkpoints.torch_pickle import (
    MAX_PICKLE_BYTES,
    SemiStructured,
    StridedTensor,
    read_pickle,
)

__all__ = ["TorchFile"]

_LOCAL_HEADER_BYTES = 30  # of a zip entry, before its name and extra field
_MAX_ENTRIES = 2**20

# Where training scripts put the state dict that they save among other things.
_STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model", "module")


class TorchFile:
    """One mapped file. A semi-structured tensor shows as one tensor for each of its parts."""

    def __init__(self, path: Path) -> None:
        """Maps the file and reads its pickle.

        Raises:
            CheckpointError: it is no such file, or its pickle names anything but tensors.
        """
        self.path = path
        self.metadata: dict[str, str] = {}
        self.classes: dict[str, str] = {}  # parameter -> class of the semi-structured tensor
        self._map = map_file(path)
        self._entries, self._prefix = self._open()
        self._tensors: dict[str, StridedTensor] = {}
        for name, value in _state_dict(read_pickle(self._bytes("data.pkl"))).items():
            if isinstance(value, StridedTensor):
                self._tensors[str(name)] = value
            elif isinstance(value, SemiStructured):
                self.classes[str(name)] = value.class_name
                for part, tensor in value.parts.items():
                    self._tensors[f"{name}.{part}"] = tensor
        self._infos = {name: self._info(name, t) for name, t in self._tensors.items()}

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """What is known of each tensor, in the order of the state dict."""
        return self._infos

    def raw(self, name: str) -> memoryview:
        """A tensor's bytes, row-major and little-endian."""
        tensor = self.read(name)
        little = np.ascontiguousarray(tensor.astype(tensor.dtype.newbyteorder("<"), copy=False))
        return little.reshape(-1).view(np.uint8).data

    def read(self, name: str) -> Array:
        """A tensor, row-major: a view of the file if it is stored so, else a copy."""
        tensor = self._tensors[name]
        dtype = dtype_of_code(tensor.code)
        flat = np.frombuffer(self._storage(tensor), dtype.newbyteorder("<"))
        view = np.lib.stride_tricks.as_strided(
            flat[tensor.offset :],
            tensor.shape,
            [stride * dtype.itemsize for stride in tensor.strides],
            writeable=False,
        )
        return np.ascontiguousarray(view).astype(dtype, copy=False).reshape(tensor.shape)

    def release(self) -> None:
        """Gives back the memory of what was read; it is read again when it is looked at again."""
        release_map(self._map)

    def _open(self) -> tuple[dict[str, zipfile.ZipInfo], str]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                listed = archive.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeError) as error:
            raise CheckpointError(
                f"it is no file of torch.save's since torch 1.6 ({error!s:.200}): load it with the "
                "torch that wrote it and save it again"
            ) from None
        entries = {entry.filename: entry for entry in listed}
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1 or len(listed) != len(entries) or len(listed) > _MAX_ENTRIES:
            raise CheckpointError(f"the archive holds {len(pickles)} data.pkl; expected one")
        prefix = pickles[0].removesuffix("data.pkl")
        self._entries, self._prefix = entries, prefix
        order = bytes(self._bytes("byteorder")) if prefix + "byteorder" in entries else b"little"
        if order != b"little":
            raise CheckpointError("the file is not little-endian: save it again where it was made")
        return entries, prefix

    def _bytes(self, name: str) -> Any:
        """An entry of the archive, as it lies in the file."""
        entry = self._entries.get(self._prefix + name)
        if entry is None:
            raise CheckpointError(f"the archive has no entry {name:.80}")
        size, header = entry.file_size, entry.header_offset
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != size:
            raise CheckpointError(f"the archive's entry {name:.80} is compressed")
        fixed = self._map[header : header + _LOCAL_HEADER_BYTES]
        if len(fixed) < _LOCAL_HEADER_BYTES or fixed[:4] != b"PK\x03\x04":
            raise CheckpointError(f"the archive's entry {name:.80} is damaged")
        begin = header + _LOCAL_HEADER_BYTES
        begin += int.from_bytes(fixed[26:28], "little") + int.from_bytes(fixed[28:30], "little")
        if begin + size > len(self._map):
            raise CheckpointError(f"the archive's entry {name:.80} is truncated")
        if name == "data.pkl":
            return self._map[begin : begin + min(size, MAX_PICKLE_BYTES + 1)]
        return memoryview(self._map)[begin : begin + size]

    def _storage(self, tensor: StridedTensor) -> Any:
        stored = self._bytes(f"data/{tensor.storage.key:.80}")
        itemsize = dtype_of_code(tensor.code).itemsize
        return stored[: len(stored) // itemsize * itemsize]

    def _info(self, name: str, tensor: StridedTensor) -> TensorInfo:
        """Checks that the tensor lies in its storage, each element once."""
        size = len(self._storage(tensor)) // dtype_of_code(tensor.code).itemsize
        count = math.prod(tensor.shape)
        if len(tensor.strides) != len(tensor.shape) or not 0 <= tensor.offset <= size:
            raise CheckpointError(f"tensor {name:.200} has offset or strides that cannot be")
        steps = zip(tensor.shape, tensor.strides, strict=True)
        last = tensor.offset + sum((extent - 1) * stride for extent, stride in steps)
        if count > size or (count and last >= size):
            raise CheckpointError(
                f"tensor {name:.200} has shape {tensor.shape}, more than its storage of {size} "
                "elements holds"
            )
        return TensorInfo(tensor.code, tensor.shape)


def _state_dict(value: Any) -> dict[Any, Any]:
    if type(value) is not dict:
        raise CheckpointError("the file holds no dictionary of tensors")
    if any(isinstance(item, (StridedTensor, SemiStructured)) for item in value.values()):
        return value
    for key in _STATE_DICT_KEYS:
        if type(value.get(key)) is dict:
            return _state_dict_inside(value[key])
    raise CheckpointError("the file holds no dictionary of tensors")


def _state_dict_inside(value: dict[Any, Any]) -> dict[Any, Any]:
    if any(isinstance(item, (StridedTensor, SemiStructured)) for item in value.values()):
        return value
    raise CheckpointError("the file's state dict holds no tensors")
