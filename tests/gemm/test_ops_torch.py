"""The public functions on torch tensors: what differs from NumPy arrays."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import sparse_gemm as sg
from sparse_gemm import _C

GENERATOR = torch.Generator().manual_seed(0)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
W = sg.prune(torch.randint(-4, 5, (6, 12), generator=GENERATOR).float())
A = sg.compress(W)
X = torch.randint(-4, 5, (5, 12), generator=GENERATOR).float()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_same_kind_comes_out(dtype: torch.dtype) -> None:
    a = sg.compress(W.to(dtype))
    assert a.values.dtype == a.dtype == dtype
    assert a.metadata.dtype == torch.uint8
    y = sg.linear(X.to(dtype), a)
    assert isinstance(y, torch.Tensor)
    assert y.dtype == dtype
    torch.testing.assert_close(y, (X @ W.T).to(dtype), rtol=0, atol=0)
    torch.testing.assert_close(sg.matmul(a, X.T.to(dtype)), (W @ X.T).to(dtype), rtol=0, atol=0)
    torch.testing.assert_close(a.to_dense(), W.to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
def test_float8_compresses_and_decompresses(dtype: torch.dtype) -> None:
    w = W.to(dtype)
    dense = sg.compress(w).to_dense()
    assert dense.dtype == dtype
    assert torch.equal(dense.view(torch.uint8), w.view(torch.uint8))


def test_torch_and_numpy_give_the_same_bits() -> None:
    w = torch.randn(33, 50, generator=GENERATOR)
    x = torch.randn(7, 50, generator=GENERATOR)
    a, b = sg.compress(w, policy="prune"), sg.compress(w.numpy(), policy="prune")
    np.testing.assert_array_equal(a.values.numpy(), b.values)
    np.testing.assert_array_equal(a.metadata.numpy(), b.metadata)
    np.testing.assert_array_equal(sg.linear(x, a).numpy(), sg.linear(x.numpy(), b))


def test_error_against_float64_is_at_most_twice_that_of_torch_dense() -> None:
    for dtype, n in ((d, n) for d in DTYPES for n in (1, 30)):
        w = sg.prune(torch.randn(64, 512, generator=GENERATOR).to(dtype))
        x = torch.randn(n, 512, generator=GENERATOR).to(dtype)
        exact = x.double() @ w.double().T
        dense_error = (torch.nn.functional.linear(x, w).double() - exact).abs().max()
        error = (sg.linear(x, sg.compress(w)).double() - exact).abs().max()
        assert error <= 2 * dense_error + 1e-5


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias_dtype", DTYPES, ids=str)
def test_a_bias_may_have_another_type(dtype: torch.dtype, bias_dtype: torch.dtype) -> None:
    bias = torch.arange(6.0)
    y = sg.linear(X.to(dtype), sg.compress(W.to(dtype)), bias.to(bias_dtype))
    torch.testing.assert_close(y, (X @ W.T + bias).to(dtype), rtol=0, atol=0)


def test_mixing_kinds_is_refused() -> None:
    with pytest.raises(TypeError, match="x is a numpy array; expected torch"):
        sg.linear(X.numpy(), A)
    with pytest.raises(TypeError, match="bias is a numpy array; expected torch"):
        sg.linear(X, A, np.ones(6, np.float32))
    with pytest.raises(TypeError, match="metadata is a numpy array"):
        sg.Sparse24Tensor(A.values, A.metadata.numpy(), A.shape)


def test_gradients_are_refused_by_name_unless_they_are_off() -> None:
    x = X.clone().requires_grad_()
    with pytest.raises(RuntimeError, match=r"x requires grad .* torch\.no_grad\(\)"):
        sg.linear(x, A)
    bias = torch.ones(6, requires_grad=True)
    with pytest.raises(RuntimeError, match="bias requires grad"):
        sg.linear(X, A, bias)
    with pytest.raises(RuntimeError, match="b requires grad"):
        sg.matmul(A, x.T)
    with torch.no_grad():
        torch.testing.assert_close(sg.linear(x, A, bias), X @ W.T + 1)
    with torch.inference_mode():
        torch.testing.assert_close(sg.linear(x, A), X @ W.T)


def test_a_parameter_can_be_compressed() -> None:
    assert not sg.compress(torch.nn.Parameter(W)).values.requires_grad


def test_out_may_not_be_watched_by_autograd() -> None:
    out = torch.empty(5, 6, requires_grad=True)
    with pytest.raises(ValueError, match="autograd watches it"):
        sg.linear(X, A, out=out)


def test_tensors_that_hold_no_plain_memory_are_refused_not_read() -> None:
    with pytest.raises(TypeError, match="x is sparse, nested or opaque"):
        sg.linear(X.to_sparse(), A)
    with pytest.raises(ValueError, match="no memory"):
        sg.linear(torch._efficientzerotensor((5, 12)), A)
    with pytest.raises((ValueError, sg.UnsupportedError), match="meta"):
        sg.compress(W.to("meta"))
    with pytest.raises((ValueError, sg.UnsupportedError), match="meta"):
        sg.linear(X, sg.Sparse24Tensor(A.values.to("meta"), A.metadata.to("meta"), A.shape))


def test_lazily_negated_tensors_are_read_as_what_they_say() -> None:
    def negated(x: torch.Tensor) -> torch.Tensor:
        return torch._neg_view(-x)

    assert negated(W).is_neg()
    torch.testing.assert_close(sg.compress(negated(W)).to_dense(), W)
    bias, c = torch.arange(6.0), torch.arange(30.0).reshape(5, 6)
    expected = X @ W.T + bias + c
    y = sg.linear(negated(X), A, negated(bias), residual=negated(c), beta=1.0)
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    torch.testing.assert_close(sg.linear(X, A, negated(bias)), X @ W.T + bias, rtol=0, atol=0)
    torch.testing.assert_close(sg.linear(negated(X), A), X @ W.T, rtol=0, atol=0)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_compressed_matrices_copy_and_pickle(duplicate: object) -> None:
    scale = torch.arange(1.0, 7.0)
    again = duplicate(sg.Sparse24Tensor(A.values, A.metadata, A.shape, scale=scale))
    assert (again.shape, again.pattern, again.nbytes) == (A.shape, "2:4", A.nbytes + 24)
    assert again.values.data_ptr() != A.values.data_ptr()
    torch.testing.assert_close(sg.linear(X, again), X @ W.T * scale)


def test_int8_against_torch_int_mm() -> None:
    w = torch.randint(-128, 128, (64, 96), dtype=torch.int8, generator=GENERATOR)
    x = torch.randint(-128, 128, (24, 96), dtype=torch.int8, generator=GENERATOR)
    pruned = sg.prune(w)
    expected = torch._int_mm(x, pruned.T.contiguous())
    assert torch.equal(sg.linear(x, sg.compress(pruned)), expected)
    scales = {"x_scale": torch.rand(24, 1), "w_scale": torch.rand(64)}
    y = sg.linear(x, sg.compress(pruned), **scales)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, expected * scales["x_scale"] * scales["w_scale"])


def test_threads_follow_torch() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            big = sg.compress(torch.zeros(1024, 1024))
            assert sg.plan(big, tokens=64).num_threads == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_stand_ins_among_the_terms_are_never_taken_for_absent() -> None:
    with FakeTensorMode():
        fake = torch.ones(6)
        layer = sg.SparseLinear(12, 6)
        with pytest.raises(ValueError, match="no memory"):
            layer.compressed.to_dense()
    for terms in ({"bias": fake}, {"w_scale": fake}):
        with pytest.raises(Exception, match="[Ff]ake"):
            sg.linear(X, A, **terms)
    with pytest.raises(sg.UnsupportedError, match="the matrix is on meta"):
        sg.SparseLinear(12, 6, device="meta").compressed.to_dense()


def test_writing_to_out_is_seen_by_autograd() -> None:
    w = torch.randn(5, 6, requires_grad=True)
    out = torch.ones(5, 6)
    loss = (w * out).sum()
    sg.linear(X, A, out=out)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_float16_subnormals_do_not_depend_on_the_threads_flushing_mode() -> None:
    bits = np.arange(1, 1024, dtype=np.uint16)  # every positive subnormal
    bias = torch.from_numpy(bits.view(np.float16))
    a = sg.compress(torch.zeros(1023, 4, dtype=torch.float16))
    x = torch.zeros(1, 4, dtype=torch.float16)
    before = _C.current_isa()
    torch.set_flush_denormal(True)
    try:
        for isa in filter(_C.isa_available, _C.Isa.__members__.values()):
            _C.set_isa(isa)
            y = sg.linear(x, a, bias, out_dtype=torch.float32)
            assert torch.equal(y[0], bias.float())
            assert torch.equal(sg.linear(x, a, bias)[0], bias)
    finally:
        torch.set_flush_denormal(False)
        _C.set_isa(before)
