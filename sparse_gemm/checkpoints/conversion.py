"""convert: a checkpoint in any format becomes one in another, weight by weight."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparse_gemm.checkpoints.checkpoint import TORCH_SUFFIXES, Checkpoint, encode_json
from sparse_gemm.checkpoints.configs import converted_config
from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats import WRITABLE, Decoded, Entry, Format
from sparse_gemm.checkpoints.formats.dense import DENSE, SKIPPED
from sparse_gemm.checkpoints.formats.ours import (
    FORMAT_VERSION,
    OURS,
    VERSION_KEY,
    WEIGHTS_KEY,
    described,
)
from sparse_gemm.checkpoints.formats.torch_cutlass import TORCH_CUTLASS
from sparse_gemm.checkpoints.progress import progress_over
from sparse_gemm.checkpoints.safetensors_writer import ModelWriter, atomic_file, atomic_folder
from sparse_gemm.checkpoints.weight import Weight

__all__ = ["ACTIVATION_SCALES", "MAX_SHARD_BYTES", "Conversion", "check_none_is_foreign", "convert"]

MAX_SHARD_BYTES = 5 * 10**9
_logger = logging.getLogger("sparse_gemm")

# Not copied into a converted folder: weights, and indexes of them, in whatever format.
_WEIGHT_FILES = (
    "*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "*.pt", "*.pth",
    "*.gguf", "*.h5", "*.msgpack", "*.onnx",
)  # fmt: skip
# Endings of tensors that are a quantised weight in a form that is not read here.
_FOREIGN = (".qweight", ".weight_packed", ".weight_scale_inv", ".B_24", ".absmax", ".blocks")
# Static scales of activations: a dense model has no use for them.
ACTIVATION_SCALES = (".input_scale", ".output_scale", ".input_zero_point", ".output_zero_point")


@dataclass
class Conversion:
    """What `convert` did.

    Attributes:
        path: what was written.
        to: the format's name.
        converted: parameters that are in that format now.
        dense: parameter -> why it stayed, or became, dense.
        copied: number of tensors that were copied as they are.
        kinds: dtype and group size of what was converted.
    """

    path: Path
    to: str
    converted: list[str] = field(default_factory=list)
    dense: dict[str, str] = field(default_factory=dict)
    copied: int = 0
    kinds: set[tuple[str, int | None]] = field(default_factory=set)

    def __str__(self) -> str:
        """A summary, and what stayed dense."""
        lines = [
            f"{self.path}: {len(self.converted)} weights as {self.to}, {len(self.dense)} dense, "
            f"{self.copied} tensors copied"
        ]
        return "\n".join([*lines, *(f"  {name}: {why}" for name, why in self.dense.items())])


def convert(
    source: str | Path,
    destination: str | Path,
    *,
    to: str = "sparse_gemm",
    tile_k: int | None = None,
    skip: tuple[str, ...] = SKIPPED,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    progress: bool = False,
) -> Conversion:
    """Converts a checkpoint; the source's format is found out for each of its weights.

    One weight at a time is in memory. The destination appears when all of it is written. A weight
    that the target cannot hold is written dense, and reported.

    Args:
        source: a .safetensors, .pt, .pth or .bin file, or a Hugging Face folder.
        destination: a .safetensors file for a file, a new folder for a folder. Its other files are
            copied, and config.json says what the weights are now. With to="torch-cutlass" also a
            .pt, .pth or .bin file of torch's own class, for which all must fit in memory.
        to: "sparse_gemm", "dense" (zeros and all, under the model's own names, dequantised), or
            another of `WRITABLE`.
        tile_k: for CUTLASS 3.x's tensor E: the writer's tile along K (64 or 128), if known.
        skip: patterns of parameter names that are not looked at for zeros.
        max_shard_bytes: a folder's files are kept below this.
        progress: show a progress bar (tqdm, or lines of the log without it).

    Raises:
        CheckpointError: the source is damaged, or nothing in it can be converted.
        FileExistsError: the destination folder is there already.
        OSError: something cannot be read or written.
    """
    if to not in WRITABLE:
        raise ValueError(f"to is {to!r}; expected one of {', '.join(WRITABLE)}")
    checkpoint = Checkpoint(Path(source), tile_k=tile_k, skip=skip)
    target = Path(destination)
    report = Conversion(target, to)
    if not checkpoint.path.is_dir():
        if target.suffix in TORCH_SUFFIXES:
            _write_torch(checkpoint, target, report, progress)
            return report
        with atomic_file(target) as folder:
            _write(checkpoint, folder, report, 2**62, progress)
        return report
    with atomic_folder(target) as folder:
        _write(checkpoint, folder, report, max_shard_bytes, progress)
        _copy_others(checkpoint.path, folder)
        if checkpoint.config:
            config = converted_config(checkpoint.config, to, report.kinds, list(report.dense))
            (folder / "config.json").write_text(encode_json(config))
    return report


def check_none_is_foreign(names: list[str]) -> None:
    """Raises CheckpointError if tensors that no format knows are part of quantised weights."""
    if foreign := [name for name in names if name.endswith(_FOREIGN)]:
        raise CheckpointError(
            f"{foreign[0]:.200} and {len(foreign) - 1} more are quantised in a form that is not "
            "read here: dequantise them first"
        )


def _write(
    checkpoint: Checkpoint, folder: Path, report: Conversion, max_bytes: int, progress: bool
) -> None:
    found = list(checkpoint.find())
    others = checkpoint.outside(found)
    check_none_is_foreign(others)
    metadata: dict[str, str] = {"format": "pt", **WRITABLE[report.to].header}
    key = None
    if report.to == OURS.name:
        metadata, key = {**metadata, VERSION_KEY: str(FORMAT_VERSION)}, WEIGHTS_KEY
    with ModelWriter(
        folder, metadata=metadata, weights_key=key, max_shard_bytes=max_bytes
    ) as writer:
        for file_format, entry in progress_over(found, "converting", progress):
            _convert_one(checkpoint, file_format, entry, writer, report)
        for name in others:
            if report.to == DENSE.name and name.endswith(ACTIVATION_SCALES):
                continue
            _copy_tensors(checkpoint, [name], writer, report)
    candidates = [entry.param for file_format, entry in found if file_format is not DENSE]
    if not report.converted and (candidates or report.dense) and report.to != DENSE.name:
        name, why = next(iter(report.dense.items()), ("", "no weight is sparse"))
        raise CheckpointError(f"nothing can be written as {report.to}: {name}: {why}")


def _write_torch(checkpoint: Checkpoint, target: Path, report: Conversion, progress: bool) -> None:
    if report.to != TORCH_CUTLASS.name:
        raise ValueError(f"destination is {target}; expected a .safetensors file for {report.to}")
    from sparse_gemm.checkpoints.torch_saving import save_semi_structured

    found = list(checkpoint.find())
    parameters: dict[str, Decoded] = {
        entry.param: checkpoint.decode(file_format, entry)
        for file_format, entry in progress_over(found, "converting", progress)
    }
    others = {name: checkpoint.read(name) for name in checkpoint.outside(found)}
    with atomic_file(target) as folder:
        report.dense = save_semi_structured(folder / target.name, {**parameters, **others})
    report.copied = len(others)
    report.converted = [
        name for name, value in parameters.items()
        if isinstance(value, Weight) and name not in report.dense
    ]  # fmt: skip


def _convert_one(
    checkpoint: Checkpoint,
    file_format: Format,
    entry: Entry,
    writer: ModelWriter,
    report: Conversion,
) -> None:
    decoded = checkpoint.decode(file_format, entry)
    if not isinstance(decoded, Weight):
        if file_format is DENSE and (report.to != DENSE.name or len(entry.parts) == 1):
            _copy_tensors(checkpoint, list(entry.parts.values()), writer, report)
            return
        report.dense[entry.param] = "it is not 2:4"
        writer.add({entry.param: decoded})
        return
    target = WRITABLE[report.to]
    assert target.encode is not None
    if target is DENSE:
        writer.add({entry.param: decoded.to_dense()})
    else:
        try:
            parts = target.encode(decoded)
        except CheckpointError as error:
            report.dense[entry.param] = str(error)
            writer.add({entry.param: decoded.to_dense()})
            return
        about: Mapping[str, Any] = {entry.param: described(decoded)} if target is OURS else {}
        names = target.names(entry.param, parts)
        writer.add({names[part]: array for part, array in parts.items()}, about)
    report.converted.append(entry.param)
    report.kinds.add((decoded.dtype, decoded.group_size))


def _copy_tensors(
    checkpoint: Checkpoint, names: list[str], writer: ModelWriter, report: Conversion
) -> None:
    for name in names:
        checkpoint.read(name)  # checks its checksum
        writer.add_raw({name: (checkpoint.infos[name], checkpoint.raw(name))})
        report.copied += 1


def _copy_others(source: Path, folder: Path) -> None:
    """Every file at the folder's top that holds no weights."""
    for path in sorted(source.iterdir()):
        if path.name.startswith(".") or any(path.match(pattern) for pattern in _WEIGHT_FILES):
            continue
        if path.is_file() and path.name != "config.json":
            shutil.copyfile(path, folder / path.name)
        elif path.is_dir():
            _logger.info("the folder %s is not copied", path.name)
