"""The counts of all kernels as one JSON document, kernels.json beside this file.

compiler   nvcc's version: machine code is that compiler's
nvdisasm   likewise
rows       by name (config, type, way to load B)
  threads, shared_bytes   of a CTA; what is not dynamic included
  sm_80, sm_89   where it exists: registers, spilled_bytes, stack_bytes; loop_instructions and
                 loop_mmas, of a warp once around the main loop; mma, local_accesses
  stage          of a CTA, as the emulator counts (tests/kernels/kernel_counts.py)
  predicted      device, tokens, schedule, bound, us
losses     predicted: layers that lose to a dense product, the ratio by number of tokens
gains      predicted: of a few layers the dense time over ours, for the README
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.kernel_table import emulated, fat_binary, predictions, ptxas_log, sass
from sparse_gemm import _C

ROOT = Path(__file__).parents[2]
PATH = Path(__file__).parent / "kernels.json"
ARCHITECTURES = (80, 89)
REGENERATE = (
    "run `make kernel-table`, look at what it changes, and say in the commit why that is right"
)

Document = dict[str, Any]
_LISTS = ("losses", "gains")


def name_of(row: Mapping[str, Any]) -> str:
    """Of a row of `_C.cuda_kernels()`: it stays the same when rows are added before it."""
    return f"{row['config']} {row['multiply']} {row['b_load']}"


def read() -> Document:
    """The committed document; an empty one where there is none."""
    if not PATH.exists():
        return {"rows": {}, "losses": [], "gains": []}
    document: Document = json.loads(PATH.read_text())
    return document


def write(document: Document) -> None:
    """One line for each part of a row, so that a diff shows what has changed."""
    lines = []
    for name, row in document["rows"].items():
        parts = ",\n".join(f"      {json.dumps(k)}: {json.dumps(v)}" for k, v in row.items())
        lines.append(f"    {json.dumps(name)}: {{\n{parts}\n    }}")
    rows = ",\n".join(lines)
    lists = {key: ",\n".join(f"    {json.dumps(one)}" for one in document[key]) for key in _LISTS}
    tail = ",\n".join(f'  "{key}": [\n{lines}\n  ]' for key, lines in lists.items())
    known = [key for key in ("compiler", "nvdisasm") if key in document]
    head = "".join(f"  {json.dumps(key)}: {json.dumps(document[key])},\n" for key in known)
    PATH.write_text(f'{{\n{head}  "rows": {{\n{rows}\n  }},\n{tail}\n}}\n')


def compiler() -> str:
    """The version of nvcc that built the extension at hand."""
    build = _C.cuda_build()
    if build is None:
        raise RuntimeError("the extension was built without CUDA")
    return str(build["compiler"])


def machine_code(build: Path) -> dict[str, dict[str, Any]]:
    """By name, what the compiler made: `build` has a release's extension and ptxas' account of it.

    Raises:
        FileNotFoundError: nvdisasm is not installed, or `build` is empty.
    """
    nvdisasm = sass.find_nvdisasm()
    if nvdisasm is None:
        raise FileNotFoundError(f"{sass.PACKAGE} is not installed")
    module = next(build.glob("_C*.so"), None)
    if module is None:
        raise FileNotFoundError(f"there is no extension in {build}")
    counted: dict[tuple[str, str], sass.Counts] = {}
    for architecture, cubin in fat_binary.cubins(module):
        if architecture in ARCHITECTURES:
            found = sass.count(cubin, nvdisasm)
            counted |= {(f"sm_{architecture}", name): of_it for name, of_it in found.items()}
    used = ptxas_log.parse((build / "ptxas.log").read_text())
    kernels = _C.cuda_kernels()
    rows: dict[str, dict[str, Any]] = {name_of(row): {} for row in kernels}
    for (code, name), counts in sorted(counted.items()):
        usage = used[code, name]
        row = kernels[_index_of(name)]
        of_row = rows[name_of(row)]
        of_row["threads"] = row["num_threads"]
        of_row["shared_bytes"] = row["shared_bytes"] + usage.static_shared_bytes
        of_row[code] = {
            "registers": usage.registers,
            "spilled_bytes": usage.spilled_bytes,
            "stack_bytes": usage.stack_bytes,
            **counts._asdict(),
        }
    return rows


def stages() -> dict[str, dict[str, Any]]:
    """By name, what the emulator counts."""
    kernels = _C.cuda_kernels()
    counted = emulated.counts(kernels)
    return {name_of(row): {"stage": counted[row["index"]]} for row in kernels}


def predicted() -> dict[str, dict[str, Any]]:
    """By name, what the planner expects."""
    return {name_of(row): {"predicted": predictions.of_row(row)} for row in _C.cuda_kernels()}


def versions() -> dict[str, str]:
    """Of what machine code depends on."""
    return {"compiler": compiler(), "nvdisasm": importlib.metadata.version(sass.PACKAGE)}


def merged(document: Document, *parts: dict[str, dict[str, Any]]) -> Document:
    """`document` with `parts` of rows taken anew; rows are those of the table, in its order."""
    rows = {}
    for row in _C.cuda_kernels():
        name = name_of(row)
        rows[name] = dict(document.get("rows", {}).get(name, {}))
        for part in parts:
            rows[name].update(part.get(name, {}))
    return {**{key: [] for key in _LISTS}, **document, "rows": rows}


def changes(
    committed: Mapping[str, Mapping[str, Any]], fresh: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """A line for each figure in `fresh` rows that is another in `committed` ones, or new."""
    return [
        line for name, row in fresh.items() for line in _changes(name, committed.get(name), row)
    ]


def _changes(name: str, committed: object, fresh: object) -> Iterator[str]:
    if not isinstance(fresh, Mapping):
        if fresh != committed:
            yield f"{name}: {fresh}, was {committed}"
    elif isinstance(committed, Mapping):
        for key, value in fresh.items():
            yield from _changes(f"{name}, {key}", committed.get(key), value)
    elif fresh:
        yield f"{name}: new"


def _index_of(mangled: str) -> int:
    found = re.search(r"gemm_kernelILi(\d+)E", mangled)
    if found is None:
        raise ValueError(f"{mangled} multiplies, but is no instance of gemm_kernel")
    return int(found[1])
