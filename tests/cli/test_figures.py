"""The figures parse, are the ones that are committed, and say what the index functions say."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from sparse_gemm import metadata_orders
from sparse_gemm.cli import figures

COMMITTED = Path(__file__).parents[2] / "docs" / "figures"
SVG = "{http://www.w3.org/2000/svg}"


def test_committed_figures_are_what_is_drawn_now(tmp_path: Path) -> None:
    drawn = figures.draw_all(tmp_path / "new" / "folder")
    assert [path.stem for path in drawn] == figures.figure_names()
    assert {path.name for path in drawn} == {path.name for path in COMMITTED.glob("*.svg")}
    for path in drawn:
        assert path.read_text() == (COMMITTED / path.name).read_text(), (
            f"{path.name} is out of date"
        )


@pytest.mark.parametrize("name", figures.figure_names())
def test_figure_is_xml_and_nothing_leaves_it(name: str, tmp_path: Path) -> None:
    figures.draw(name, tmp_path / "figure.svg")
    root = ET.parse(tmp_path / "figure.svg").getroot()
    assert root.tag == SVG + "svg"
    left, top, width, height = (float(v) for v in root.attrib["viewBox"].split())
    assert (left, top) == (0, 0)
    for rect in root.iter(SVG + "rect"):
        box = {key: float(rect.get(key, "0")) for key in ("x", "y", "width", "height")}
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
    for text in root.iter(SVG + "text"):
        assert text.text
        assert 0 < float(text.attrib["x"]) < width
        assert 0 < float(text.attrib["y"]) < height


def test_cells_carry_the_lanes_of_every_instruction(tmp_path: Path) -> None:
    drawn_instructions = set()
    for name in figures.figure_names():
        if not name.startswith("lanes_"):
            continue
        figures.draw(name, tmp_path / "figure.svg")
        root = ET.parse(tmp_path / "figure.svg").getroot()
        texts = list(root.iter(SVG + "text"))
        cells = {text.attrib["data-at"]: text.text for text in texts if "data-at" in text.attrib}
        words = " ".join(text.text or "" for text in texts)
        named = set(re.findall(r"w?g?mma\.sp\.\w+\.\w+", words))
        assert named
        assert not named & drawn_instructions
        drawn_instructions |= named
        for instruction in named:
            lanes = metadata_orders.lane_map(instruction)
            rows, groups = lanes.lane.shape
            assert cells == {
                f"{row},{group}": f"{lanes.lane[row, group]}:{lanes.bit[row, group]}"
                for row in range(rows)
                for group in range(groups)
            }
    assert drawn_instructions == set(metadata_orders.instructions())


def test_unknown_figure_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="figure is 'cat'; expected one of pattern_2_4"):
        figures.draw("cat", tmp_path / "cat.svg")
