"""Checkpoints: 2:4 weights in every file format that has held them, and in one of our own.

    sparse_gemm.checkpoints.inspect(path)                  # what is in it, and is it valid?
    sparse_gemm.checkpoints.convert(source, destination)   # to our form; to="dense", ...
    sparse_gemm.checkpoints.load(path)                     # {name: Sparse24Tensor or array}
    sparse_gemm.checkpoints.save(path, tensors)            # a file of our form (docs/file_form.md)

The rooms, each of which uses only those above it:
- `errors`, `tensors`: CheckpointError; the types and shapes of stored tensors
- `safetensors_file`, `torch_pickle`, `torch_file`: readers that trust nothing in a file
- `weight`, `places`: a weight in canonical form, and the way there from any writer's nibbles
- `safetensors_writer`: one tensor at a time, whole or not at all
- `formats`: one module a family, pure functions between arrays and weights
- `checkpoint`: a file or a folder as one table of tensors
- `inspection`, `conversion`, `files`: the functions above; `configs`, `progress`, `cli` help them

NumPy is all they need. What a hostile file can do is in docs/checkpoints.md.
"""

from __future__ import annotations

from sparse_gemm.checkpoints.conversion import Conversion, convert
from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.files import load, save
from sparse_gemm.checkpoints.formats import WRITABLE
from sparse_gemm.checkpoints.inspection import Inspection, TensorReport, inspect

FORMATS = tuple(WRITABLE)  # what `convert` takes for `to`

__all__ = [
    "FORMATS",
    "CheckpointError",
    "Conversion",
    "Inspection",
    "TensorReport",
    "convert",
    "inspect",
    "load",
    "save",
]
