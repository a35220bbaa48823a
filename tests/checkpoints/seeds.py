"""Small valid files of every format, as bytes, which the tests of damage and the fuzzers change."""

from __future__ import annotations

import io
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from checkpoint_cases import weight

from sparse_gemm.checkpoints.formats import WRITABLE
from sparse_gemm.checkpoints.formats.ours import (
    FORMAT_VERSION,
    VERSION_KEY,
    WEIGHTS_KEY,
    described,
)
from sparse_gemm.checkpoints.safetensors_writer import ModelWriter
from sparse_gemm.checkpoints.weight import Weight


def _weight_for(name: str) -> Weight:
    if "marlin" in name:
        found = weight(128, 128, "int8").narrowed()
        scale = np.ones((128, 1), np.float16)
        return Weight(
            found.values, found.metadata, found.shape, "2:4", "int4", "float16", scale, 128
        )
    return weight(32, 64, "int8" if name == "sparsemma" else "float16")


def safetensors_seed(name: str) -> bytes:
    """One weight l.weight, and a bias, in that format."""
    target, found = WRITABLE[name], _weight_for(name)
    assert target.encode is not None
    parts = target.encode(found)
    names = target.names("l.weight", parts)
    is_ours = name == "sparse_gemm"
    metadata = {VERSION_KEY: str(FORMAT_VERSION)} if is_ours else dict(target.header)
    with tempfile.TemporaryDirectory() as folder:
        with ModelWriter(
            Path(folder),
            metadata=metadata,
            weights_key=WEIGHTS_KEY if is_ours else None,
            max_shard_bytes=2**40,
        ) as writer:
            about = {"l.weight": described(found)} if is_ours else None
            writer.add({names[part]: array for part, array in parts.items()}, about)
            writer.add({"l.bias": np.ones(32, np.float32)})
        return (Path(folder) / "model.safetensors").read_bytes()


def archive(data: bytes, storages: dict[str, bytes] | None = None, **options: Any) -> bytes:
    """A file of torch.save's around a pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as made:
        made.writestr("a/data.pkl", data)
        made.writestr("a/byteorder", "little")
        for key, raw in (storages or {}).items():
            made.writestr(f"a/data/{key}", raw)
    return out.getvalue()


def _text(text: str) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


def tensor_pickle(
    storage: str = "HalfStorage",
    key: str = "0",
    size: int = 64,
    offset: int = 0,
    shape: tuple[int, ...] = (4, 16),
    strides: tuple[int, ...] = (16, 1),
) -> bytes:
    """The pickle of {"x": a tensor}, as torch writes it."""

    def number(value: int) -> bytes:
        raw = value.to_bytes(9, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    stored = b"(" + _text("storage") + b"ctorch\n" + storage.encode() + b"\n" + _text(key)
    stored += _text("cpu") + number(size) + b"tQ"
    arguments = b"(" + stored + number(offset) + numbers(shape) + numbers(strides) + b"\x89"
    arguments += b"ccollections\nOrderedDict\n)Rt"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"
    return b"\x80\x02}" + _text("x") + rebuilt + b"s."


def torch_seed() -> bytes:
    """One tensor x of 4 by 16 halves."""
    return archive(tensor_pickle(), {"0": np.arange(64, dtype=np.float16).tobytes()})


class Importing:
    """What a pickle that runs a command holds."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return (os.system, ("touch hacked",))


def importing_pickle(protocol: int) -> bytes:
    """A pickle that would run a command."""
    return pickle.dumps({"l.weight": Importing()}, protocol=protocol)
