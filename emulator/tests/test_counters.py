"""Counters equal what can be counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from emulated import compile_cuda, counters, run

SOURCE = Path(__file__).parent / "counts.cu"


@pytest.fixture(scope="module")
def counts() -> Path:
    return compile_cuda(SOURCE)


def launch(counts: Path, kernel: str, folder: Path, *options: str) -> dict[str, Any]:
    result = run("--counters", folder / "counters.json", *options, counts, kernel)
    assert (result.status, result.err) == (0, "")
    (only,) = counters(folder / "counters.json")
    return only


def executions(counted: dict[str, Any], opcode: str) -> int:
    return sum(n for name, n in counted["instructions"].items() if name.startswith(opcode))


@pytest.mark.parametrize(
    ("kernel", "sectors", "num_bytes"),
    [
        ("coalesced", 4 + 4, 128 + 128),
        ("every_other", 8 + 4, 128 + 128),
        # eight lanes load 16 bytes each, 128 bytes apart; they store 4 bytes each, 16 bytes apart
        ("quarter_lanes", 8 + 4, 128 + 32),
    ],
)
def test_global_sectors(
    counts: Path, tmp_path: Path, kernel: str, sectors: int, num_bytes: int
) -> None:
    counted = launch(counts, kernel, tmp_path)
    assert counted["global"] == {"sectors": sectors, "bytes": num_bytes}
    assert executions(counted, "ld.global") == executions(counted, "st.global") == 1


@pytest.mark.parametrize(
    ("kernel", "wavefronts", "conflicts"),
    [
        ("shared_store_1", 1, 0),
        ("shared_store_2", 2, 1),
        ("shared_store_32", 32, 31),
        ("shared_broadcast", 1 + 1, 0),
        ("shared_vector_store", 4, 0),
        # what fills the tile: a word a lane and turn, then the ldmatrix
        ("load_matrices_16", 4 + 4, 0),
        ("load_matrices_128", 32 + 32, 28),
    ],
)
def test_shared_wavefronts(
    counts: Path, tmp_path: Path, kernel: str, wavefronts: int, conflicts: int
) -> None:
    counted = launch(counts, kernel, tmp_path)
    assert counted["shared"] == {"wavefronts": wavefronts, "bank_conflicts": conflicts}


def test_mma_of_all_warps(counts: Path, tmp_path: Path) -> None:
    counted = launch(counts, "multiply", tmp_path)
    assert counted["mma"] == {"sp.m16n8k32.f32.f16.f16.f32": 3 * 2 * 5}
    assert counted["grid"] == [3, 1, 1]
    assert counted["block"] == [64, 1, 1]


def test_occupancy_follows_the_register_table(counts: Path, tmp_path: Path) -> None:
    unknown = launch(counts, "coalesced", tmp_path)
    table = tmp_path / "registers.txt"
    table.write_text(f"80 {unknown['kernel']} 128\n")
    env = {"EMULATOR_REGISTERS": str(table)}
    result = run("--counters", tmp_path / "counters.json", counts, "coalesced", env=env)
    assert result.status == 0
    (known,) = counters(tmp_path / "counters.json")
    # one warp a CTA: 32 CTAs by the limit of an SM; 65536 registers hold 16 warps of 32 * 128
    assert (unknown["registers"], unknown["ctas_per_sm"]) == (0, 32)
    assert (known["registers"], known["ctas_per_sm"]) == (128, 16)


def test_by_source_line(counts: Path, tmp_path: Path) -> None:
    counted = launch(counts, "shared_store_32", tmp_path, "--by-line")
    lines = {
        int(place.rpartition(":")[2]): line
        for place, line in counted["lines"].items()
        if line["wavefronts"]
    }
    source = SOURCE.read_text().splitlines()
    (number,) = lines
    assert "st.shared.b32" in source[number - 1]
    assert (lines[number]["wavefronts"], lines[number]["bank_conflicts"]) == (32, 31)


def test_listing_shows_the_source_beside_its_counters(counts: Path, tmp_path: Path) -> None:
    launch(counts, "every_other", tmp_path, "--listing", str(tmp_path / "listing"))
    (line,) = [
        text
        for text in (tmp_path / "listing").read_text().splitlines()
        if "in[2 * threadIdx.x]" in text
    ]
    assert line.split()[3] == str(8 + 4)  # sectors of the load and of the store


def test_table_has_a_row_for_each_launch(counts: Path) -> None:
    result = run("--table", counts, "multiply")
    assert result.status == 0
    (row,) = [text for text in result.err.splitlines() if "multiply(" in text]
    assert row.split()[-5] == "30"
