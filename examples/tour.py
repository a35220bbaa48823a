"""A tour of the checkpoint formats: one small model, written in each, read back, and generating.

A Llama-style model and a tokenizer are trained on this repository's own documents, from fixed
seeds: first dense, then pruned to 2:4 and trained on with the mask fixed. The model is saved with
its zeros, and from there written in every format that holds it. sparse_gemm.from_pretrained reads
each folder as it is; what the model then says is compared with its dense twin's words, which
transformers reads.

    python examples/tour.py [--steps N] [--tokens N] [--only FORMAT ...] [--keep FOLDER]

Formats of integers start from a copy with quantised weights, and are compared with a twin that has
the same weights dense. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"  # whatever is missing, nobody is asked for it

try:
    import numpy as np
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        AutoModelForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )
    from transformers.utils import logging as transformers_logging
except ModuleNotFoundError as error:
    raise SystemExit(f"No module {error.name!r}: pip install '.[transformers]'") from None

import sparse_gemm as sg
from sparse_gemm import checkpoints

ROOT = Path(__file__).parent.parent
PROMPT = "A pruned weight is"
VOCABULARY = 512
SEQUENCES, LENGTH = 8, 48  # of a training step

# Format -> what its weights are quantised to, and elements of K that share a scale.
QUANTISED: dict[str, tuple[str, int | None]] = {
    "marlin-24": ("int4", 128),
    "gptq-marlin-24": ("int8", 128),
    "sparsemma": ("int8", None),
}
TORCH_FILE = "torch-cutlass (.bin)"  # SparseSemiStructuredTensors in a pickle
FORMS = (*checkpoints.FORMATS, TORCH_FILE)


class Row(NamedTuple):
    """What became of one format.

    Attributes:
        form: its name.
        elements: the type of the stored elements.
        megabytes: of the files of weights.
        layers: how many are compressed in memory.
        seconds: that from_pretrained took.
        is_same: whether the same tokens were generated.
        difference: of the logits for the prompt, at most.
    """

    form: str
    elements: str
    megabytes: float
    layers: int
    seconds: float
    is_same: bool
    difference: float


def documents() -> str:
    """The text of the repository's documents."""
    return "\n".join(
        path.read_text() for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
    )


def train_tokenizer(text: str) -> Any:
    """A byte-level BPE tokenizer of the text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def new_model() -> Any:
    """Two layers, all matrices of multiples of 128, as marlin-24 asks for."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=384, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, pad_token_id=0, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def linear_weights(model: Any) -> list[Any]:
    """The weights that are pruned: those of every linear layer but the head."""
    return [m.weight for m in model.model.modules() if isinstance(m, torch.nn.Linear)]


def train(model: Any, ids: Any, steps: int, masks: Sequence[Any]) -> float:
    """Trains on random pieces of the text; masked weights stay zero. Returns the last loss."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loss = torch.zeros(())
    for _ in range(steps):
        starts = torch.randint(len(ids) - LENGTH, (SEQUENCES,), generator=generator).tolist()
        batch = torch.stack([ids[start : start + LENGTH] for start in starts])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for weight, mask in zip(linear_weights(model), masks, strict=False):
                weight.mul_(mask)
    return loss.item()


def save_trained(folder: Path, steps: int) -> None:
    """Trains, prunes, trains on, and saves tokenizer and model, in bfloat16."""
    text = documents()
    tokenizer = train_tokenizer(text)
    ids = torch.tensor(tokenizer(text)["input_ids"])
    model = new_model().train()
    dense_loss = train(model, ids, steps, ())
    with torch.no_grad():
        for weight in linear_weights(model):
            weight.copy_(sg.prune(weight.detach()))
    masks = [(weight != 0).float() for weight in linear_weights(model)]
    loss = train(model, ids, steps, masks)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    print(
        f"trained on the documents' {len(ids)} tokens: {steps} steps dense (loss "
        f"{dense_loss:.2f}), pruned to 2:4, {steps} steps on (loss {loss:.2f})"
    )


def save_quantised(source: Path, folder: Path, kind: str, group_size: int | None) -> None:
    """The model again, its 2:4 weights quantised, in the project's own form."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors: dict[str, Any] = {}
    for name, tensor in checkpoints.load(source).items():
        tensors[name] = tensor
        if isinstance(tensor, sg.Sparse24Tensor):
            dense = tensor.to_dense().astype(np.float16)
            tensors[name] = sg.quantize(dense, kind, group_size=group_size)
    checkpoints.save(folder / "model.safetensors", tensors)


def write_form(root: Path, form: str) -> tuple[Path, Path, str]:
    """The folder in that format, its dense twin's, and the type of the elements."""
    dense, folder = root / "dense", root / form.replace(" ", "-")
    if form == TORCH_FILE:
        shutil.copytree(dense, folder, ignore=shutil.ignore_patterns("*.safetensors"))
        checkpoints.convert(
            dense / "model.safetensors", folder / "pytorch_model.bin", to="torch-cutlass"
        )
        return folder, dense, "bfloat16"
    if form == "dense":
        return dense, dense, "bfloat16"
    if form not in QUANTISED:
        checkpoints.convert(dense, folder, to=form)
        return folder, dense, "bfloat16"
    kind, group_size = QUANTISED[form]
    start, twin = root / f"{form}-start", root / f"{form}-twin"
    save_quantised(dense, start, kind, group_size)
    checkpoints.convert(start, folder, to=form)
    checkpoints.convert(folder, twin, to="dense")
    return folder, twin, kind


def generated(model: Any, ids: Any, tokens: int) -> Any:
    """What the model says next, greedily."""
    return model.generate(ids, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)


def row_of(root: Path, form: str, tokens: int) -> Row:
    """Writes the format, loads it, and holds it against its twin."""
    folder, twin_folder, elements = write_form(root, form)
    dtype = torch.float16 if form in QUANTISED else torch.float32
    tokenizer = PreTrainedTokenizerFast.from_pretrained(root / "dense")
    ids = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    twin = AutoModelForCausalLM.from_pretrained(twin_folder, dtype=dtype)
    begin = time.perf_counter()
    model = sg.from_pretrained(folder, dtype=dtype)
    seconds = time.perf_counter() - begin
    layers = sum(isinstance(module, sg.SparseLinear) for module in model.modules())
    files = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    said = generated(model, ids, tokens)
    with torch.inference_mode():
        difference = (model(ids).logits - twin(ids).logits).abs().max().item()
    is_same = torch.equal(said, generated(twin, ids, tokens))
    return Row(form, elements, megabytes, layers, seconds, is_same, difference)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; 1 if a format made the model say something else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=80, metavar="N", help="of training, twice")
    parser.add_argument("--tokens", type=int, default=24, metavar="N", help="to generate")
    parser.add_argument("--only", nargs="+", choices=FORMS, default=FORMS, metavar="FORMAT")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the folders shall stay")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # so small a model only waits for a second one
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as scratch:
        root = options.keep or Path(scratch)
        root.mkdir(parents=True, exist_ok=True)
        save_trained(root / "dense", options.steps)
        head = f"{'format':<22}{'elements':<10}{'MB':>6}{'layers':>8}{'load':>9}"
        print(f"\n{head}  same tokens as dense")
        wrong = 0
        for form in options.only:
            row = row_of(root, form, options.tokens)
            wrong += not row.is_same
            print(
                f"{row.form:<22}{row.elements:<10}{row.megabytes:>6.2f}{row.layers:>8}"
                f"{row.seconds * 1e3:>6.0f} ms  {'yes' if row.is_same else 'NO'}, "
                f"logits within {row.difference:.0e}"
            )
        model = sg.from_pretrained(root / "dense")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(root / "dense")
        ids = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
        print(f"\n{model.hf_quantizer.report.summary()}; it says:")
        print(tokenizer.decode(generated(model, ids, options.tokens)[0]))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
