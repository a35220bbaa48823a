"""Loading takes a model's compressed bytes and little more: measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.10")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's /proc"),
]

MOST = 1.1  # peak of what loading adds to the process, over the bytes of the loaded model

MAKE = """
import sys, torch
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM
import sparse_gemm as sg
folder, kind, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sizes = dict(vocab_size=500, hidden_size=size, intermediate_size=4 * size, num_attention_heads=8,
             num_key_value_heads=8, num_hidden_layers=1 if size == 64 else 12)
torch.manual_seed(0)
if kind == "llama":
    model = LlamaForCausalLM(LlamaConfig(**sizes)).bfloat16()
else:
    sizes["intermediate_size"] = size
    model = MixtralForCausalLM(MixtralConfig(**sizes, num_local_experts=8)).bfloat16()
for name, p in model.named_parameters():
    if p.ndim > 1 and "embed" not in name and "gate.weight" not in name:
        p.data = sg.prune(p.data.reshape(-1, p.shape[-1])).reshape(p.shape)
model.save_pretrained(folder / "dense", max_shard_size="40MB")
sg.checkpoints.convert(folder / "dense", folder / "ours", max_shard_bytes=40_000_000)
sg.checkpoints.convert(folder / "dense", folder / "bitmask", to="sparse-24-bitmask",
                       max_shard_bytes=40_000_000)
"""

LOAD = """
import sys, torch, transformers, sparse_gemm as sg, sparse_gemm.hf
way, warm, folder = sys.argv[1:]
torch.set_num_threads(1)
load = sg.from_pretrained if way == "sg" else transformers.AutoModelForCausalLM.from_pretrained

def status(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))

load(warm)  # whatever is imported and set up once
open("/proc/self/clear_refs", "w").write("5")  # the peak from here on
before = status("VmRSS:")
model = load(folder)
peak = status("VmHWM:") - before
held = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
assert sum(isinstance(m, sg.SparseLinear) for m in model.modules()) > 70
print(peak / held, held / 1e6)
"""


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", params=["llama", "mixtral"])
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("memory")
    run(MAKE, root / "small", request.param, 64)
    run(MAKE, root / "large", request.param, 1024)
    return root


@pytest.mark.parametrize("form", ["ours", "dense", "bitmask"])
@pytest.mark.parametrize("way", ["sg", "auto"])
def test_the_peak_is_the_models_bytes(way: str, form: str, folders: Path) -> None:
    if way == "auto" and form != "ours":
        pytest.skip("transformers alone reads our form")
    printed = run(LOAD, way, folders / "small" / form, folders / "large" / form)
    ratio, megabytes = (float(word) for word in printed.split()[-2:])
    assert megabytes > 200  # besides, decoding takes some 20 MB, whatever the model's size
    assert ratio < MOST, f"{ratio:.3f} of {megabytes:.0f} MB"
