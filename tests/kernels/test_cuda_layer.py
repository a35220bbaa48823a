"""SparseLinear and torch's operators with a weight that lies packed for a device."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from device_arrays import LIBRARIES, Library  # noqa: E402

import sparse_gemm as sg  # noqa: E402
from sparse_gemm import reference  # noqa: E402

OUT, IN = 30, 70
RNG = np.random.default_rng(0)
W = reference.prune(RNG.integers(-4, 5, (OUT, IN)).astype(np.float16))
BIAS = RNG.integers(-4, 5, OUT).astype(np.float16)
X = RNG.integers(-4, 5, (2, 5, IN)).astype(np.float16)
EXPECTED = reference.linear(X, reference.compress(W), BIAS, activation="relu")
TORCH = LIBRARIES["torch"]


@pytest.fixture(autouse=True)
def _needs_a_device(device: Library) -> None:
    """Skips, where the others do."""


def make_layer() -> sg.SparseLinear:
    linear = torch.nn.Linear(IN, OUT, dtype=torch.float16, device=TORCH.put(W).device)
    with torch.no_grad():
        linear.weight.copy_(TORCH.put(W))
        linear.bias.copy_(TORCH.put(BIAS))
    return sg.SparseLinear.from_linear(linear, activation="relu", backend=TORCH.backend)


def assert_computes(layer: Any, expected: Any = EXPECTED) -> None:
    with torch.inference_mode():
        y = layer(TORCH.put(X).to(next(iter(layer.buffers())).dtype))
    np.testing.assert_array_equal(TORCH.get(y).astype(np.float32), expected.astype(np.float32))


def is_packed(layer: sg.SparseLinear) -> bool:
    return layer.values.ndim == 1


def test_a_layer_holds_its_weight_packed_and_computes_with_it() -> None:
    layer = make_layer()
    assert is_packed(layer)
    assert layer.compressed._values is layer.values
    assert_computes(layer)
    stored = reference.compress(W)
    assert TORCH.get(layer.compressed.values).tobytes() == stored.values.tobytes()
    assert TORCH.get(layer.compressed.metadata).tobytes() == stored.metadata.tobytes()
    np.testing.assert_array_equal(TORCH.get(layer.weight), W)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_and_pickles(duplicate: Any) -> None:
    layer = make_layer()
    state = layer.__getstate__()  # canonical: it may be loaded where there is no device
    assert state["_buffers"]["values"].shape == reference.compress(W).values.shape
    again = duplicate(layer)
    assert is_packed(again)
    assert_computes(again)


def test_other_dtypes_and_back() -> None:
    layer = make_layer().bfloat16()
    assert layer.values.dtype == torch.bfloat16
    assert is_packed(layer)
    assert_computes(layer)
    layer.float()  # no kernel takes it: canonical, until it is converted again
    assert not is_packed(layer)
    with torch.inference_mode(), pytest.raises(sg.UnsupportedError, match="float32"):
        layer(TORCH.put(X.astype(np.float32)))
    layer.half()
    assert is_packed(layer)
    assert_computes(layer)


def test_state_dicts_are_canonical_and_load_into_packed_layers() -> None:
    layer = make_layer()
    dense, compressed = layer.state_dict(), sg.compressed_state_dict(layer)
    assert set(compressed) == {"values", "metadata", "bias"}
    assert compressed["values"].shape == reference.compress(W).values.shape
    np.testing.assert_array_equal(TORCH.get(dense["weight"]), W)
    for state in (dense, compressed):
        for assign in (False, True):
            new = sg.SparseLinear(
                *(IN, OUT, True, layer.values.device, torch.float16),
                activation="relu",
                backend=layer.backend,
            )
            assert is_packed(new)
            new.load_state_dict(state, assign=assign)
            assert is_packed(new)
            assert_computes(new)


def test_memory_without_a_weight_is_no_error_before_it_is_used() -> None:
    """to_empty, which may find anything there, and then a state dict."""
    layer = sg.SparseLinear(IN, OUT, device="meta", dtype=torch.float16, backend=TORCH.backend)
    layer.to_empty(device=TORCH.put(W).device)
    stored = reference.compress(W)
    layer.values = TORCH.put(stored.values)
    layer.metadata = TORCH.put(np.zeros_like(stored.metadata))
    layer.float().half()
    assert not is_packed(layer)
    with torch.inference_mode(), pytest.raises(sg.SparsityError, match="metadata"):
        layer(TORCH.put(X))
    layer.load_state_dict({"weight": TORCH.put(W), "bias": TORCH.put(BIAS)})
    assert is_packed(layer)
    np.testing.assert_array_equal(TORCH.get(layer.weight), W)


def test_replaced_buffers_are_seen_and_packed() -> None:
    layer = make_layer()
    stored = reference.compress(reference.prune(-W))
    layer.values, layer.metadata = TORCH.put(stored.values), TORCH.put(stored.metadata)
    assert_computes(layer, reference.linear(X, stored, BIAS, activation="relu"))
    assert is_packed(layer)


def test_the_operators_take_packed_parts() -> None:
    layer = make_layer()
    parts = (layer.values, layer.metadata, OUT, IN, "2:4")
    x = TORCH.put(X.reshape(-1, IN))
    keywords = {"bias": TORCH.put(BIAS), "activation": "relu", "backend": TORCH.backend}
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(
        torch.ops.sparse_gemm.linear.default, (x, *parts), keywords, test_utils=checks
    )
    torch.library.opcheck(torch.ops.sparse_gemm.to_dense.default, parts, test_utils=checks)
    d = torch.ops.sparse_gemm.matmul(*parts, x.T, **keywords)
    np.testing.assert_array_equal(TORCH.get(d), EXPECTED.reshape(-1, OUT).T)
    with pytest.raises(ValueError, match="values has shape"):
        torch.ops.sparse_gemm.linear(x, layer.values[:-1], *parts[1:])


def test_compiled_and_autocast() -> None:
    layer = make_layer()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    assert_computes(compiled)
    x = TORCH.put(X)
    with torch.inference_mode(), torch.autocast(x.device.type, dtype=torch.bfloat16):
        y = layer(x.float())
    assert y.dtype == torch.bfloat16
    np.testing.assert_array_equal(TORCH.get(y).astype(np.float32), EXPECTED.astype(np.float32))


def test_autocast_takes_a_layer_of_float32_to_a_kernel() -> None:
    layer = make_layer().float()
    assert not is_packed(layer)
    x = TORCH.put(X)
    with torch.inference_mode(), torch.autocast(x.device.type, dtype=torch.bfloat16):
        y = layer(x.float())
    assert y.dtype == torch.bfloat16
    np.testing.assert_array_equal(TORCH.get(y).astype(np.float32), EXPECTED.astype(np.float32))


QUANTIZED = [
    *(("int8", None), ("int8", 128), ("int4", None), ("int4", 32)),
    *(("float8_e4m3fn", None), ("float8_e4m3fn", 64), ("float8_e5m2", None)),
]


@pytest.fixture(params=QUANTIZED, ids=lambda how: f"{how[0]}-{how[1]}")
def quantized(request: pytest.FixtureRequest) -> Any:
    """A layer of random weights, quantised."""
    quantize, group_size = request.param
    rng = np.random.default_rng(1)
    linear = torch.nn.Linear(IN, OUT, dtype=torch.float16, device=TORCH.put(W).device)
    with torch.no_grad():
        linear.weight.copy_(TORCH.put(rng.standard_normal((OUT, IN)).astype(np.float16)))
        linear.bias.copy_(TORCH.put(BIAS))
    return sg.SparseLinear.from_linear(
        linear, True, quantize=quantize, group_size=group_size, backend=TORCH.backend
    )


def outputs(layer: Any, x: Any = X) -> Any:
    with torch.inference_mode():
        return TORCH.get(layer(TORCH.put(x)))


def assert_near_its_weight(layer: Any, y: Any) -> None:
    """As a product with its dense weight is, which has one rounding more of each element."""
    weight = TORCH.get(layer.weight).astype(np.float64)
    exact = X.astype(np.float64) @ weight.T + BIAS
    magnitude = np.abs(X.astype(np.float64)) @ np.abs(weight.T) + np.abs(BIAS)
    bound = float(ml_dtypes.finfo(y.dtype).eps)
    assert (np.abs(y.astype(np.float64) - exact) <= bound * magnitude).all()


def test_quantized_layers_compute(quantized: Any) -> None:
    assert is_packed(quantized)
    y = outputs(quantized)
    assert y.dtype == np.float16
    assert_near_its_weight(quantized, y)
    compiled = torch.compile(quantized, fullgraph=True, backend="eager")
    assert outputs(compiled).tobytes() == y.tobytes()


def test_the_operators_take_quantized_parts(quantized: Any) -> None:
    layer, has_groups = quantized, quantized.group_size is not None
    keywords = {
        "w_scale": None if has_groups else layer.scale,
        "group_scale": layer.scale if has_groups else None,
        "group_size": layer.group_size,
        "backend": TORCH.backend,
    }
    parts = (layer.values, layer.metadata, OUT, IN, "2:4")
    x = TORCH.put(X.reshape(-1, IN))
    checks = ["test_faketensor"]
    if "float8" not in layer.quantize:  # torch cannot compare those, which test_schema does
        checks.append("test_schema")
    for op in (torch.ops.sparse_gemm.linear.default, torch.ops.sparse_gemm.to_dense.default):
        is_linear = op is torch.ops.sparse_gemm.linear.default
        arguments = ((x, *parts), keywords) if is_linear else (parts,)
        torch.library.opcheck(op, *arguments, test_utils=checks)
    if has_groups:
        with pytest.raises(ValueError, match="group_scale has shape"):
            torch.ops.sparse_gemm.linear(x, *parts, **{**keywords, "group_scale": layer.scale[1:]})
        with pytest.raises(ValueError, match="group_scale and group_size: expected both"):
            torch.ops.sparse_gemm.linear(x, *parts, **{**keywords, "group_size": None})


def test_quantized_layers_keep_their_weight_in_other_dtypes(quantized: Any) -> None:
    y = outputs(quantized)
    values = TORCH.get(quantized.compressed.values).tobytes()
    scale = TORCH.get(quantized.compressed.scale).tobytes()
    quantized.bfloat16()
    assert quantized.dtype == quantized.weight.dtype == quantized.bias.dtype == torch.bfloat16
    assert TORCH.get(quantized.compressed.values).tobytes() == values
    assert TORCH.get(quantized.compressed.scale).tobytes() == scale
    with torch.inference_mode():
        z = quantized(TORCH.put(X).bfloat16())
    assert z.dtype == torch.bfloat16
    assert_near_its_weight(quantized, TORCH.get(z))
    quantized.half()
    assert outputs(quantized).tobytes() == y.tobytes()


def test_quantized_layers_are_copied_and_saved(quantized: Any) -> None:
    y = outputs(quantized)
    file = io.BytesIO()  # pickle alone cannot: torch has no plain form of float8
    torch.save(quantized, file)
    file.seek(0)
    for again in (copy.deepcopy(quantized), torch.load(file, weights_only=False)):
        assert is_packed(again)
        assert outputs(again).tobytes() == y.tobytes()
    state = sg.compressed_state_dict(quantized)
    assert set(state) == {"values", "metadata", "scale", "bias"}
    new = sg.SparseLinear(
        *(IN, OUT, True, quantized.values.device, torch.float16),
        quantize=quantized.quantize,
        group_size=quantized.group_size,
        backend=TORCH.backend,
    )
    new.load_state_dict(state)
    assert outputs(new).tobytes() == y.tobytes()
    dense = quantized.state_dict()
    assert set(dense) == {"weight", "bias"}
    np.testing.assert_array_equal(TORCH.get(dense["weight"]), TORCH.get(quantized.weight))
    plain = torch.nn.Linear(IN, OUT, dtype=torch.float16, device=quantized.values.device)
    plain.load_state_dict(dense)


def test_sparsify_quantizes(device: Library) -> None:
    place = TORCH.put(W).device
    model = torch.nn.Sequential(torch.nn.Linear(IN, 48), torch.nn.ReLU(), torch.nn.Linear(48, 9))
    model = model.half().to(place)
    report = sg.sparsify(model, prune=True, quantize="int4", group_size=32)
    assert len(report.swapped) == 2
    canonical = 48 * (18 + 9 + 6) + 9 * (12 + 6 + 4)  # of a row: values, metadata, scales
    if TORCH.backend == "cuda":  # the emulated device: where layers lie in the host's memory
        assert report.bytes_after == canonical
    else:  # whole tiles
        assert canonical < report.bytes_after < report.bytes_before


def test_moving_a_matrix_between_devices() -> None:
    a = sg.compress(TORCH.put(W), backend=TORCH.backend)
    with pytest.raises(TypeError):
        a.to(torch.float32)  # a device, not a dtype
    if not a._values.is_cuda:
        assert a.to("cpu") is a  # the emulated device's memory is the host's
        return
    on_cpu = a.cpu()
    assert on_cpu.device == "cpu"
    np.testing.assert_array_equal(on_cpu.to_dense().numpy(), W)
    again = on_cpu.cuda()
    assert again.device.startswith("cuda")
    np.testing.assert_array_equal(TORCH.get(again.to_dense()), W)
    layer = make_layer()
    assert not is_packed(layer.cpu())
    assert is_packed(layer.cuda())
    assert_computes(layer)
