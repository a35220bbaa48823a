"""Machine code -> what the main loop of each kernel is made of, with nvdisasm.

The main loop is the innermost loop that holds mma.sp, the one with the most of them where there are
several (steady state and the last stages). A loop is a natural one: a branch back to a block that
dominates it, and all that can reach the branch without passing that block again; so code that the
compiler moved out of the way counts where it runs, not where it stands.
"""

from __future__ import annotations

import functools
import re
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PACKAGE = "nvidia-cuda-nvdisasm"

_SECTION = re.compile(r"^//-+ \.text\.(\S+) -+$")
_LABEL = re.compile(r"^(\.L\S+):")
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;")
_TARGET = re.compile(r"`\((\.L\S+?)\)")
_OPCODE = re.compile(r"^(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)")


class Code(NamedTuple):
    """A kernel's instructions; where its labels point to."""

    instructions: list[str]
    labels: dict[str, int]


class Counts(NamedTuple):
    """What was counted of one kernel: instructions of a warp."""

    loop_instructions: int  # once around the main loop, mma.sp included
    loop_mmas: int
    mma: str  # the opcode, such as HMMA.SP.16832.F32; several, sorted, if they differ
    local_accesses: int  # loads from and stores to local memory, in the whole kernel


def find_nvdisasm() -> Path | None:
    """That of the PyPI package, where it is installed."""
    found = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/cu*/bin/nvdisasm"))
    return found[-1] if found else None


def count(cubin: bytes, nvdisasm: Path) -> dict[str, Counts]:
    """By the mangled name of each kernel that multiplies."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [str(nvdisasm), "-c", file.name]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counted = {name: count_kernel(code) for name, code in kernels(text)}
    return {name: counts for name, counts in counted.items() if counts.loop_mmas}


def kernels(listing: str) -> Iterator[tuple[str, Code]]:
    """The kernels of a listing of nvdisasm."""
    name, code = "", Code([], {})
    for line in listing.splitlines():
        if section := _SECTION.match(line):
            if name:
                yield name, code
            name, code = section[1], Code([], {})
        elif label := _LABEL.match(line):
            code.labels[label[1]] = len(code.instructions)
        elif instruction := _INSTRUCTION.match(line):
            code.instructions.append(instruction[1])
    if name:
        yield name, code


def count_kernel(code: Code) -> Counts:
    """No mma.sp in a loop gives zeros."""
    opcodes = [opcode_of(instruction) for instruction in code.instructions]
    is_mma = [".SP" in opcode for opcode in opcodes]
    blocks = _blocks(code, opcodes)
    mmas = [sum(is_mma[block.begin : block.end]) for block in blocks]
    loops = [loop for loop in _loops(blocks) if sum(mmas[i] for i in loop)]
    innermost = [loop for loop in loops if not any(other < loop for other in loops)]
    main = max(innermost, key=lambda loop: sum(mmas[i] for i in loop), default=frozenset[int]())
    found = {
        opcode
        for i in main
        for opcode in opcodes[blocks[i].begin : blocks[i].end]
        if ".SP" in opcode
    }
    return Counts(
        sum(blocks[i].end - blocks[i].begin for i in main),
        sum(mmas[i] for i in main),
        " ".join(sorted(found)),
        sum(opcode.split(".")[0] in ("LDL", "STL") for opcode in opcodes),
    )


def opcode_of(instruction: str) -> str:
    """Without predicate and operands."""
    found = _OPCODE.match(instruction)
    return found[1] if found else ""


class _Block(NamedTuple):
    begin: int
    end: int
    next: tuple[int, ...]  # blocks


def _blocks(code: Code, opcodes: Sequence[str]) -> list[_Block]:
    """Basic blocks; the first is the entry."""
    targets = {}
    for i, opcode in enumerate(opcodes):
        target = _TARGET.search(code.instructions[i])
        if opcode.split(".")[0] in ("BRA", "BRX") and target and target[1] in code.labels:
            targets[i] = code.labels[target[1]]
    ends = {i for i, opcode in enumerate(opcodes) if _leaves(code.instructions[i], opcode)}
    begins = sorted({0, *targets.values(), *(i + 1 for i in (*targets, *ends))} - {len(opcodes)})
    block_at = {begin: block for block, begin in enumerate(begins)}
    blocks = []
    for begin, end in zip(begins, [*begins[1:], len(opcodes)], strict=True):
        following = [targets[end - 1]] if end - 1 in targets else []
        if end - 1 not in ends and end < len(opcodes):
            following.append(end)
        blocks.append(_Block(begin, end, tuple(block_at[i] for i in following)))
    return blocks


def _leaves(instruction: str, opcode: str) -> bool:
    """Whether the instruction after it is not what comes next."""
    if instruction.startswith("@"):
        return False
    if opcode.split(".")[0] in ("EXIT", "RET", "BRX", "KILL"):
        return True
    return re.match(r"BRA(\.U)? `", instruction) is not None


def _loops(blocks: Sequence[_Block]) -> list[frozenset[int]]:
    """The natural loops, those with one header made one."""
    before: list[list[int]] = [[] for _ in blocks]
    for i, block in enumerate(blocks):
        for follower in block.next:
            before[follower].append(i)
    dominators = _dominators(before)
    bodies: dict[int, set[int]] = {}
    for i, block in enumerate(blocks):
        for header in block.next:
            if dominators[i] >> header & 1:
                body = bodies.setdefault(header, {header})
                to_visit = [i]
                while to_visit:
                    at = to_visit.pop()
                    if at not in body:
                        body.add(at)
                        to_visit += before[at]
    return [frozenset(body) for body in bodies.values()]


def _dominators(before: Sequence[Sequence[int]]) -> list[int]:
    """Of each block a set, as bits; that of a block which nothing reaches is empty."""
    everything = (1 << len(before)) - 1
    found = [1, *[everything] * (len(before) - 1)]
    changed = True
    while changed:
        changed = False
        for i in range(1, len(before)):
            common = functools.reduce(int.__and__, (found[j] for j in before[i]), everything)
            new = (common | 1 << i) if before[i] else 0
            changed |= new != found[i]
            found[i] = new
    return found
