"""sparsify: which layers of a model are swapped, which are left and why, and the report."""

from __future__ import annotations

import copy
import warnings

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations, parametrize, prune  # noqa: E402
from torch_helpers import masked_linear, random_input  # noqa: E402

import sparse_gemm as sg  # noqa: E402


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def reasons(report) -> dict[str, str]:
    return {entry.name: entry.reason for entry in report.entries}


def prune_in_place(model: nn.Module) -> nn.Module:
    """Masks every nn.Linear's weight, so that dense and swapped models compute the same."""
    for seed, module in enumerate(model.modules()):
        if isinstance(module, nn.Linear):
            masked = masked_linear(module.in_features, module.out_features, seed=seed)
            module.weight.copy_(masked.weight / module.in_features**0.5)
    return model


class Block(nn.Module):
    def __init__(self, width: int = 16):
        super().__init__()
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


def test_a_model_gives_the_same_after_the_swap():
    model = prune_in_place(nn.Sequential(Block(), Block(), nn.LayerNorm(16))).eval()
    x = random_input(5, 16)
    expected = model(x)
    report = sg.sparsify(model)
    assert [entry.name for entry in report.swapped] == ["0.up", "0.down", "1.up", "1.down"]
    assert not report.left
    assert all(isinstance(model.get_submodule(e.name), sg.SparseLinear) for e in report.entries)
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)


def test_bytes_in_the_report_are_exact():
    model = nn.Sequential(nn.Linear(64, 32).half(), nn.Linear(64, 8))
    report = sg.sparsify(model, prune=True)
    assert [entry.bytes_before for entry in report.entries] == [64 * 32 * 2, 64 * 8 * 4]
    assert [entry.bytes_after for entry in report.entries] == [
        64 * 32 * 2 * 9 // 16,
        64 * 8 * 4 * 17 // 32,
    ]
    assert report.bytes_before == 64 * 32 * 2 + 64 * 8 * 4
    assert report.bytes_after == model[0].nbytes + model[1].nbytes


def test_without_prune_a_weight_that_does_not_fit_is_left_and_named():
    model = nn.Sequential(masked_linear(8, 4), nn.Linear(8, 4))
    model[1].weight.copy_(masked_linear(8, 4).weight)
    model[1].weight[2, 4:] = torch.tensor([1.0, 2.0, 0.0, 3.0])
    report = sg.sparsify(model)
    assert reasons(report)["0"] == ""
    assert "is not 2:4 sparse: row 2, group 1 holds (1.0, 2.0, 0.0, 3.0)" in reasons(report)["1"]
    assert type(model[1]) is nn.Linear
    assert report.entries[1].bytes_after == report.entries[1].bytes_before


def test_with_prune_the_largest_magnitudes_stay():
    model = nn.Sequential(nn.Linear(8, 4))
    groups = model[0].weight.clone().reshape(4, 2, 4)
    kept = groups.abs().argsort(dim=-1, descending=True).argsort(dim=-1) < 2
    sg.sparsify(model, prune=True)
    assert torch.equal(model[0].weight, (groups * kept).reshape(4, 8))


class LanguageModel(nn.Module):
    def __init__(self, tie):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 11, bias=False)
        tie(self)

    def forward(self, ids):
        return self.head(self.body(self.embedding(ids)))


def tie_by_parameter(model):
    model.head.weight = model.embedding.weight


def tie_by_memory(model):
    model.head.weight = nn.Parameter(model.embedding.weight.detach())


def tie_by_overlap(model):
    whole = torch.randn(12 * 8)
    model.embedding.weight = nn.Parameter(whole[:88].view(11, 8))
    model.head.weight = nn.Parameter(whole[8:].view(11, 8))


@pytest.mark.parametrize("tie", [tie_by_parameter, tie_by_memory, tie_by_overlap])
def test_a_head_tied_to_the_embedding_is_left_and_the_partner_named(tie):
    model = LanguageModel(tie)
    report = sg.sparsify(model, prune=True)
    assert reasons(report) == {
        "body": "",
        "head": "its weight is shared with embedding.weight",
    }
    assert model.head.weight.data_ptr() >= model.embedding.weight.data_ptr()
    assert type(model.head) is nn.Linear


def test_weights_cut_side_by_side_from_one_buffer_are_not_taken_for_tied():
    model = nn.Sequential(nn.Linear(8, 4, bias=False), nn.Linear(8, 4, bias=False))
    whole = torch.randn(64)
    model[0].weight = nn.Parameter(whole[:32].view(4, 8))
    model[1].weight = nn.Parameter(whole[32:].view(4, 8))
    assert len(sg.sparsify(model, prune=True).swapped) == 2


def test_two_layers_that_share_a_weight_are_both_left():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = model[0].weight
    assert reasons(sg.sparsify(model, prune=True)) == {
        "0": "its weight is shared with 1.weight",
        "1": "its weight is shared with 0.weight",
    }


def test_one_layer_at_several_places_stays_one_layer():
    block = Block()
    model = nn.Module()
    model.first, model.second, model.alone = block, block, block.up
    report = sg.sparsify(model, prune=True)
    assert len(report.entries) == 2
    assert report.entries[0].name == "first.up"
    assert report.entries[0].aliases == ("second.up", "alone")
    assert model.first.up is model.second.up is model.alone
    assert isinstance(model.alone, sg.SparseLinear)


def test_multihead_attention_keeps_its_out_proj_and_still_runs():
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(16, 2), "mlp": nn.Linear(16, 16)})
    x = random_input(3, 2, 16)
    expected = model["attention"](x, x, x)[0]
    report = sg.sparsify(model, prune=True)
    assert reasons(report)["attention.out_proj"].startswith("attention is a MultiheadAttention")
    assert reasons(report)["mlp"] == ""
    assert torch.equal(model["attention"](x, x, x)[0], expected)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_transformer_encoder_runs_right_and_keeps_its_fused_layers(padded, training):
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch speaks of nested tensors being a prototype
        model = nn.Sequential(nn.Linear(16, 16), nn.TransformerEncoder(layer, 2))
        model = prune_in_place(model).train(training)
        x = random_input(3, 5, 16)
        mask = torch.zeros(3, 5, dtype=torch.bool)
        mask[1, 3:] = padded
        arguments = {"src_key_padding_mask": mask} if padded else {}
        expected = model[1](model[0](x), **arguments)
        report = sg.sparsify(model)
        actual = model[1](model[0](x), **arguments)
    assert [entry.name for entry in report.swapped] == ["0"]
    assert len(report.left) == 6
    assert "fused fast path reads linear1.weight" in reasons(report)["1.layers.0.linear1"]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_a_transformer_decoder_has_no_fast_path_and_its_mlp_is_swapped():
    layer = nn.TransformerDecoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    model = prune_in_place(nn.TransformerDecoder(layer, 1)).eval()
    x, memory = random_input(2, 4, 16), random_input(2, 3, 16, seed=2)
    expected = model(x, memory)
    report = sg.sparsify(model)
    assert [e.name for e in report.swapped] == ["layers.0.linear1", "layers.0.linear2"]
    torch.testing.assert_close(model(x, memory), expected, rtol=1e-4, atol=1e-5)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def with_pruning_hook():
    return prune.l1_unstructured(nn.Linear(8, 4), "weight", amount=0.5)


def with_instance_forward():
    linear = nn.Linear(8, 4)
    linear.forward = lambda x: x
    return linear


def with_hook(register):
    linear = nn.Linear(8, 4)
    getattr(linear, register)(lambda *_: None)
    return linear


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Doubled(8, 4), "Doubled, a subclass of torch.nn.Linear"),
        (lambda: nn.LazyLinear(4), "LazyLinear, a subclass of torch.nn.Linear"),
        (lambda: parametrizations.weight_norm(nn.Linear(8, 4)), "parametrized (weight)"),
        (lambda: parametrizations.orthogonal(nn.Linear(8, 4)), "parametrized (weight)"),
        (with_pruning_hook, "torch.nn.utils.prune keeps its mask in one: call prune.remove first"),
        (lambda: with_hook("register_forward_hook"), "it has forward hooks"),
        (lambda: with_hook("register_forward_pre_hook"), "it has forward pre-hooks"),
        (with_instance_forward, "its forward has been replaced on the object"),
        (lambda: nn.Linear(8, 4, device="meta"), "on the meta device"),
        (lambda: nn.Linear(8, 4, dtype=torch.float64), "its dtype is torch.float64"),
    ],
)
def test_what_a_swap_would_break_is_left_with_the_reason(make, reason):
    model = nn.Sequential(make(), nn.Linear(8, 4))
    before = model[0]
    report = sg.sparsify(model, prune=True)
    assert reason in reasons(report)["0"]
    assert model[0] is before
    assert reasons(report)["1"] == ""
    assert parametrize.is_parametrized(model[0]) == ("parametrized" in reason)


def test_a_pattern_that_no_backend_runs_is_left_with_advice():
    model = nn.Sequential(nn.Linear(8, 4), nn.Linear(8, 4).half())
    report = sg.sparsify(model, prune=True, pattern="1:2")
    assert not report.swapped
    assert "2:4" in reasons(report)["0"]
    assert "pattern 1:2 can have torch.float32" in reasons(report)["1"]
    with pytest.raises(ValueError, match="pattern is '2:5'"):
        sg.sparsify(model, pattern="2:5")


def test_the_filter_sees_eligible_layers_and_refuses_by_any_name():
    shared = nn.Linear(8, 8)
    model = nn.Sequential(shared, nn.Linear(8, 8), shared, Doubled(8, 8))
    seen = []

    def keep(name, module):
        seen.append(name)
        assert type(module) is nn.Linear
        return name != "2"

    report = sg.sparsify(model, prune=True, filter=keep)
    assert seen == ["0", "2", "1"]
    assert reasons(report)["0"] == "refused by the filter"
    assert model[0] is model[2] is shared
    assert isinstance(model[1], sg.SparseLinear)


@pytest.mark.parametrize("argument", ["filter", "progress"])
def test_an_error_midway_leaves_the_model_as_it_was(argument):
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    before = list(model)

    def fail(*arguments):
        if "1" in arguments:
            raise KeyError("midway")
        return True

    with pytest.raises(KeyError):
        sg.sparsify(model, prune=True, **{argument: fail})
    assert list(model) == before


def test_progress_counts_every_layer():
    calls = []
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(), Doubled(8, 8))
    sg.sparsify(model, prune=True, progress=lambda *call: calls.append(call))
    assert calls == [(1, 2, "0"), (2, 2, "2")]


def test_a_linear_itself_and_other_things_are_refused():
    with pytest.raises(ValueError, match=r"SparseLinear\.from_linear"):
        sg.sparsify(nn.Linear(8, 8))
    with pytest.raises(TypeError, match="model is a dict"):
        sg.sparsify({"0": nn.Linear(8, 8)})


def test_a_model_without_linear_layers_gives_an_empty_report():
    report = sg.sparsify(nn.Sequential(nn.Conv2d(1, 1, 1)))
    assert report.entries == ()
    assert str(report).endswith("0 of 0 Linear layers swapped; 0 B -> 0 B")


def test_a_second_run_finds_nothing_left_to_swap():
    model = nn.Sequential(Block())
    sg.sparsify(model, prune=True)
    layers = [model[0].up, model[0].down]
    assert sg.sparsify(model, prune=True).entries == ()
    assert [model[0].up, model[0].down] == layers


def test_training_flag_and_dtype_are_carried_over():
    model = nn.Sequential(Block().bfloat16().eval(), Block().train())
    sg.sparsify(model, prune=True)
    assert not model[0].up.training
    assert model[1].up.training
    assert model[0].up.values.dtype == model[0].up.bias.dtype == torch.bfloat16


def test_the_report_reads_as_a_table():
    model = nn.Sequential(nn.Linear(1000, 500), Doubled(8, 4))
    lines = str(sg.sparsify(model, prune=True)).splitlines()
    assert lines[0].split() == ["layer", "in", "out", "before", "after"]
    assert lines[1].split() == ["0", *("1000", "500", "2.0", "MB", "1.1", "MB"), "swapped"]
    assert "left: it is a " in lines[2]
    assert lines[1].index("swapped") == lines[2].index("left:")
    assert lines[3] == "1 of 2 Linear layers swapped; 2.0 MB -> 1.1 MB (0.53x)"


def test_a_swapped_model_copies_and_exchanges_state_with_its_dense_twin():
    dense = prune_in_place(nn.Sequential(Block(), Block())).eval()
    model = copy.deepcopy(dense)
    sg.sparsify(model)
    other = prune_in_place(nn.Sequential(Block(), Block()))
    other.load_state_dict(model.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(other.parameters(), dense.parameters(), strict=True)
    )
    fresh = copy.deepcopy(model)
    fresh.load_state_dict(dense.state_dict())
    x = random_input(3, 16)
    assert torch.equal(fresh(x), model(x))


def test_layers_with_an_odd_bias_or_attachments_are_left_with_the_reason():
    def linear():
        return torch.nn.Linear(8, 8)

    double, short, nested, hooked = linear(), linear(), linear(), linear()
    double.bias = torch.nn.Parameter(double.bias.double())
    short.bias = torch.nn.Parameter(torch.ones(1))
    nested.register_buffer("extra", torch.ones(3))
    nested.sub = linear()
    hooked.register_state_dict_pre_hook(lambda *_: None)
    model = torch.nn.Sequential(linear(), double, short, nested, hooked)
    report = sg.sparsify(model, prune=True)
    reasons = {entry.name: entry.reason for entry in report.entries}
    assert reasons["0"] == ""
    assert "bias has dtype torch.float64" in reasons["1"]
    assert "bias has shape (1,)" in reasons["2"]
    assert reasons["3"] == "it holds extra, sub besides weight and bias"
    assert "state-dict pre-hooks" in reasons["4"]
    assert reasons["3.sub"] == ""
    assert isinstance(model[3].sub, sg.SparseLinear)
