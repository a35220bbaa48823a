"""Files made to harm: each is refused with a reason, in little memory, and nothing is run."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import pickle
import random
import resource
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import seeds
from checkpoint_cases import equal

from sparse_gemm.checkpoints import CheckpointError, convert, inspect, load
from sparse_gemm.checkpoints.formats import WRITABLE
from sparse_gemm.checkpoints.safetensors_writer import write_file

FORMATS = [name for name in WRITABLE if name not in ("cutlass-sm90-k64", "cutlass-sm100")]
PEAK_BYTES = 256 * 2**20  # on top of what the process has taken before
MAX_SECONDS = 20


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """No test here may take much memory or time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + PEAK_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    begin = time.monotonic()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.monotonic() - begin < MAX_SECONDS


def refused(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as caught:
        inspect(path)
    assert str(caught.value).startswith(path.name)
    assert len(str(caught.value)) < 2000


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: Any = "F16", shape: Any = (2, 4), offsets: Any = (0, 16), **more: Any) -> Any:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}}


DATA = bytes(16)
TWO = {**entry(), "y": entry()["x"]}
HEADERS = {
    "empty": (b"", "the file is empty"),
    "seven bytes": (b"1234567", "the file has 7 bytes"),
    "oversized header": (struct.pack("<Q", 2**62) + b"{}", "the header says that it has 46116"),
    "truncated header": (safetensors(entry(), length=10**6), "expected at most"),
    "no JSON": (safetensors(b"{nonsense}"), "not JSON"),
    "no object": (safetensors(b"[1, 2]"), "a JSON list"),
    "no UTF-8": (safetensors(b'{"\xff\xfe": 1}'), "not JSON"),
    "deep": (safetensors(b'{"x":' + b"[" * 100_000), "nests 100001 lists"),
    "deep with filling": (safetensors(b'{"x":' + b"[       " * 100_000), "not JSON"),
    "many objects": (safetensors(b'{"x":[' + b"{}," * 10**6), "nests 1000002 lists"),
    "twice": (safetensors(b'{"x":1,"x":2}'), "twice"),
    "huge number": (safetensors(b'{"x":' + b"9" * 10**6 + b"}"), "not JSON"),
    "no entry": (safetensors({"x": 3}), "tensor 'x': its entry is not"),
    "more in the entry": (safetensors(entry(extra=1), DATA), "its entry is not"),
    "unknown dtype": (safetensors(entry("F128"), DATA), "dtype is 'F128'"),
    "dtype no string": (safetensors(entry({}), DATA), "dtype is {}"),
    "negative extent": (safetensors(entry(shape=(-2, -4)), DATA), "a number that is not among"),
    "extent no integer": (safetensors(entry(shape=(2.0, 4)), DATA), "a shape holds a float"),
    "extent true": (safetensors(entry(shape=(True, 8)), DATA), "a shape holds a bool"),
    "huge extents": (safetensors(entry(shape=(2**40, 2**40)), DATA), "more elements than"),
    "empty of huge extents together": (
        safetensors(entry(shape=(2**40, 2**31, 0), offsets=(0, 0))), "more elements than",
    ),
    "overflowing extents": (safetensors(entry(shape=(2**63, 2**63)), DATA), "a number that"),
    "empty of huge extents": (safetensors(entry(shape=(0, 2**63), offsets=(0, 0))), "a number"),
    "many dimensions": (safetensors(entry(shape=(1,) * 99), DATA), "at most 16 integers"),
    "beyond the end": (safetensors(entry(shape=(4, 4), offsets=(0, 32)), DATA), "holds 16 bytes"),
    "bytes left over": (safetensors(entry(), DATA + b"x"), "holds 17 bytes of data; expected 16"),
    "overlap": (safetensors(TWO, DATA), "tensor 'y' begins at byte 0 of the data; expected 16"),
    "gap": (safetensors(entry(offsets=(8, 24)), bytes(24)), "begins at byte 8"),
    "negative offset": (safetensors(entry(offsets=(-16, 0)), DATA), "data_offsets is"),
    "offsets no integers": (safetensors(entry(offsets=(0, "16")), DATA), "expected two integers"),
    "metadata no strings": (safetensors({"__metadata__": {"a": 1}}), "no object of strings"),
    "weights no JSON": (safetensors({"__metadata__": {"sparse_gemm.weights": "["}}), "not JSON"),
    "weights no objects": (
        safetensors({"__metadata__": {"sparse_gemm.weights": '{"x": 1}'}}), "no object of objects",
    ),
    "version no number": (safetensors({"__metadata__": {"sparse_gemm.format": "x"}}), "version"),
    "version huge": (safetensors({"__metadata__": {"sparse_gemm.format": "9" * 9999}}), "version"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(HEADERS))
def test_safetensors_headers(name: str, tmp_path: Path) -> None:
    refused(tmp_path / "a.safetensors", *HEADERS[name])


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_anywhere(name: str, tmp_path: Path) -> None:
    data = seeds.safetensors_seed(name)
    for length in {0, 1, 7, 8, 9, len(data) // 2, len(data) - 1}:
        refused(tmp_path / "a.safetensors", data[:length], r"^a\.safetensors: ")


@pytest.mark.parametrize("name", FORMATS)
def test_parts_of_other_shapes_and_types(name: str, tmp_path: Path) -> None:
    """Every part of every format in turn: cut, widened, empty, flat, of another type."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(seeds.safetensors_seed(name))
    from sparse_gemm.checkpoints.checkpoint import Checkpoint

    checkpoint = Checkpoint(path)
    tensors = {key: checkpoint.read(key).copy() for key in checkpoint.infos}
    metadata = {k: v for k, v in checkpoint.context.metadata.items() if "sha256" not in k}
    shape = inspect(path).tensors[0].shape
    changes: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda a: a[: len(a) // 2],
        lambda a: np.concatenate([a, a]),
        lambda a: np.concatenate([a, a], axis=-1),
        lambda a: a[..., :1],
        lambda a: a[:0],
        lambda a: a.reshape(-1),
        lambda a: a[None],
        lambda a: a.astype(np.float64) if a.dtype.kind != "f" else a.astype(np.int64),
        lambda a: a.T,
    ]
    for key, change in itertools.product(tensors, changes):
        changed = np.ascontiguousarray(change(tensors[key]))
        write_file(path, {**tensors, key: changed}, metadata)
        try:
            report = inspect(path)
        except CheckpointError:
            continue
        for tensor in report.tensors:
            # What is still of this format has the shape that it had; in E is room for other rows,
            # and a gate is a list of groups.
            if not tensor.error and tensor.format == name not in (
                "dense",
                "cutlass-sm90",
                "maskllm",
            ):
                assert tensor.name != "l.weight" or tensor.shape == shape


def test_parts_without_elements_and_with_huge_extents(tmp_path: Path) -> None:
    """Nothing of a file's size bounds the extents of an array that has no elements."""
    for name in FORMATS:
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(seeds.safetensors_seed(name))
        header, body = split(path.read_bytes())
        header.get("__metadata__", {}).pop("sparse_gemm.sha256", None)
        for key in [key for key in header if key.startswith("l.") and key != "l.bias"]:
            for shape in ([2**31, 0], [0, 2**31], [2**31, 0, 1], [0]):
                changed = {k: dict(v) for k, v in header.items()}
                begin, end = changed[key]["data_offsets"]
                for other in changed.values():
                    if "data_offsets" in other and other["data_offsets"][0] >= end:
                        other["data_offsets"] = [at - end + begin for at in other["data_offsets"]]
                changed[key] |= {"shape": shape, "data_offsets": [begin, begin]}
                path.write_bytes(safetensors(changed, body[:begin] + body[end:]))
                with contextlib.suppress(CheckpointError):
                    inspect(path)


@pytest.mark.parametrize(
    ("names", "shapes"),
    [
        (("packed", "meta"), ((32, 1), (2**31, 0))),  # no groups, so no words for any rows
        (("weight", "__weight_mma_mask"), ((8, 0), (8, 0))),
        (("weight", "__weight_mma_mask"), ((0,), (0,))),
        (("weight", "__weight_mma_mask"), ((), ())),
        (("weight", "diff_mask.gate"), ((0, 2**31), (0, 6))),
    ],
)
def test_empty_parts_that_go_together(
    names: tuple[str, str], shapes: tuple[tuple[int, ...], ...], tmp_path: Path
) -> None:
    sizes = [2 * math.prod(shape) for shape in shapes]
    header = {
        f"l.{names[0]}": {"dtype": "F16", "shape": shapes[0], "data_offsets": [0, sizes[0]]},
        f"l.{names[1]}": {
            "dtype": "I16",
            "shape": shapes[1],
            "data_offsets": [sizes[0], sum(sizes)],
        },
    }
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(header, bytes(sum(sizes))))
    for tensor in inspect(path).tensors:
        assert tensor.error or tensor.pattern == ""


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    begin = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:begin]), data[begin:]


def test_indices_out_of_range_and_in_disorder(tmp_path: Path) -> None:
    """Our own form takes the six canonical nibbles alone."""
    path = tmp_path / "a.safetensors"
    data = bytearray(seeds.safetensors_seed("sparse_gemm"))
    path.write_bytes(data)
    from sparse_gemm.checkpoints.safetensors_file import SafetensorsFile

    file = SafetensorsFile(path)
    header = json.loads(bytes(data[8 : file._begin]))
    header["__metadata__"].pop("sparse_gemm.sha256")
    body = bytearray(data[file._begin :])
    for nibble in set(range(16)) - {0x4, 0x8, 0xC, 0x9, 0xD, 0xE}:
        body[file._offsets["l.metadata"]] = 0xE0 | nibble
        path.write_bytes(safetensors(header, bytes(body)))
        report = inspect(path)
        assert "row 0, group 0 holds 0x" in report.tensors[0].error


def bitmask(**changed: np.ndarray) -> dict[str, np.ndarray]:
    encode = WRITABLE["sparse-bitmask"].encode
    assert encode is not None
    parts = {**encode(seeds._weight_for("asp")), **changed}
    return {f"l.{name}": part for name, part in parts.items()}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shape": np.array([2**40, 2**40])}, "does not go with a matrix"),
        ({"shape": np.array([-32, -64])}, "does not go with a matrix"),
        ({"shape": np.array([0, 0])}, "does not go with a matrix"),
        ({"shape": np.array([32.0, 64.0])}, "expected two integers"),
        ({"shape": np.array([32, 63])}, "bits beyond the last column"),
        ({"row_offsets": np.full(32, 2**62)}, "row_offsets are not"),
        ({"row_offsets": np.full(32, -1)}, "row_offsets are not"),
        ({"compressed": np.ones(3, np.float16)}, "the bitmask stores"),
        ({"bitmask": np.full((32, 8), 255, np.uint8)}, "the bitmask stores 2048"),
    ],
)
def test_bitmasks(changed: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_file(path, bitmask(**changed), {})
    assert message in inspect(path).tensors[0].error
    with pytest.raises(CheckpointError, match=r"l\.weight \(sparse-bitmask\)"):
        convert(path, tmp_path / "b.safetensors")


def test_a_bitmask_that_stores_another_number_of_places(tmp_path: Path) -> None:
    encode = WRITABLE["sparse-24-bitmask"].encode
    assert encode is not None
    parts = {f"l.{name}": part for name, part in encode(seeds._weight_for("asp")).items()}
    parts["l.bitmask"] = parts["l.bitmask"].copy()
    parts["l.bitmask"][3, 1] = 0x37
    write_file(tmp_path / "a.safetensors", parts, {})
    error = inspect(tmp_path / "a.safetensors").tensors[0].error
    assert "row 3, group 2: the bitmask does not store two places" in error


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_that_run_commands(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = seeds.importing_pickle(protocol)
    for wrapped in (seeds.archive(data), data):
        refused(tmp_path / "a.pt", wrapped, r"^a\.pt: (the pickle|it is no file of torch)")
    assert not (tmp_path / "hacked").exists()
    pickle.loads(data)  # it would have
    assert (tmp_path / "hacked").exists()


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


PICKLES = {
    "empty": (b"", "truncated"),
    "no protocol": (b"N.", "unknown protocol"),
    "truncated": (seeds.tensor_pickle()[:-40], "truncated"),
    "os.system": (b"\x80\x02cos\nsystem\n.", "names os.system"),
    "posix.system": (b"\x80\x02cposix\nsystem\n" + text("x") + b"\x85R.", "names posix.system"),
    "builtins.eval": (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "names builtins.eval"),
    "torch.load": (b"\x80\x02ctorch\nload\n.", "names torch.load"),
    "attribute of an allowed name": (
        b"\x80\x04\x8c\x05torch\x8c\x0fdevice.__init__\x93.", "names torch.device.__init__",
    ),
    "name of another type": (b"\x80\x04K\x01K\x02\x93.", "no name"),
    "call of a class": (
        b"\x80\x02ctorch\nFloatStorage\n)R.", "calls something that is no function",
    ),
    "call of a number": (b"\x80\x02K\x01)R.", "calls something that is no function"),
    "build on a number": (b"\x80\x02K\x01}b.", "sets attributes"),
    "new object": (b"\x80\x02ctorch\nFloatStorage\n)\x81.", "opcode"),
    "instance": (b"\x80\x02(ios\nsystem\n.", "opcode"),
    "empty stack": (b"\x80\x02R.", "empty stack"),
    "only a mark": (b"\x80\x02t.", "empty stack"),
    "empty memo": (b"\x80\x02h\x07.", "empty memo"),
    "huge string": (b"\x80\x02X\xff\xff\xff\xffabc.", "truncated"),
    "unhashable key": (b"\x80\x02}}Ns.", "for a key"),
    "tuple for a key": (b"\x80\x02})Ns.", "for a key"),
    "odd items": (b"\x80\x02}(K\x01u.", "no dictionary"),
    "items of a list": (b"\x80\x02](K\x01K\x02u.", "no dictionary"),
    "no dictionary": (b"\x80\x02K\x01.", "no dictionary of tensors"),
    "no tensors": (b"\x80\x02}.", "no dictionary of tensors"),
    "storage of a number": (b"\x80\x02K\x01Q.", "no storage"),
    "missing storage": (seeds.tensor_pickle(key="9"), "no entry data/9"),
    "key that leads out": (seeds.tensor_pickle(key="../data.pkl/x"), "no entry"),
    "overlapping": (seeds.tensor_pickle(shape=(2**20, 2**20), strides=(0, 0)), "more than its"),
    "huge": (seeds.tensor_pickle(shape=(2**40,) * 3, strides=(1,) * 3), "more elements"),
    "overflowing": (seeds.tensor_pickle(shape=(2**62,), strides=(1,)), "shape"),
    "negative stride": (seeds.tensor_pickle(strides=(-16, 1)), "stride"),
    "negative offset": (seeds.tensor_pickle(offset=-1), "offset or strides"),
    "huge offset": (seeds.tensor_pickle(offset=2**60), "offset or strides"),
    "offset at the end": (seeds.tensor_pickle(offset=60), "more than its storage"),
    "fewer strides": (seeds.tensor_pickle(strides=(1,)), "offset or strides"),
    "unknown storage": (seeds.tensor_pickle(storage="UntypedStorage"), "names torch.Untyped"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(PICKLES))
def test_pickles(name: str, tmp_path: Path) -> None:
    data, message = PICKLES[name]
    refused(tmp_path / "a.pt", seeds.archive(data, {"0": bytes(128)}), message)


def test_pickles_that_grow_without_end(tmp_path: Path) -> None:
    """Tuples of ten times the same tuple, ninety deep: 10**90 elements, if anybody counted."""
    bomb = b"\x80\x02N"
    for _ in range(90):
        bomb += b"q\x01" + b"0" + b"(" + b"h\x01" * 10 + b"t"
    for end in (b".", b"}r\x00\x00\x00\x00N" + b"s.", b"\x93.", b"R.", b"Q."):
        refused(tmp_path / "a.pt", seeds.archive(bomb + end, {}), r"^a\.pt: ")
    called = b"\x80\x02ctorch\nSize\n" + bomb[2:] + b"\x85R\x85R."
    refused(tmp_path / "a.pt", seeds.archive(called, {}), r"^a\.pt: ")
    memo = b"\x80\x02N" + b"r\xff\xff\xff\xff" * 10 + b"."
    refused(tmp_path / "a.pt", seeds.archive(memo, {}), "no dictionary")


def test_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    good = seeds.tensor_pickle()
    storage = {"0": np.arange(64, dtype=np.float16).tobytes()}
    path.write_bytes(seeds.torch_seed())
    assert equal(np.asarray(load(path)["x"]), np.arange(64, dtype=np.float16).reshape(4, 16))
    packed = seeds.archive(good, storage, compression=zipfile.ZIP_DEFLATED)
    refused(path, packed, "is compressed")
    bomb = seeds.archive(b"\x80\x02N." + bytes(10**8), {}, compression=zipfile.ZIP_DEFLATED)
    refused(path, bomb, "is compressed")
    refused(path, seeds.archive(b"\x80\x02" + b"N" * (2**24 + 1), {}), "16 MiB")
    whole = seeds.torch_seed()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        refused(path, whole[:length], r"^a\.pt: ")
    refused(path, whole.replace(b"little", b"big\x00\x00\x00"), "not little-endian|CRC|damaged")
    refused(path, b"PK\x05\x06" + bytes(18), "holds 0 data.pkl")


def test_folders_that_lead_out_of_themselves(tmp_path: Path) -> None:
    secret = tmp_path / "secret.safetensors"
    write_file(secret, {"x": np.ones(3)}, {})
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("../secret.safetensors", str(secret), "..", "", 3, ["a"]):
        index = {"weight_map": {"x": name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(CheckpointError, match="not in the folder"):
            inspect(folder)
    for text_of_index in ("[", "[]", "{}", '{"weight_map": 3}', "[" * 10**5):
        (folder / "model.safetensors.index.json").write_text(text_of_index)
        with pytest.raises(CheckpointError, match="index.json"):
            inspect(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"x": "a.safetensors"}}')
    with pytest.raises(CheckpointError, match=r"a\.safetensors, which is missing"):
        inspect(folder)


@pytest.mark.parametrize("name", [*FORMATS, "torch"])
def test_random_damage(name: str, tmp_path: Path) -> None:
    """Bytes changed at random, in headers mostly: read or refused, nothing else."""
    rng = random.Random(7)
    data = seeds.torch_seed() if name == "torch" else seeds.safetensors_seed(name)
    path = tmp_path / ("a.pt" if name == "torch" else "a.safetensors")
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(min(len(damaged), 1200) if rng.random() < 0.8 else len(damaged))
            damaged[at] = rng.choice((0, 255, rng.randrange(256), ord("9"), damaged[at] ^ 1))
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            inspect(path)
