"""SparseLinear against torch.nn.Linear with the same masked weights: values, dtypes, habits."""

from __future__ import annotations

import copy
import io
import pickle
import threading

import pytest

torch = pytest.importorskip("torch")

from torch_helpers import masked_linear, random_input, worst_error  # noqa: E402

import sparse_gemm as sg  # noqa: E402

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# What float32 accumulation in another order may add to twice the dense layer's own error.
ATOL = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}
ACTIVATIONS = {
    "relu": torch.nn.functional.relu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda y: torch.nn.functional.gelu(y, approximate="tanh"),
    "silu": torch.nn.functional.silu,
}


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("extents", [(64, 32), (37, 19), (4, 1), (1, 3), (130, 65)])
def test_error_is_at_most_twice_that_of_the_dense_layer(dtype, bias, extents):
    linear = masked_linear(*extents, bias=bias, dtype=dtype)
    layer = sg.SparseLinear.from_linear(linear)
    x = random_input(17, extents[0], dtype=dtype)
    y = layer(x)
    assert y.dtype == dtype
    assert y.shape == (17, extents[1])
    limit = 2 * worst_error(linear(x), linear, x) + ATOL[dtype]
    assert worst_error(y, linear, x) <= limit


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3), (2, 1, 3), (0,), (2, 0, 3)], ids=str)
def test_any_leading_dimensions_give_the_dense_layers_bits(dtype, leading):
    linear = masked_linear(22, 9, dtype=dtype, integers=True)
    x = random_input(*leading, 22, dtype=dtype, integers=True)
    y = sg.SparseLinear.from_linear(linear)(x)
    assert y.shape == (*leading, 9)
    assert torch.equal(y, linear(x))


def test_strided_inputs_give_the_dense_layers_bits():
    linear = masked_linear(24, 10, integers=True)
    layer = sg.SparseLinear.from_linear(linear)
    wide = random_input(6, 4, 48, integers=True)
    for x in (wide[..., ::2], wide[:, :, 24:], wide.transpose(0, 1)[..., :24], wide[::2, 1, 5:29]):
        assert torch.equal(layer(x), linear(x))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_applied(name):
    linear = masked_linear(32, 16)
    layer = sg.SparseLinear.from_linear(linear, activation=name)
    x = random_input(8, 32)
    torch.testing.assert_close(layer(x), ACTIVATIONS[name](linear(x)), rtol=1e-5, atol=1e-5)


def test_unknown_activation_is_refused_by_name():
    with pytest.raises(ValueError, match="activation is 'tanhh'"):
        sg.SparseLinear(8, 4, activation="tanhh")
    with pytest.raises(ValueError, match="backend is 'tpu'"):
        sg.SparseLinear(8, 4, backend="tpu")
    with pytest.raises(ValueError, match="activation is 'tanhh'"):
        sg.SparseLinear.from_linear(torch.nn.Linear(8, 4), prune=True, activation="tanhh")


def test_from_linear_prunes_only_on_demand():
    linear = torch.nn.Linear(12, 5)
    with pytest.raises(sg.SparsityError, match=r"linear\.weight is not 2:4 sparse: row 0, group 0"):
        sg.SparseLinear.from_linear(linear)
    layer = sg.SparseLinear.from_linear(linear, prune=True)
    groups = linear.weight.reshape(5, 3, 4)
    kept = groups.abs().argsort(dim=-1, descending=True).argsort(dim=-1) < 2
    assert torch.equal(layer.weight, (groups * kept).reshape(5, 12))


def test_from_linear_is_independent_of_its_source():
    linear = masked_linear(8, 4)
    layer = sg.SparseLinear.from_linear(linear)
    before = layer.weight.clone(), layer.bias.clone()
    linear.weight.zero_()
    linear.bias.zero_()
    assert torch.equal(layer.weight, before[0])
    assert torch.equal(layer.bias, before[1])


@pytest.mark.parametrize("training", [True, False])
def test_from_linear_carries_the_training_flag(training):
    assert sg.SparseLinear.from_linear(masked_linear(8, 4).train(training)).training is training


def test_from_linear_takes_nothing_but_a_linear_of_a_known_type():
    with pytest.raises(TypeError, match=r"linear is a Conv2d; expected a torch\.nn\.Linear"):
        sg.SparseLinear.from_linear(torch.nn.Conv2d(1, 1, 1))
    with pytest.raises(TypeError, match=r"dtype is torch\.float64"):
        sg.SparseLinear.from_linear(torch.nn.Linear(4, 4, dtype=torch.float64), prune=True)


def test_from_compressed_shares_memory_and_checks_the_bias():
    linear = masked_linear(16, 8, integers=True)
    a = sg.compress(linear.weight.detach())
    layer = sg.SparseLinear.from_compressed(a, linear.bias)
    assert layer.values.data_ptr() == a.values.data_ptr()
    assert layer.metadata.data_ptr() == a.metadata.data_ptr()
    x = random_input(3, 16, integers=True)
    assert torch.equal(layer(x), linear(x))
    with pytest.raises(ValueError, match=r"bias has shape \(7,\); expected \(8,\)"):
        sg.SparseLinear.from_compressed(a, torch.zeros(7))
    with pytest.raises(TypeError, match=r"bias has dtype torch\.int64"):
        sg.SparseLinear.from_compressed(a, torch.zeros(8, dtype=torch.int64))
    with pytest.raises(TypeError, match="expected a Sparse24Tensor of torch tensors"):
        sg.SparseLinear.from_compressed(sg.compress(linear.weight.detach().numpy()))
    int8 = sg.compress(torch.zeros(4, 4, dtype=torch.int8))
    with pytest.raises(ValueError, match="a is int8 without a scale for each row or group"):
        sg.SparseLinear.from_compressed(int8)
    scaled = sg.Sparse24Tensor(a.values, a.metadata, a.shape, scale=torch.ones(8))
    with pytest.raises(ValueError, match="a is float32 with a scale"):
        sg.SparseLinear.from_compressed(scaled)


def test_bytes_are_those_of_values_and_metadata_and_no_dense_copy_is_held():
    for dtype, ratio in ((torch.float32, 17 / 32), (torch.float16, 9 / 16)):
        linear = masked_linear(64, 48, dtype=dtype)
        layer = sg.SparseLinear.from_linear(linear)
        assert layer.nbytes == linear.weight.nbytes * ratio
        layer(random_input(2, 64, dtype=dtype))
        assert layer.weight is not layer.weight
        held = [*layer.parameters(), *layer.buffers()]
        assert sum(t.nbytes for t in held) == layer.nbytes + linear.bias.nbytes
        assert [name for name, _ in layer.named_parameters()] == ["bias"]


def test_compressed_is_a_cached_view_that_follows_the_buffers():
    layer = sg.SparseLinear.from_linear(masked_linear(16, 8))
    view = layer.compressed
    assert layer.compressed is view
    assert view.values is layer.values
    layer.half()
    assert layer.compressed.values is layer.values
    assert layer.compressed.dtype == torch.float16


def test_buffers_that_hold_no_metadata_are_refused_before_use():
    layer = sg.SparseLinear(16, 8)
    layer.metadata = torch.zeros_like(layer.metadata)
    with pytest.raises(sg.SparsityError, match="row 0, group 0 holds 0x0"):
        layer(torch.ones(1, 16))


def test_new_layer_is_all_zero_and_valid():
    layer = sg.SparseLinear(10, 6, dtype=torch.bfloat16)
    assert torch.equal(layer.weight, torch.zeros(6, 10, dtype=torch.bfloat16))
    assert torch.equal(layer(torch.ones(2, 10, dtype=torch.bfloat16)), torch.zeros(2, 6).bfloat16())
    assert not layer.bias.requires_grad
    with pytest.raises(TypeError, match=r"dtype is torch\.int8"):
        sg.SparseLinear(10, 6, dtype=torch.int8)
    with pytest.raises(ValueError, match="pattern is '3:4'"):
        sg.SparseLinear(10, 6, pattern="3:4")
    with pytest.raises(TypeError, match=r"pattern 1:2 can have torch\.float32"):
        sg.SparseLinear(10, 6, pattern="1:2", dtype=torch.float16)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("features", [(0, 3), (3, 0), (0, 0)])
def test_empty_layers(features):
    linear = torch.nn.Linear(*features)
    x = torch.ones(2, features[0])
    assert torch.equal(sg.SparseLinear.from_linear(linear, prune=True)(x), linear(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_and_to_convert_values_and_bias_and_leave_metadata(dtype):
    linear = masked_linear(40, 12)
    layer = sg.SparseLinear.from_linear(linear)
    metadata = layer.metadata.clone()
    layer, linear = layer.to(dtype), linear.to(dtype)
    assert layer.values.dtype == layer.bias.dtype == dtype
    assert torch.equal(layer.metadata, metadata)
    assert torch.equal(layer.weight, linear.weight)
    x = random_input(5, 40, dtype=dtype)
    limit = 2 * worst_error(linear(x), linear, x) + ATOL[dtype]
    assert worst_error(layer(x), linear, x) <= limit


def test_a_type_without_a_kernel_is_refused_and_the_layer_stays_whole():
    layer = sg.SparseLinear.from_linear(masked_linear(8, 4))
    with pytest.raises(TypeError, match=r"dtype is torch\.float64"):
        layer.double()
    assert layer.values.dtype == layer.bias.dtype == torch.float32


def test_meta_device_and_back():
    layer = sg.SparseLinear.from_linear(masked_linear(8, 4)).to("meta")
    assert layer.values.is_meta
    assert layer.metadata.is_meta
    assert layer.weight.is_meta
    y = layer(torch.empty(3, 8, device="meta"))
    assert y.is_meta
    assert y.shape == (3, 4)
    with torch.device("meta"):
        assert sg.SparseLinear(8, 4).values.is_meta
    source = sg.SparseLinear.from_linear(masked_linear(8, 4))
    back = layer.to_empty(device="cpu")
    back.load_state_dict(sg.compressed_state_dict(source))
    assert torch.equal(back.weight, source.weight)


def _through_torch_save(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), _through_torch_save]
)
def test_copies_are_equal_and_independent(clone):
    layer = sg.SparseLinear.from_linear(masked_linear(16, 8), activation="silu").eval()
    x = random_input(4, 16)
    y = layer(x)
    other = clone(layer)
    assert torch.equal(other(x), y)
    assert repr(other) == repr(layer)
    assert other.training is False
    other.values.zero_()
    assert torch.equal(layer(x), y)


def test_a_pickle_holds_no_dense_weight():
    layer = sg.SparseLinear.from_linear(masked_linear(256, 256, bias=False))
    layer(random_input(1, 256))
    assert len(pickle.dumps(layer)) < layer.nbytes + 4096


def test_repr_says_what_the_layer_is():
    layer = sg.SparseLinear(12, 5, bias=False, dtype=torch.float16, activation="relu")
    assert repr(layer) == (
        "SparseLinear(in_features=12, out_features=5, bias=False, pattern=2:4, "
        "dtype=torch.float16, activation=relu)"
    )


@pytest.mark.parametrize("weight_dtype", DTYPES)
@pytest.mark.parametrize("autocast_dtype", [torch.bfloat16, torch.float16])
def test_autocast_rounds_as_the_dense_layer_does(weight_dtype, autocast_dtype):
    linear = masked_linear(48, 20, dtype=weight_dtype)
    layer = sg.SparseLinear.from_linear(linear)
    x = random_input(6, 48)  # float32 whatever the weight is: autocast brings both together
    with torch.autocast("cpu", dtype=autocast_dtype):
        y, dense = layer(x), linear(x)
    assert y.dtype == dense.dtype == autocast_dtype
    # Against the product of the rounded operands: only accumulation and the last rounding differ.
    rounded = copy.deepcopy(linear).to(autocast_dtype)
    x = x.to(autocast_dtype)
    limit = 2 * worst_error(dense, rounded, x) + ATOL[autocast_dtype]
    assert worst_error(y, rounded, x) <= limit


def test_autocast_rounds_the_bias_too():
    linear = masked_linear(4, 1, integers=True)
    linear.weight.copy_(torch.tensor([[0.5, 0.0, 0.0, 0.0]]))
    linear.bias.fill_(256.9)  # 256 in bfloat16, whose step here is 2
    x = torch.ones(1, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert sg.SparseLinear.from_linear(linear)(x).item() == linear(x).item() == 256.0


def test_autocast_on_integers_is_exact_and_off_inside_a_disabled_region():
    linear = masked_linear(48, 20, integers=True)
    layer = sg.SparseLinear.from_linear(linear)
    x = random_input(6, 48, integers=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x), linear(x))
        with torch.autocast("cpu", enabled=False):
            assert layer(x).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(TypeError, match="float64"):
        layer(x.double())


def test_a_wanted_gradient_is_a_clear_error():
    layer = sg.SparseLinear.from_linear(masked_linear(8, 4))
    x = torch.ones(2, 8, requires_grad=True)
    expected = layer(x)  # under no_grad
    with torch.inference_mode():
        assert torch.equal(layer(x), expected)
    with torch.enable_grad():
        assert torch.equal(layer(x.detach()), expected)
        with pytest.raises(RuntimeError, match="x requires grad"):
            layer(x)
        with (
            torch.autocast("cpu", dtype=torch.bfloat16),
            pytest.raises(RuntimeError, match="x requires grad"),
        ):
            layer(x)
        layer.requires_grad_(True)
        with pytest.raises(RuntimeError, match="bias requires grad"):
            layer(x.detach())
        layer.requires_grad_(False)
        assert torch.equal(layer(x.detach()), expected)


@pytest.mark.parametrize(
    ("make_x", "error", "message"),
    [
        (lambda: torch.ones(2, 9), ValueError, r"x has shape \(2, 9\); expected \[\.\.\., 8\]"),
        (lambda: torch.tensor(1.0), ValueError, r"x has shape \(\)"),
        (lambda: torch.ones(2, 8).half(), TypeError, r"x has dtype torch\.float16"),
        (lambda: torch.ones(2, 8, dtype=torch.int64), TypeError, r"x has dtype torch\.int64"),
        (lambda: torch.ones(2, 8).numpy(), TypeError, "numpy"),
        (lambda: [[1.0] * 8], TypeError, "x is a builtins.list"),
    ],
)
def test_a_wrong_input_is_named(make_x, error, message):
    with pytest.raises(error, match=message):
        sg.SparseLinear.from_linear(masked_linear(8, 4))(make_x())


def test_weight_cannot_be_assigned():
    layer = sg.SparseLinear(8, 4)
    for value in (torch.nn.Parameter(torch.zeros(4, 8)), torch.zeros(4, 8)):
        with pytest.raises(AttributeError, match="cannot be assigned"):
            layer.weight = value


def test_threads_at_once_give_one_result():
    layer = sg.SparseLinear.from_linear(masked_linear(96, 64))
    x = random_input(33, 96)
    expected = layer(x)
    wrong = []

    def work():
        with torch.inference_mode():
            for _ in range(50):
                layer._view = None  # every thread makes its own view now and then
                if not torch.equal(layer(x), expected):
                    wrong.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_repeated_calls_are_bit_equal():
    layer = sg.SparseLinear.from_linear(masked_linear(200, 77, dtype=torch.bfloat16))
    x = random_input(9, 200, dtype=torch.bfloat16)
    assert all(torch.equal(layer(x), layer(x)) for _ in range(5))


@pytest.mark.parametrize("group_size", [None, 32])
@pytest.mark.parametrize("quantize", ["int8", "int4", "float8_e4m3fn", "float8_e5m2"])
def test_quantized_layers_compute_and_are_saved(quantize, group_size):
    linear = torch.nn.Linear(70, 30, dtype=torch.bfloat16)
    how = {"quantize": quantize, "group_size": group_size}
    layer = sg.SparseLinear.from_linear(linear, prune=True, **how)
    assert (layer.dtype, layer.quantize, layer.group_size) == (torch.bfloat16, quantize, group_size)
    pruned = sg.prune(linear.weight.detach()).float()
    step = {"int8": 1 / 127, "int4": 1 / 7, "float8_e4m3fn": 2**-3, "float8_e5m2": 2**-2}[quantize]
    error = (layer.weight.float() - pruned).abs().max()
    assert layer.weight.dtype == torch.bfloat16
    assert 0 < error <= (step / 2 + 2**-7) * pruned.abs().max()
    assert f"quantize={quantize}" in repr(layer)
    x = random_input(2, 70, dtype=torch.bfloat16)
    with torch.inference_mode():
        y = layer(x)
    exact = torch.nn.functional.linear(x.double(), layer.weight.double(), linear.bias.double())
    torch.testing.assert_close(y.double(), exact, rtol=2**-6, atol=2**-5)
    new = sg.SparseLinear(70, 30, dtype=torch.bfloat16, **how)
    new.load_state_dict(sg.compressed_state_dict(layer))
    assert torch.equal(new.weight, layer.weight)
    new.half().float().bfloat16()
    assert torch.equal(new.weight, layer.weight)
    assert new.values.dtype == layer.values.dtype
    assert new.scale.dtype == layer.scale.dtype
    assert torch.equal(copy.deepcopy(layer).weight, layer.weight)


def test_what_cannot_be_quantized_is_refused():
    linear = torch.nn.Linear(64, 8)
    for how, message in (
        ({"quantize": "int3"}, "quantize is 'int3'; expected one of None, 'int8'"),
        ({"quantize": "int8", "group_size": 16}, "group_size is 16; expected one of"),
        ({"group_size": 32}, "group_size is 32, but quantize is None"),
        ({"quantize": "int8", "pattern": "1:2"}, "pattern '1:2'; expected '2:4'"),
    ):
        with pytest.raises(ValueError, match=message):
            sg.SparseLinear.from_linear(linear, prune=True, **how)
        with pytest.raises(ValueError, match=message):
            sg.SparseLinear(64, 8, **how)
    with pytest.raises(sg.SparsityError, match="linear.weight is not 2:4 sparse: row 0, group 0"):
        sg.SparseLinear.from_linear(linear, quantize="int4")


def test_sparsify_quantizes_layers_of_every_floating_point_type():
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        model = torch.nn.Sequential(torch.nn.Linear(64, 8)).to(dtype)
        report = sg.sparsify(model, prune=True, quantize="int8")
        assert len(report.swapped) == 1
        with torch.inference_mode():
            assert model(torch.ones(1, 64, dtype=dtype)).dtype is dtype
    with pytest.raises(ValueError, match="quantize is 'int2'"):
        sg.sparsify(model, quantize="int2")
