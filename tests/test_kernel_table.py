"""The table of kernels: what reads machine code and logs, and that what is committed fits together.

Fresh counts are compared with it in test_sass.py and kernels/test_kernel_counts.py.
"""

from __future__ import annotations

import copy
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from benchmarks.kernel_table import document, fat_binary, predictions, ptxas_log, render, sass
from sparse_gemm import _C

LISTING = """\
//--------------------- .text.multiply --------------------------
	.section	.text.multiply,"ax",@progbits
multiply:
.text.multiply:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_outer:
        /*0010*/                   LDG.E R2, [R4.64] ;
.L_loop:
        /*0020*/               @P1 BRA `(.L_cold) ;
.L_back:
        /*0030*/                   HMMA.SP.16832.F32 R8, R0, R2, R8, R3, 0x0 ;
        /*0040*/                   HMMA.SP.16832.F32 R8, R0, R2, R8, R3, 0x1 ;
        /*0050*/               @P0 BRA `(.L_loop) ;
        /*0060*/                   IADD3 R1, R1, 0x1, RZ ;
.L_last:
        /*0070*/                   HMMA.SP.16832.F32 R8, R0, R2, R8, R3, 0x0 ;
        /*0080*/              @!P0 BRA `(.L_last) ;
.L_wait:
        /*0090*/                   LDS R9, [R9] ;
        /*00a0*/               @P3 BRA `(.L_wait) ;
        /*00b0*/               @P2 BRA `(.L_outer) ;
        /*00c0*/                   EXIT ;
.L_cold:
        /*00d0*/                   STL [R1], R2 ;
        /*00e0*/                   BRA `(.L_back) ;
.L_end:
        /*00f0*/                   BRA `(.L_end) ;
//--------------------- .text.other --------------------------
        /*0000*/                   EXIT ;
"""


def test_the_main_loop_is_found() -> None:
    """The innermost with the most mma.sp, with its part that stands elsewhere and nothing more."""
    names_and_codes = dict(sass.kernels(LISTING))
    assert list(names_and_codes) == ["multiply", "other"]
    counts = sass.count_kernel(names_and_codes["multiply"])
    assert counts == sass.Counts(6, 2, "HMMA.SP.16832.F32", 1)
    assert sass.count_kernel(names_and_codes["other"]) == sass.Counts(0, 0, "", 0)


def test_a_loop_that_is_unrolled_by_none_is_found() -> None:
    listing = LISTING.replace("@P0 BRA `(.L_loop)", "@P0 BRA `(.L_last)")
    counts = sass.count_kernel(dict(sass.kernels(listing))["multiply"])
    assert counts[:2] == (2, 1)


def test_ptxas_log_is_read() -> None:
    log = """\
ptxas info    : Compiling entry function 'one' for 'sm_80'
ptxas info    : Function properties for one
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 254 registers, used 1 barriers, 128 bytes smem, 736 bytes cmem[0]
[3/9] Building CUDA object
ptxas info    : Compiling entry function 'one' for 'sm_89'
ptxas info    : Function properties for one
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 96 registers, used 1 barriers, 736 bytes cmem[0]
"""
    assert ptxas_log.parse(log) == {
        ("sm_80", "one"): ptxas_log.Usage(254, 20, 16, 128),
        ("sm_89", "one"): ptxas_log.Usage(96, 0, 0, 0),
    }


needs_binutils = pytest.mark.skipif(
    shutil.which("g++") is None or shutil.which("objcopy") is None, reason="no g++ or no objcopy"
)


def fat_binary_of(entries: list[tuple[int, int, int, bytes]]) -> bytes:
    """A fat binary of entries (kind, architecture, flags, bytes)."""
    payload = b""
    for kind, architecture, flags, content in entries:
        header = struct.pack("<HHIQ", kind, 0x101, 64, len(content)).ljust(28, b"\0")
        payload += (header + struct.pack("<I8xQ", architecture, flags)).ljust(64, b"\0") + content
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(payload)) + payload


def module_with(path: Path, section: bytes) -> Path:
    """An ELF file with these fat binaries."""
    content, module = path / "content", path / "module.o"
    content.write_bytes(section)
    (path / "empty.s").write_text("")
    subprocess.run(["g++", "-c", "-o", module, path / "empty.s"], check=True)
    added = [f"--add-section=.nv_fatbin={content}", "--set-section-flags=.nv_fatbin=alloc,readonly"]
    subprocess.run(["objcopy", *added, module], check=True)
    return module


@needs_binutils
def test_machine_code_is_taken_out_of_a_module(tmp_path: Path) -> None:
    one = fat_binary_of([(1, 80, 0, b"// PTX\0\0"), (2, 80, 0, b"ELF of 80")])
    two = fat_binary_of([(2, 89, 0, b"ELF of 89")])
    module = module_with(tmp_path, one + b"\0" * 8 + two)
    assert list(fat_binary.cubins(module)) == [(80, b"ELF of 80"), (89, b"ELF of 89")]


@needs_binutils
def test_compressed_machine_code_is_refused(tmp_path: Path) -> None:
    module = module_with(tmp_path, fat_binary_of([(2, 80, 0x8000, b"zstd")]))
    with pytest.raises(ValueError, match="compressed"):
        list(fat_binary.cubins(module))


def test_every_change_is_told() -> None:
    committed = document.read()["rows"]
    assert document.changes(committed, committed) == []
    fresh = copy.deepcopy(committed)
    name = next(iter(fresh))
    fresh[name]["sm_80"]["registers"] += 1
    fresh[name]["stage"]["bank_conflicts"] += 2
    fresh["added"] = {"threads": 128}
    known = committed[name]["sm_80"]["registers"]
    assert document.changes(committed, fresh) == [
        f"{name}, sm_80, registers: {known + 1}, was {known}",
        f"{name}, stage, bank_conflicts: 2, was 0",
        "added: new",
    ]


def test_the_document_survives_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed, text = document.read(), document.PATH.read_text()
    monkeypatch.setattr(document, "PATH", tmp_path / "kernels.json")
    document.write(committed)
    assert document.PATH.read_text() == text


def test_the_committed_table_is_of_the_kernels_that_exist() -> None:
    rows = document.read()["rows"]
    kernels = _C.cuda_kernels()
    assert list(rows) == [document.name_of(row) for row in kernels], document.REGENERATE
    for kernel in kernels:
        row = rows[document.name_of(kernel)]
        assert row["threads"] == kernel["num_threads"], document.REGENERATE
        assert 0 <= row["shared_bytes"] - kernel["shared_bytes"] < 1024, document.REGENERATE


def test_the_documentation_shows_the_committed_table() -> None:
    text = render.DOCS.read_text()
    assert render.with_table(text, document.read()) == text, document.REGENERATE


def test_the_planner_has_the_committed_issue_slots() -> None:
    committed = document.read()
    assert render.SLOTS.read_text() == render.issue_slots(committed), document.REGENERATE
    for kernel in _C.cuda_kernels():
        row = committed["rows"][document.name_of(kernel)]
        aligned = kernel["b_load"] == "aligned"
        expected = render.slots_of_stage(row, kernel) if aligned else 0
        assert kernel["slots_per_stage"] == expected, document.REGENERATE


def test_the_committed_predictions_are_the_planners() -> None:
    committed = document.read()
    changed = document.changes(committed["rows"], document.predicted())
    assert not changed, "\n".join([*changed, document.REGENERATE])
    assert predictions.losses() == committed["losses"], document.REGENERATE


def test_every_ctas_per_sm_that_the_planner_counts_with_fits() -> None:
    """Launch bounds that ptxas could not keep would make it spill; here they would show first."""
    rows = document.read()["rows"]
    for kernel in _C.cuda_kernels():
        row = rows[document.name_of(kernel)]
        if "sm_80" in row:
            by_shared = render.A100.shared_bytes // (row["shared_bytes"] + 1024)
            assert render.ctas(row, render.A100) >= min(kernel["ctas_per_sm"], by_shared)
