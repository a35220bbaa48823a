"""Every format, there and back, and what writers may do that ours do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checkpoint_cases import FLOATS, MASKS, ONE_BYTE, equal, halves, sparse_matrix, weight

from sparse_gemm import reference
from sparse_gemm.checkpoints import CheckpointError
from sparse_gemm.checkpoints.formats import FORMATS, WRITABLE, Context, Entry
from sparse_gemm.checkpoints.formats.ours import described
from sparse_gemm.checkpoints.places import canonical_weight, nibbles_of, packed_nibbles
from sparse_gemm.checkpoints.tensors import TensorInfo, code_of
from sparse_gemm.checkpoints.weight import Weight, from_dense

# What each format holds beside plain 2:4 of every shape: types, and scales (of a row, of 128).
ANY_FLOAT = ("float16", "bfloat16", "float32")
HELD = {
    "sparse_gemm": (FLOATS + ONE_BYTE + ("int4",), ("", "row", "group")),
    "torch-cutlass": (("float16", "bfloat16", "int8"), ("",)),
    "cutlass-sm90": (("float16", "bfloat16", *ONE_BYTE), ("", "row")),
    "cutlass-sm90-k64": (("float16", "bfloat16", *ONE_BYTE), ("", "row")),
    "cutlass-sm100": (("float16", "bfloat16", *ONE_BYTE), ("", "row")),
    "sparse-24-bitmask": (FLOATS + ONE_BYTE, ("", "row", "group")),
    "sparse-bitmask": (FLOATS + ONE_BYTE, ("", "row", "group")),
    "marlin-24": (("int4", "int8"), ("row", "group")),
    "gptq-marlin-24": (("int4", "int8"), ("row", "group")),
    "asp": (FLOATS + ONE_BYTE, ("",)),
    "modelopt": (FLOATS + ONE_BYTE, ("",)),
    "maskllm": (FLOATS + ONE_BYTE, ("",)),
    "sparsemma": (("int8",), ("", "row")),
    "dense": (FLOATS + ONE_BYTE + ("int4",), ("", "row", "group")),
}
CASES = [
    (name, dtype, scale) for name, held in HELD.items() for dtype in held[0] for scale in held[1]
]


def scaled_weight(rows: int, k: int, dtype: str, scale: str) -> Weight:
    found = weight(rows, k, "int8" if dtype == "int4" else dtype)
    found = found.narrowed() if dtype == "int4" else found
    rng = np.random.default_rng(5)
    if scale == "row":
        factors = rng.integers(1, 9, rows).astype(np.float32) / 16
        return replace(found, scale=factors, dense_dtype="float16")
    if scale == "group":
        factors = (rng.integers(1, 9, (rows, k // 128)) / 16).astype(np.float16)
        return replace(found, scale=factors, group_size=128, dense_dtype="float16")
    return found


def there_and_back(name: str, found: Weight) -> tuple[Weight | np.ndarray, str]:
    """What the format's own names and parts are read as, and by which format they are found."""
    target = WRITABLE[name]
    assert target.encode is not None
    parts = target.encode(found)
    names = target.names("l.weight", parts)
    infos = {names[part]: TensorInfo(code_of(a.dtype), a.shape) for part, a in parts.items()}
    weights = {"l.weight": described(found)} if name == "sparse_gemm" else {}
    context = Context(metadata=target.header, weights=weights)
    for candidate in FORMATS:
        for entry in candidate.find(infos, context):
            assert entry.param == "l.weight"
            arrays = {
                part: parts[{v: k for k, v in names.items()}[n]] for part, n in entry.parts.items()
            }
            return candidate.decode(arrays, entry, context), candidate.name
    raise AssertionError("no format knows these names")


@pytest.mark.parametrize(("rows", "k"), [(128, 256), (256, 128), (128, 512)])
@pytest.mark.parametrize(("name", "dtype", "scale"), CASES)
def test_there_and_back(name: str, dtype: str, scale: str, rows: int, k: int) -> None:
    found = scaled_weight(rows, k, dtype, scale)
    decoded, by = there_and_back(name, found)
    assert by == ("cutlass-sm90" if name.startswith("cutlass-") else name)  # one reader for all E
    dense = decoded.to_dense() if isinstance(decoded, Weight) else decoded
    assert equal(dense, found.to_dense())
    if isinstance(decoded, Weight) and name != "dense":  # lossless: nothing was dequantised
        assert decoded.dtype == found.dtype
        assert equal(decoded.values, found.values)
        assert equal(decoded.metadata, found.metadata)
        is_row = found.group_size == k and name != "sparse_gemm"  # a group as long as the row
        assert decoded.group_size == (None if is_row else found.group_size)
        if found.scale is not None and not is_row:
            assert decoded.scale is not None
            assert equal(decoded.scale, found.scale)


ODD = [("sparse_gemm", 13, 30), ("sparse-24-bitmask", 13, 28), ("sparse-bitmask", 13, 30),
       ("asp", 13, 28), ("maskllm", 13, 28), ("cutlass-sm90", 13, 96), ("cutlass-sm90-k64", 70, 96),
       ("cutlass-sm100", 130, 160), ("dense", 13, 30), ("torch-cutlass", 32, 32)]  # fmt: skip


@pytest.mark.parametrize(("name", "rows", "k"), ODD)
def test_odd_shapes(name: str, rows: int, k: int) -> None:
    found = weight(rows, k, "float16")
    decoded, _ = there_and_back(name, found)
    assert isinstance(decoded, Weight)
    assert equal(decoded.to_dense(), found.to_dense())


@pytest.mark.parametrize(
    "name", ["torch-cutlass", "cutlass-sm90", "cutlass-sm90-k64", "cutlass-sm100"]
)
def test_float32_of_1_of_2(name: str) -> None:
    w = halves(sparse_matrix(64, 128, "float32"))
    c = reference.compress(w, "1:2")
    found = Weight(c.values, c.metadata, w.shape, "1:2", "float32", "float32")
    decoded, _ = there_and_back(name, found)
    assert isinstance(decoded, Weight)
    assert decoded.pattern == "1:2"
    assert equal(decoded.to_dense(), w)


def test_a_stack_of_matrices() -> None:
    w = sparse_matrix(24, 64, "bfloat16").reshape(3, 8, 64)
    found = from_dense(w)
    assert found is not None
    for name in ("sparse_gemm", "dense"):
        decoded, _ = there_and_back(name, found)
        assert isinstance(decoded, Weight)
        assert equal(decoded.to_dense(), w)


def test_any_order_of_indices_and_places_named_twice() -> None:
    """For every mask, every way to name its places: decoded alike, and canonical again."""
    for mask in MASKS:
        dense = np.where(mask, np.array([1, 2, 3, 4]), 0).astype(np.float16)
        expected = reference.compress(dense[None])
        kept = np.flatnonzero(mask)
        for first in range(4):
            for second in range(4):
                values = np.array([[dense[first], dense[second]]], np.float16)
                if first == second:
                    values[0, 1] = 0
                if not set(kept) <= {first, second}:
                    continue
                nibbles = np.array([[first | second << 2]], np.uint8)
                found = canonical_weight(values, nibbles)
                assert equal(found.to_dense(), dense[None])
                assert equal(found.values, expected.values)
                assert equal(found.metadata, expected.metadata)


def test_first_value_of_a_place_named_twice_may_be_the_zero() -> None:
    values = np.array([[0, 7]], np.int8)
    found = canonical_weight(values, np.array([[0b1010]], np.uint8))
    assert found.to_dense().tolist() == [[0, 0, 7, 0]]


def test_two_values_in_one_place_are_refused() -> None:
    values = np.array([[1, 2, 0, 0], [1, 2, 3, 4]], np.float16)
    nibbles = np.array([[0x4, 0x0], [0x4, 0x5]], np.uint8)
    with pytest.raises(CheckpointError, match="row 1, group 1"):
        canonical_weight(values, nibbles)


def test_minus_zero_is_no_value_and_nan_is_one() -> None:
    values = np.array([[-0.0, np.nan]], np.float32)
    found = canonical_weight(values, np.array([[0x0]], np.uint8)).to_dense()
    assert np.isnan(found[0, 0])
    assert not found[0, 1:].any()


@pytest.mark.parametrize("groups", [1, 2, 7])
def test_nibbles_pack_and_unpack(groups: int) -> None:
    nibbles = np.random.default_rng(0).integers(0, 16, (3, groups)).astype(np.uint8)
    packed = packed_nibbles(nibbles)
    assert packed.shape == (3, -(-groups // 2))
    assert equal(nibbles_of(packed, groups), nibbles)


def test_wrong_block_width_is_found_out_by_groups_of_zeros() -> None:
    """CUTLASS names place 0 twice in a group of zeros: elsewhere that contradicts the values."""
    w = sparse_matrix(64, 256, "float16")
    found = from_dense(w)
    assert found is not None
    nibbles = nibbles_of(found.metadata, 64).copy()
    nibbles[~w.reshape(64, 64, 4).any(axis=-1)] = 0
    target = WRITABLE["cutlass-sm90-k64"]
    assert target.encode is not None
    parts = target.encode(replace(found, metadata=packed_nibbles(nibbles)))
    entry = Entry("l.weight", {})
    decoded = target.decode(parts, entry, Context())  # nothing tells the width
    assert isinstance(decoded, Weight)
    assert equal(decoded.to_dense(), w)
    with pytest.raises(CheckpointError, match="another layout"):
        target.decode(parts, entry, Context(tile_k=128))


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (np.ones((3, 1), np.float16), "scale has shape"),
        (np.ones(64, np.int8), "scale has dtype"),
        (np.ones((64, 5), np.float16), "scale has shape"),
    ],
)
def test_scales_that_do_not_fit_are_refused(scale: np.ndarray, message: str) -> None:
    target = WRITABLE["sparse-24-bitmask"]
    assert target.encode is not None
    parts = {**target.encode(weight(64, 128, "int8")), "scale": scale}
    with pytest.raises(CheckpointError, match=message):
        target.decode(parts, Entry("l.weight", {}), Context())


def test_scales_that_we_do_not_have_are_applied() -> None:
    """Groups of 16: the weight becomes a float one, rounded once."""
    target = WRITABLE["sparse-24-bitmask"]
    assert target.encode is not None
    found = weight(8, 64, "int8")
    scale = np.random.default_rng(1).random((8, 4)).astype(np.float16)
    decoded = target.decode(
        {**target.encode(found), "scale": scale}, Entry("l.weight", {}), Context()
    )
    assert isinstance(decoded, Weight)
    exact = found.to_dense().astype(np.float64) * scale.astype(np.float64).repeat(16, axis=1)
    assert equal(decoded.to_dense(), exact.astype(np.float16))


def test_a_zero_point_other_than_zero_is_refused() -> None:
    target = WRITABLE["sparse-24-bitmask"]
    assert target.encode is not None
    parts = target.encode(weight(8, 64, "int8"))
    parts["scale"], parts["zero_point"] = np.ones((8, 1), np.float16), np.zeros((8, 1), np.int8)
    target.decode(parts, Entry("l.weight", {}), Context())
    parts["zero_point"][3] = 1
    with pytest.raises(CheckpointError, match="zero_point"):
        target.decode(parts, Entry("l.weight", {}), Context())


def test_masks_rule_over_what_lies_beneath() -> None:
    w = sparse_matrix(8, 32, "float32")
    mask = w != 0
    full = np.where(mask, w, 99).astype(np.float32)
    for name in ("asp", "modelopt"):
        decoded = WRITABLE[name].decode(
            {"weight": full, "mask": mask}, Entry("l.weight", {}), Context()
        )
        assert isinstance(decoded, Weight)
        assert equal(decoded.to_dense(), w)


def test_maskllm_takes_the_likeliest_of_its_six_masks() -> None:
    options = [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]]
    rng = np.random.default_rng(3)
    gate = rng.normal(size=(2 * 6, 6)).astype(np.float32)
    gate[np.arange(12), np.arange(12) % 6] = 5
    full = rng.integers(1, 9, (2, 24)).astype(np.float16)
    decoded = WRITABLE["maskllm"].decode(
        {"weight": full, "gate": gate}, Entry("l.weight", {}), Context()
    )
    assert isinstance(decoded, Weight)
    expected = full * np.array(options * 2, np.float16).reshape(2, 24)
    assert equal(decoded.to_dense(), expected)


def test_convolutions_stay_dense_with_their_zeros() -> None:
    w = np.ones((4, 8, 3, 3), np.float16)
    mask = np.zeros_like(w, bool)
    mask[:, ::2] = True
    decoded = WRITABLE["asp"].decode({"weight": w, "mask": mask}, Entry("c.weight", {}), Context())
    assert isinstance(decoded, np.ndarray)
    assert equal(decoded, mask.astype(np.float16))
