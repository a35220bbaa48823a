"""Fuzzes the readers of checkpoints with atheris (PyPI):

    python tests/checkpoints/fuzz.py [READER [SECONDS [CORPUS]]]

READER is a format's name, `torch`, `pickle` or `all`; the time, 600 seconds unless given, is for
each. A reader may refuse a file with CheckpointError and do nothing else: another exception, a hang
of 10 seconds or more than 1 GiB of memory ends the run with status 1, and leaves the input.

An input is a file, or, for safetensors, changes to a valid file after which its header is right
again: without those hardly an input would get past the header.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

READERS = (
    "sparse_gemm", "torch-cutlass", "cutlass-sm90", "sparse-bitmask", "sparse-24-bitmask",
    "marlin-24", "gptq-marlin-24", "asp", "modelopt", "maskllm", "sparsemma", "dense", "torch",
    "pickle",
)  # fmt: skip
_HANG_SECONDS = 10
_MEMORY_MB = 1024
_CHANGES = b"\x00CHANGES"  # how inputs begin that are changes, not files
_EXTENTS = (0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 64, 128, 2**31, 2**40)


def changed(seed: bytes, changes: bytes) -> bytes:
    """The valid file `seed` after changes of four bytes each: which tensor, what, how."""
    import json

    begin = 8 + int.from_bytes(seed[:8], "little")
    header = json.loads(seed[8:begin])
    metadata = header.pop("__metadata__", {})
    metadata.pop("sparse_gemm.sha256", None)
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        data = bytearray(seed[begin + first : begin + last])
        tensors[name] = (entry["dtype"], list(entry["shape"]), data)
    names = list(tensors)
    codes = ("F16", "BF16", "F32", "I8", "U8", "I16", "I32", "I64", "BOOL", "F8_E4M3", "F64")
    for at in range(0, len(changes) - 3, 4):
        which, what, how, much = changes[at : at + 4]
        name = names[which % len(names)]
        _, shape, data = tensors[name]
        if what % 4 == 0 and data:
            data[(how << 8 | much) % len(data)] ^= 1 << what // 4 % 8
        elif what % 4 == 1:
            tensors[name] = (codes[how % len(codes)], shape, data)
        elif what % 4 == 2 and shape:
            shape[how % len(shape)] = _EXTENTS[much % len(_EXTENTS)]
        elif what % 4 == 3:
            shape[how % (len(shape) + 1) : much % 4] = [_EXTENTS[what // 4 % 10]]
    return rebuilt(metadata, tensors)


def rebuilt(
    metadata: dict[str, str], tensors: dict[str, tuple[str, list[int], bytearray]]
) -> bytes:
    """A file whose offsets fit what the tensors' shapes ask for, as long as that is little."""
    import json
    import math

    sizes = {"F16": 2, "BF16": 2, "F32": 4, "I16": 2, "I32": 4, "I64": 8, "F64": 8}
    header: dict[str, object] = {"__metadata__": metadata}
    body = b""
    for name, (code, shape, data) in tensors.items():
        size = min(math.prod(shape) * sizes.get(code, 1), 2**20)
        header[name] = {
            "dtype": code, "shape": shape, "data_offsets": [len(body), len(body) + size],
        }  # fmt: skip
        body += bytes(data[:size]).ljust(size, b"\x00")
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def target_of(reader: str, folder: Path) -> Callable[[bytes], None]:
    """What is called with every input."""
    import seeds

    from sparse_gemm.checkpoints import CheckpointError, inspect
    from sparse_gemm.checkpoints.torch_pickle import read_pickle

    path = folder / ("a.pt" if reader == "torch" else "a.safetensors")
    seed = seed_of(reader)

    def read(data: bytes) -> None:
        with contextlib.suppress(CheckpointError):
            if reader == "pickle":
                read_pickle(data)
                return
            if data.startswith(_CHANGES):
                changes = data[len(_CHANGES) :]
                if reader == "torch":
                    data = seeds.archive(changes, {"0": bytes(128)})
                else:
                    data = changed(seed, changes)
            path.write_bytes(data)
            inspect(path)

    return read


def seed_of(reader: str) -> bytes:
    """A valid input."""
    import seeds

    if reader == "pickle":
        return seeds.tensor_pickle()
    return seeds.torch_seed() if reader == "torch" else seeds.safetensors_seed(reader)


def fuzz(reader: str, seconds: int, corpus: Path) -> None:
    """Runs libFuzzer in this process, which it ends."""
    import atheris

    with atheris.instrument_imports(include=["sparse_gemm.checkpoints"]):
        import seeds
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "seed").write_bytes(seed_of(reader))
    more = seeds.tensor_pickle() if reader == "torch" else bytes(range(1, 41))
    (corpus / "changes").write_bytes(_CHANGES + more)
    limits = [f"-max_total_time={seconds}", f"-timeout={_HANG_SECONDS}", "-max_len=16384"]
    limits += [f"-rss_limit_mb={_MEMORY_MB}", f"-artifact_prefix={corpus}/found-"]
    with tempfile.TemporaryDirectory() as folder:
        target = target_of(reader, Path(folder))
        atheris.Setup([sys.argv[0], *limits, "-len_control=0", str(corpus)], target)
        atheris.Fuzz()


def main(reader: str = "all", seconds: str = "600", corpus: str = "fuzz-corpus") -> int:
    """Runs one reader's fuzzer in this process, or every one in a process of its own."""
    if reader in READERS:
        fuzz(reader, int(seconds), Path(corpus))
        return 0
    if reader != "all":
        raise SystemExit(f"READER is {reader!r}; expected all, or one of {', '.join(READERS)}")
    failed = []
    for name in READERS:
        command = [sys.executable, __file__, name, seconds, str(Path(corpus) / name)]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(name)
    sys.stdout.write(f"readers: {len(READERS)}; failed: {', '.join(failed) or 'none'}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
