"""Writes the golden files: `python tests/checkpoints/make_golden.py`. They never change again; a
later version of the format adds files of its own beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from checkpoint_cases import halves, sparse_matrix

from sparse_gemm import reference
from sparse_gemm.checkpoints.formats.ours import (
    FORMAT_VERSION,
    OURS,
    VERSION_KEY,
    WEIGHTS_KEY,
    described,
)
from sparse_gemm.checkpoints.safetensors_writer import ModelWriter, atomic_file
from sparse_gemm.checkpoints.weight import Weight, from_dense

FOLDER = Path(__file__).parent / "golden"
FILE = FOLDER / "version_1.safetensors"


def dense_of(name: str) -> np.ndarray[Any, np.dtype[Any]]:
    """The unscaled dense matrix that the golden file's weight of that name holds."""
    dtype = name.split(".")[0]
    if dtype == "stack":
        return sparse_matrix(16, 20, "float16").reshape(2, 8, 20)
    if dtype == "tf32":
        return halves(sparse_matrix(8, 20, "float32"))
    return sparse_matrix(8, 72 if dtype == "int4" else 20, "int8" if dtype == "int4" else dtype)


DTYPES = ("float32", "float16", "bfloat16", "int8", "float8_e4m3fn", "float8_e5m2")
NAMES = [f"{dtype}.weight" for dtype in (*DTYPES, "int4", "tf32")] + ["stack.experts"]
BIAS = np.arange(8, dtype=np.float32)
ROW_SCALE = np.arange(1, 9, dtype=np.float32) / 8
GROUP_SCALE = (np.arange(1, 25) / 8).astype(np.float16).reshape(8, 3)


def weights() -> dict[str, Weight]:
    found = {}
    for name in NAMES:
        w = dense_of(name)
        if name.startswith("tf32"):
            c = reference.compress(w, "1:2")
            found[name] = Weight(c.values, c.metadata, w.shape, "1:2", "float32", "float32")
            continue
        scale = {"int8": ROW_SCALE, "int4": GROUP_SCALE}.get(name.split(".")[0])
        dense_dtype = None if scale is None else "bfloat16" if scale.ndim == 1 else "float16"
        group_size = 32 if scale is not None and scale.ndim == 2 else None
        weight = from_dense(w, scale=scale, group_size=group_size, dense_dtype=dense_dtype)
        assert weight is not None
        found[name] = weight.narrowed() if name.startswith("int4") else weight
    return found


def write(path: Path) -> None:
    metadata = {"format": "pt", VERSION_KEY: str(FORMAT_VERSION)}
    with (
        atomic_file(path) as folder,
        ModelWriter(
            folder, metadata=metadata, weights_key=WEIGHTS_KEY, max_shard_bytes=2**40
        ) as writer,
    ):
        for name, weight in weights().items():
            assert OURS.encode is not None
            parts = OURS.encode(weight)
            names = OURS.names(name, parts)
            writer.add({names[p]: a for p, a in parts.items()}, {name: described(weight)})
        writer.add({"bias": BIAS})


if __name__ == "__main__":
    write(FILE)
