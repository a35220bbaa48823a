"""The torch.library operators: opcheck, compile, export, tracers, and what they refuse."""

from __future__ import annotations

import contextlib
import io

import pytest

torch = pytest.importorskip("torch")
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch_helpers import masked_linear, random_input  # noqa: E402

import sparse_gemm as sg  # noqa: E402
from sparse_gemm.arrays import torch_state  # noqa: E402, torch_state
from sparse_gemm.torch_glue import operators  # noqa: E402, torch_state

# torch.jit says on every use, torch's own included, that it is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

OUT, IN = 12, 22
OPS = torch.ops.sparse_gemm


@pytest.fixture(autouse=True)
def _fresh_compiler(tmp_path, monkeypatch):
    # A compiler cache that outlives the process may hold code for another version of the operators.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()


def make_layer(**keywords) -> sg.SparseLinear:
    return sg.SparseLinear.from_linear(masked_linear(IN, OUT, integers=True), **keywords)


def parts(dtype=torch.float32):
    weight = masked_linear(IN, OUT, integers=True).weight.detach().to(dtype)
    a = sg.compress(weight)
    return weight, (a.values, a.metadata, OUT, IN, a.pattern)


def model() -> torch.nn.Module:
    layers = (
        *(torch.nn.Linear(8, IN), make_layer(activation="gelu"), torch.nn.LayerNorm(OUT)),
        sg.SparseLinear.from_linear(masked_linear(OUT, 6, bias=False)),
    )
    return torch.nn.Sequential(*layers).eval().requires_grad_(False)


LINEAR_TERMS = [
    {},
    {"bias": torch.arange(OUT, dtype=torch.float32), "activation": "relu"},
    {"bias": torch.arange(OUT).bfloat16(), "alpha": 0.5, "out_dtype": torch.float16},
    {"residual": torch.ones(3, OUT), "beta": 2.0, "gate": torch.ones(3, OUT), "activation": "silu"},
    {"x_scale": torch.full((3,), 0.5), "w_scale": torch.full((OUT,), 2.0), "backend": "cpu"},
]


@pytest.mark.parametrize("terms", LINEAR_TERMS, ids=lambda terms: "+".join(terms) or "plain")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck_linear(dtype, terms):
    _, operand = parts(dtype)
    x = random_input(3, IN, dtype=dtype)
    torch.library.opcheck(OPS.linear.default, (x, *operand), terms)


@pytest.mark.parametrize("shape", [(IN,), (0, IN), (2, 3, IN)], ids=str)
def test_opcheck_linear_shapes(shape):
    torch.library.opcheck(OPS.linear.default, (random_input(*shape), *parts()[1]))


@pytest.mark.parametrize(
    "terms", [{}, {"x_scale": torch.ones(3)}, {"out_dtype": torch.int8}], ids=str
)
def test_opcheck_int8(terms):
    _, operand = parts(torch.int8)
    x = random_input(3, IN, dtype=torch.int8, integers=True)
    torch.library.opcheck(OPS.linear.default, (x, *operand), terms)
    y = OPS.linear(x, *operand, **terms)
    assert y.dtype == terms.get("out_dtype", torch.float32 if terms else torch.int32)


@pytest.mark.parametrize("shape", [(IN,), (IN, 5), (2, IN, 5), (IN, 0)], ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_opcheck_matmul(shape, transposed):
    weight, operand = parts()
    b = random_input(*shape, integers=True)
    if transposed and b.ndim > 1:
        b = b.mT.contiguous().mT
    torch.library.opcheck(OPS.matmul.default, (*operand, b), {"activation": "relu"})
    assert torch.equal(OPS.matmul(*operand, b), weight @ b)


def test_opcheck_to_dense():
    weight, operand = parts()
    torch.library.opcheck(OPS.to_dense.default, operand)
    assert torch.equal(OPS.to_dense(*operand), weight)


def test_fake_and_real_agree_on_symbolic_batches():
    layer = make_layer()
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = layer(torch.empty(3, 5, IN))
        assert fake.shape == (3, 5, OUT)
        assert fake.stride() == (5 * OUT, OUT, 1)
        assert layer.weight.shape == (OUT, IN)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compile_fullgraph(backend, dynamic):
    m = model()
    compiled = torch.compile(m, fullgraph=True, backend=backend, dynamic=dynamic)
    with torch.no_grad():
        for tokens in (4, 7, 1):
            x = random_input(2, tokens, 8)
            assert torch.equal(compiled(x), m(x))


def test_compile_with_inductor():
    m = model()
    compiled = torch.compile(m, fullgraph=True, dynamic=True)
    with torch.no_grad():
        for tokens in (4, 7):
            x = random_input(tokens, 8)
            torch.testing.assert_close(compiled(x), m(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("inside", [False, True])
def test_compile_under_autocast(inside):
    layer = make_layer()
    x = random_input(4, IN)

    def call(x):
        if not inside:
            return layer(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return layer(x)

    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=not inside):
        y, expected = compiled(x), call(x)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, expected)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=inside):
        assert compiled(x).dtype == (torch.bfloat16 if inside else torch.float32)


def test_compile_of_the_plain_functions():
    weight, _ = parts()
    a = sg.compress(weight)
    bias = torch.arange(OUT, dtype=torch.float32)

    def call(x, out):
        sg.linear(x, a, bias, activation="relu", out=out)
        return out + sg.matmul(a, x.T).T

    x = random_input(5, IN, integers=True)
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    expected = torch.relu(torch.nn.functional.linear(x, weight, bias)) + x @ weight.T
    assert torch.equal(compiled(x, torch.empty(5, OUT)), expected)


def test_compiled_code_can_read_the_dense_weight():
    layer = make_layer()
    compiled = torch.compile(lambda x: x @ layer.weight.T, fullgraph=True, backend="aot_eager")
    x = random_input(5, IN, integers=True)
    with torch.no_grad():
        assert torch.equal(compiled(x), x @ layer.weight.T)


@pytest.mark.parametrize("strict", [False, True])
def test_export_with_a_dynamic_batch_and_back_from_a_file(strict):
    m = model()
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        program = torch.export.export(
            m, (random_input(4, 8),), dynamic_shapes=({0: batch},), strict=strict
        )
        targets = [str(node.target) for node in program.graph.nodes]
        assert targets.count("sparse_gemm.linear.default") == 2
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        loaded = torch.export.load(file).module()
        for tokens in (1, 9):
            x = random_input(tokens, 8)
            assert torch.equal(program.module()(x), m(x))
            assert torch.equal(loaded(x), m(x))


def test_an_exported_file_holds_no_dense_weight():
    layer = sg.SparseLinear.from_linear(masked_linear(512, 512, bias=False)).eval()
    with torch.no_grad():
        program = torch.export.export(layer, (random_input(2, 512),))
    file = io.BytesIO()
    torch.export.save(program, file)
    assert layer.nbytes < len(file.getvalue()) < layer.nbytes + 100_000


def test_fx_and_jit_traces_follow_the_input():
    layer = make_layer()
    m = torch.nn.Sequential(layer, torch.nn.ReLU())
    first, second = random_input(2, IN), random_input(4, IN, seed=7)
    traced = torch.fx.symbolic_trace(m)
    with torch.no_grad():
        assert torch.equal(traced(second), m(second))
        assert torch.equal(torch.jit.trace(layer, (first,))(second), layer(second))
        graph = make_fx(layer)(first)
        assert torch.equal(graph(first * 2), layer(first * 2))


def test_modes_see_the_operator_and_not_what_is_below():
    seen = []

    class Log(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    layer, x = make_layer(), random_input(2, IN)
    with torch.no_grad(), Log():
        y = layer(x)
    assert "sparse_gemm.linear.default" in seen
    with torch.no_grad():
        assert torch.equal(y, layer(x))


def test_vmap_is_refused_with_advice():
    layer, x = make_layer(), random_input(2, 3, IN)
    a = layer.compressed
    with torch.no_grad():
        for call in (layer, lambda row: sg.linear(row, a)):
            with pytest.raises(RuntimeError, match=r"cannot run under torch\.vmap.*whole batch"):
                torch.vmap(call)(x)


def differentiate_forward(layer, x):
    with torch.autograd.forward_ad.dual_level():
        layer(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))


@pytest.mark.parametrize(
    "differentiate",
    [
        lambda layer, x: layer(x.requires_grad_()),
        lambda layer, x: OPS.linear(
            x.requires_grad_(), layer.values, layer.metadata, OUT, IN, "2:4"
        ),
        lambda layer, x: torch.func.grad(lambda t: layer(t).sum())(x),
        lambda layer, x: torch.func.jvp(layer, (x,), (x,)),
        differentiate_forward,
        lambda layer, x: torch.compile(layer, fullgraph=True, backend="aot_eager")(
            x.requires_grad_()
        ),
    ],
    ids=["eager", "op", "func.grad", "func.jvp", "dual", "compile"],
)
def test_every_way_to_want_a_gradient_is_refused(differentiate):
    with pytest.raises(RuntimeError, match=r"computes no\s+gradients"):
        differentiate(make_layer(), random_input(2, IN))


def test_a_bias_that_requires_grad_is_named_by_the_operator():
    layer = make_layer().requires_grad_(True)
    with pytest.raises(RuntimeError, match="bias requires grad"):
        operators.call_linear(
            random_input(2, IN), layer.values, layer.metadata, OUT, IN, "2:4", layer.bias
        )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"values": torch.zeros(OUT, 3)}, ValueError, r"values has shape \(12, 3\)"),
        ({"values": torch.zeros(1, 1, 1)}, ValueError, "values has 3 dimensions; expected 2"),
        ({"values": torch.zeros(3)}, ValueError, r"values has shape \(3,\); expected \(256,\)"),
        ({"metadata": torch.zeros(OUT, 1, dtype=torch.uint8)}, ValueError, "metadata has shape"),
        ({"metadata": torch.zeros(OUT, 3)}, TypeError, r"metadata has dtype torch\.float32"),
        ({"pattern": "3:4"}, ValueError, "pattern is '3:4'"),
        ({"in_features": -4}, ValueError, r"out_features and in_features are \(12, -4\)"),
        ({"out_features": 11}, ValueError, r"values has shape \(12, 12\); expected \(11, 12\)"),
        ({"x": torch.ones(2, IN + 1)}, ValueError, r"x has shape \(2, 23\)"),
        ({"x": torch.ones(2, IN).half()}, TypeError, r"x has dtype torch\.float16"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_parts_that_do_not_fit_are_refused_before_any_kernel(change, error, message, device):
    _, (values, metadata, out_features, in_features, pattern) = parts()
    arguments = {
        **{"x": torch.ones(2, IN), "values": values, "metadata": metadata},
        **{"out_features": out_features, "in_features": in_features, "pattern": pattern},
        **change,
    }
    arguments = {
        key: value.to(device) if isinstance(value, torch.Tensor) else value
        for key, value in arguments.items()
    }
    with pytest.raises(error, match=message):
        OPS.linear(**arguments)


def test_a_negative_by_flag_is_negated():
    layer = make_layer()
    x = random_input(2, IN, integers=True)
    with torch.no_grad():
        assert torch.equal(layer(torch._neg_view(x)), layer(-x))


def test_needs_dispatcher_is_false_for_plain_eager_calls_alone():
    x = torch.ones(2)
    assert not torch_state.needs_dispatcher(x, torch.nn.Parameter(x), None)
    assert torch_state.needs_dispatcher(x.to("meta"))
    with torch.device("cpu"):  # a function mode
        assert torch_state.needs_dispatcher(x)
    with torch.autograd.forward_ad.dual_level():
        assert torch_state.needs_dispatcher(x)


def test_a_meta_weight_and_a_real_input_are_refused_together():
    layer = sg.SparseLinear(16, 8, device="meta")
    x = torch.randn(2, 16)
    with pytest.raises(ValueError, match="expected meta"), torch.autocast("cpu", torch.bfloat16):
        layer(x)
    with pytest.raises(ValueError, match="x is on cpu; expected meta"):
        torch.ops.sparse_gemm.linear(x, layer.values, layer.metadata, 8, 16, "2:4")
    with pytest.raises(ValueError, match=r"bias has shape \(3,\)"):
        torch.ops.sparse_gemm.linear(
            *(x.to("meta"), layer.values, layer.metadata, 8, 16, "2:4"),
            torch.ones(3, device="meta"),
        )


@pytest.mark.parametrize("wrong", ["a tensor", "a NumPy matrix"])
@pytest.mark.parametrize("watched_by", ["nobody", "compile", "fake"])
def test_what_is_no_matrix_is_refused_alike_wherever_it_is_passed(wrong, watched_by):
    w = torch.ones(8, 16)
    a = w if wrong == "a tensor" else sg.compress(w.numpy(), policy="prune")
    message = "expected a Sparse24Tensor" if a is w else "is a torch array; expected numpy"

    def calls():
        yield lambda x: sg.linear(x, a)
        yield lambda x: sg.matmul(a, x.T)

    for call in calls():
        if watched_by == "compile":
            call = torch.compile(call, backend="eager")
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        with mode if watched_by == "fake" else contextlib.nullcontext():
            x = torch.ones(2, 16)
            with pytest.raises(TypeError, match=message):
                call(x)


@pytest.mark.parametrize("out_dtype", ["float", "float64", torch.float64, 3], ids=str)
def test_the_same_out_dtypes_are_refused_under_compile(out_dtype):
    a = sg.compress(torch.randn(8, 16), policy="prune")

    def call(x):
        return sg.linear(x, a, out_dtype=out_dtype)

    for tried in (call, torch.compile(call, backend="eager")):
        with pytest.raises(TypeError, match="out_dtype is .*; expected a torch dtype among"):
            tried(torch.randn(2, 16))


def test_out_dtype_may_be_a_name_under_compile_too():
    a = sg.compress(torch.randn(8, 16), policy="prune")
    compiled = torch.compile(
        lambda x: sg.linear(x, a, out_dtype="bfloat16"), fullgraph=True, backend="eager"
    )
    x = torch.randn(2, 16)
    assert torch.equal(compiled(x), sg.linear(x, a, out_dtype="bfloat16"))
