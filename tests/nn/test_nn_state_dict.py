"""State dicts of SparseLinear: both ways with torch.nn.Linear, compressed, through safetensors."""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from safetensors import SafetensorError  # noqa: E402
from torch_helpers import masked_linear, random_input  # noqa: E402

import sparse_gemm as sg  # noqa: E402


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def make_model(seed: int = 0) -> torch.nn.Sequential:
    """Two swapped layers around one that stays dense."""
    return torch.nn.Sequential(
        sg.SparseLinear.from_linear(masked_linear(20, 16, seed=seed)),
        torch.nn.LayerNorm(16),
        sg.SparseLinear.from_linear(masked_linear(16, 8, bias=False, seed=seed + 1)),
    )


def dense_twin() -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Linear(20, 16), torch.nn.LayerNorm(16), torch.nn.Linear(16, 8, bias=False)
    )


def snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    tensors = (*model.named_parameters(), *model.named_buffers())
    return {name: tensor.clone() for name, tensor in tensors}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_state_dict_has_the_dense_layers_keys_and_loads_into_it():
    model, twin = make_model(), dense_twin()
    state = model.state_dict()
    assert list(state) == list(twin.state_dict())
    twin.load_state_dict(state, strict=True)
    assert torch.equal(twin[0].weight, model[0].weight)
    x = random_input(3, 20)
    torch.testing.assert_close(model(x), twin(x), rtol=1e-5, atol=1e-5)


def test_a_dense_state_dict_loads_and_is_compressed():
    twin = dense_twin()
    for name in ("0", "2"):
        linear = twin.get_submodule(name)
        linear.weight.copy_(masked_linear(linear.in_features, linear.out_features, seed=9).weight)
    model = make_model()
    buffers = model[0].values, model[0].metadata
    model.load_state_dict(twin.state_dict())
    assert (model[0].values, model[0].metadata) == buffers  # copied into, as torch does
    assert torch.equal(model[0].weight, twin[0].weight)
    assert torch.equal(model[2].weight, twin[2].weight)
    x = random_input(3, 20)
    torch.testing.assert_close(model(x), twin(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("source", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("target", [torch.float32, torch.float16])
def test_the_layer_keeps_its_dtype_as_nn_linear_does(source, target):
    linear = masked_linear(12, 8).to(source)
    layer, dense = sg.SparseLinear(12, 8, dtype=target), torch.nn.Linear(12, 8, dtype=target)
    layer.load_state_dict(linear.state_dict())
    dense.load_state_dict(linear.state_dict())
    assert layer.values.dtype == target
    assert torch.equal(layer.weight, dense.weight)
    assert torch.equal(layer.bias, dense.bias)
    if source != torch.float64:
        compressed = sg.SparseLinear(12, 8, dtype=target)
        compressed.load_state_dict(
            sg.compressed_state_dict(sg.SparseLinear.from_linear(linear)), strict=True
        )
        assert torch.equal(compressed.weight, dense.weight)


def test_compressed_state_dict_makes_nothing_dense(monkeypatch):
    model = make_model()

    def refuse(*_):
        raise AssertionError("a dense weight was made")

    monkeypatch.setattr(sg.SparseLinear, "weight", property(refuse))
    state = sg.compressed_state_dict(model)
    assert set(state) == {
        *("0.values", "0.metadata", "0.bias", "1.weight", "1.bias", "2.values", "2.metadata")
    }
    assert state["0.values"].data_ptr() == model[0].values.data_ptr()
    with pytest.raises(AssertionError, match="dense weight was made"):
        model.state_dict()  # the switch is off again


def test_compressed_state_dict_is_off_again_after_an_error():
    model = make_model()

    def fail(*_):
        raise KeyError("hook")

    handle = model.register_state_dict_post_hook(fail)
    with pytest.raises(KeyError):
        sg.compressed_state_dict(model)
    handle.remove()
    assert "0.weight" in model.state_dict()


def test_safetensors_round_trip(tmp_path):
    model, other = make_model(), make_model(seed=5)
    path = tmp_path / "model.safetensors"
    safetensors_torch.save_file(sg.compressed_state_dict(model), path)
    other.load_state_dict(safetensors_torch.load_file(path), strict=True)
    assert same(snapshot(other), snapshot(model))
    x = random_input(4, 20)
    assert torch.equal(other(x), model(x))


def test_a_safetensors_file_is_as_small_as_the_weights(tmp_path):
    layer = sg.SparseLinear.from_linear(masked_linear(512, 512, bias=False).half())
    path = tmp_path / "layer.safetensors"
    safetensors_torch.save_file(sg.compressed_state_dict(layer), path)
    dense_bytes = 512 * 512 * 2
    assert dense_bytes * 9 // 16 <= path.stat().st_size <= dense_bytes * 9 // 16 + 512


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1])
def test_a_truncated_safetensors_file_is_refused(tmp_path, kept):
    path = tmp_path / "model.safetensors"
    safetensors_torch.save_file(sg.compressed_state_dict(make_model()), path)
    whole = path.read_bytes()
    length = int(len(whole) * kept) if isinstance(kept, float) else kept
    path.write_bytes(whole[:length])
    with pytest.raises((SafetensorError, OSError, ValueError)):
        safetensors_torch.load_file(path)


def test_a_flipped_metadata_byte_in_a_file_is_found_and_named(tmp_path):
    model, other = make_model(), make_model(seed=5)
    path = tmp_path / "model.safetensors"
    state = sg.compressed_state_dict(model)
    safetensors_torch.save_file(state, path)
    raw, needle = bytearray(path.read_bytes()), bytes(state["0.metadata"].flatten().tolist())
    assert raw.count(needle) == 1
    raw[raw.index(needle) + 4] ^= 0x0F  # every meaningful nibble becomes a meaningless one
    path.write_bytes(bytes(raw))
    before = snapshot(other[0])
    with pytest.raises(RuntimeError, match=r"0\.metadata .*row 1, group 2 holds 0x"):
        other.load_state_dict(safetensors_torch.load_file(path))
    assert same(snapshot(other[0]), before)


def broken(change):
    """A compressed state dict of a 16x20 layer with one thing wrong."""
    state = dict(sg.compressed_state_dict(make_model()[0]))
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(values=s["values"][:, 1:]), r"size mismatch for values: .*\(16, 9\)"),
        (lambda s: s.update(metadata=s["metadata"][1:]), r"size mismatch for metadata"),
        (lambda s: s.update(bias=torch.zeros(15)), r"size mismatch for bias: .*\(15,\)"),
        (lambda s: s.update(values=s["values"].char()), r"values has dtype torch\.int8"),
        (lambda s: s.update(metadata=s["metadata"].char()), r"metadata has dtype torch\.int8"),
        (lambda s: s.update(metadata="text"), r"metadata is a str; expected a torch\.Tensor"),
        (lambda s: s.update(metadata=s["metadata"] * 0), r"metadata .*row 0, group 0 holds 0x0"),
        (lambda s: s.pop("metadata"), r"the state dict holds values; expected weight, or values"),
        (lambda s: s.pop("values"), r"the state dict holds metadata; expected weight, or values"),
        (lambda s: s.update(weight=torch.zeros(16, 20)), r"holds weight and values and metadata"),
        (
            lambda s: (s.clear(), s.update(weight=torch.ones(16, 20), bias=torch.zeros(16))),
            r"weight is not 2:4 sparse: row 0, group 0 holds \(1\.0, 1\.0, 1\.0, 1\.0\)",
        ),
        (
            lambda s: (s.clear(), s.update(weight=torch.zeros(16, 19), bias=torch.zeros(16))),
            r"size mismatch for weight: .*\(16, 19\)",
        ),
    ],
)
@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_an_unfit_state_dict_is_named_and_nothing_is_written(change, message, assign, strict):
    layer = make_model(seed=5)[0]
    before = snapshot(layer)
    with pytest.raises(RuntimeError, match=message):
        layer.load_state_dict(broken(change), strict=strict, assign=assign)
    assert same(snapshot(layer), before)


def test_missing_and_unexpected_keys_are_reported_as_by_torch():
    layer = make_model()[0]
    state = sg.compressed_state_dict(make_model(seed=5)[0])
    state["extra"] = torch.zeros(1)
    del state["bias"]
    with pytest.raises(RuntimeError, match=r"Missing key\(s\).*bias"):
        layer.load_state_dict(state)
    layer = make_model()[0]
    bias = layer.bias.clone()
    found = layer.load_state_dict(state, strict=False)
    assert (found.missing_keys, found.unexpected_keys) == (["bias"], ["extra"])
    assert torch.equal(layer.values, state["values"])
    assert torch.equal(layer.bias, bias)
    found = layer.load_state_dict({}, strict=False)
    assert sorted(found.missing_keys) == ["bias", "weight"]


def test_a_bias_for_a_layer_without_one_is_unexpected():
    layer = sg.SparseLinear(16, 8, bias=False)
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\).*bias"):
        layer.load_state_dict(masked_linear(16, 8).state_dict())


def test_assign_takes_the_tensors_themselves():
    source = make_model()[0].half()
    layer = sg.SparseLinear(20, 16, device="meta")
    state = sg.compressed_state_dict(source)
    layer.load_state_dict(state, assign=True)
    assert layer.values.data_ptr() == state["values"].data_ptr()
    assert layer.values.dtype == layer.bias.dtype == torch.float16
    assert not layer.bias.requires_grad
    dense = sg.SparseLinear(20, 16, device="meta")
    dense.load_state_dict(source.state_dict(), assign=True)
    assert torch.equal(dense.weight, source.weight)


def test_loading_into_the_meta_device_warns_and_does_nothing():
    layer = sg.SparseLinear(20, 16, bias=False, device="meta")
    state = sg.compressed_state_dict(make_model()[0])
    del state["bias"]
    with pytest.warns(UserWarning, match="assign=True"):
        layer.load_state_dict(state)
    assert layer.values.is_meta


def test_a_key_renamed_by_a_parents_hook_is_found():
    class Renaming(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.new = sg.SparseLinear(20, 16)

        def _load_from_state_dict(self, state_dict, prefix, *args):
            for key in [key for key in state_dict if key.startswith(prefix + "old.")]:
                state_dict[prefix + "new." + key[len(prefix) + 4 :]] = state_dict.pop(key)
            super()._load_from_state_dict(state_dict, prefix, *args)

    source = make_model()[0]
    model = Renaming()
    state = {"old." + key: tensor for key, tensor in source.state_dict().items()}
    model.load_state_dict(state)
    assert torch.equal(model.new.weight, source.weight)


def test_keep_vars_and_loading_keep_torch_quiet():
    model = make_model()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = model.state_dict(keep_vars=True)
        assert state["0.bias"] is model[0].bias
        make_model(seed=3).load_state_dict(state)


def test_loading_under_a_view_is_seen_by_the_next_call():
    layer, source = make_model()[0], make_model(seed=5)[0]
    x = random_input(2, 20)
    layer(x)
    layer.load_state_dict(source.state_dict())
    assert torch.equal(layer(x), source(x))


@pytest.mark.parametrize("assign", [False, True])
def test_biases_and_layouts_that_do_not_fit_are_refused_by_key(assign):
    model = torch.nn.Sequential(sg.SparseLinear(8, 4))
    state = sg.compressed_state_dict(model)
    for bad, match in (
        ({"0.bias": torch.ones(4, dtype=torch.int32)}, "0.bias has dtype torch.int32"),
        ({"0.values": state["0.values"].to_sparse()}, "0.values is of layout"),
    ):
        with pytest.raises(RuntimeError, match=match):
            model.load_state_dict(state | bad, assign=assign)
    transposed = state["0.values"].T.contiguous().T
    model.load_state_dict(state | {"0.values": transposed}, assign=assign)


def test_a_buffer_whose_data_was_replaced_is_looked_at_again():
    layer = sg.SparseLinear.from_linear(torch.nn.Linear(8, 4), prune=True)
    x = torch.ones(1, 8)
    layer(x)
    layer.values.data = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="values has shape"):
        layer(x)
