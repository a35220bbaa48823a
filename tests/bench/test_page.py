"""Figures and the page: what they show is what the document says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sparse_gemm.bench import series
from sparse_gemm.bench.names import OURS


def spread(median: float) -> dict[str, float]:
    return {"median": median, "p10": median * 0.9, "p90": median * 1.1}


def document(shapes: int = 2) -> dict[str, Any]:
    """Ours is 1.5 times as fast as dense with one token and 3 times with 16; cuSPARSELt half."""
    records: list[dict[str, Any]] = [
        {
            **{"record": "bandwidth", "suite": "decode", "type": "float16", "baseline": None},
            **{"m": 0, "k": 0, "tokens": 0},
            "variants": {"read": {"role": "ceiling", "seconds": spread(1.0), "gb_per_s": 2000.0}},
        }
    ]
    for shape in range(shapes):
        for tokens, speedup in ((1, 1.5), (16, 3.0)):
            ours = {
                **{"role": "ours", "seconds": spread(1e-5), "weight_bytes": 1000},
                **{"speedup": spread(speedup * (1 + shape)), "dense_equiv_tflops": 10.0 * tokens},
                **{"percent_of_sparse_peak": 2.0 * tokens},
                "energy": {"per_watt_over_dense": 1.3},
            }
            dense = {"role": "dense", "seconds": spread(2e-5), "speedup": spread(1.0)}
            dense |= {"dense_equiv_tflops": 5.0 * tokens, "energy": {"per_watt_over_dense": 1.0}}
            sparse = {"role": "sparse", "seconds": spread(4e-5), "speedup": spread(0.5)}
            records.append(
                {
                    **{"record": "linear", "suite": "decode", "type": "float16"},
                    **{"m": 64 * (shape + 1), "k": 128, "tokens": tokens},
                    **{"rounds": 9, "baseline": "torch dense"},
                    "variants": {
                        OURS: ours,
                        "torch dense": dense,
                        "cuSPARSELt": sparse,
                        "torchao": {"role": "sparse", "absent": "ImportError: <no torchao>"},
                    },
                }
            )
    ceiling = {"instruction": "mma.sp", "dtype": "float16", "dense_equiv_tflops": spread(500.0)}
    records.append({"record": "mma", "seconds": spread(1e-3), **ceiling})
    return {
        **{"schema": 2, "meaningless": None, "commit": "abc", "began": "2026-01-01"},
        "device": {"kind": "cuda", "name": "NVIDIA <Test>", "driver": "1", "energy": "NVML"},
        "software": {"sparse_gemm": "0.1.0", "torch": "2.13.0"},
        "records": records,
    }


def test_a_line_a_peer_by_tokens() -> None:
    first, second = series.speedups(document())
    assert (first.title, second.title) == ("float16, 64x128", "float16, 128x128")
    assert list(first.lines) == [OURS, "cuSPARSELt"]
    assert [(p.x, p.y) for p in first.lines[OURS]] == [(1, 1.5), (16, 3.0)]
    assert [(p.x, p.y) for p in second.lines["cuSPARSELt"]] == [(1, 0.5), (16, 0.5)]


def test_convolutions_of_one_shape_are_told_apart_by_where_they_are() -> None:
    """By batch, not by tokens, so that both have the same axis."""
    found = document(shapes=1)
    for record, tokens in zip(found["records"][1:3], (49, 196), strict=True):
        record |= {"suite": "conv-as-gemm", "batch": 1, "tokens": tokens}
    panels = series.speedups(found)
    assert [panel.title for panel in panels] == [
        *("float16, 64x128 at 49 places", "float16, 64x128 at 196 places")
    ]
    assert {(p.x, panel.x_label) for panel in panels for p in panel.lines[OURS]} == {(1, "batch")}


def test_the_mean_of_layers_is_the_geometric_one() -> None:
    (panel,) = series.means(document())
    assert [p.y for p in panel.lines[OURS]] == pytest.approx([1.5 * 2**0.5, 3 * 2**0.5])


def test_heat_map_energy_and_roofline_are_of_the_records() -> None:
    (heat,) = series.heat_maps(document())
    assert (heat.rows, heat.columns) == (["64x128", "128x128"], [1, 16])
    assert heat.values == [[1.5, 3.0], [3.0, 6.0]]
    assert {p.y for panel in series.per_watt(document()) for p in panel.lines[OURS]} == {1.3}
    (roof,) = series.rooflines(document())
    assert roof.bandwidth == 2e12
    assert roof.roofs["fastest dense measured"] == 80e12
    assert roof.roofs["sparse peak at the sampled clock"] == pytest.approx(500e12)
    assert roof.points[0] == (2 * 64 * 128 / 1000, 10e12)


class Closed(HTMLParser):
    """Every element that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_page_needs_nothing_else(tmp_path: Path, form: str) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (.[bench])")
    from sparse_gemm.bench import page

    page_path, *figures = page.write([document(), document()], tmp_path, form)
    text = page_path.read_text()
    parser = Closed()
    parser.feed(text)
    assert parser.open == []
    assert all(ref.startswith(("#", "data:")) for ref in parser.references)
    assert not re.search(r"url\((?!#)", text)
    for escaped in ("NVIDIA &lt;Test&gt;", "&lt;no torchao&gt;"):
        assert escaped in text
    assert "<Test>" not in text
    assert "<td>mma.sp</td><td>float16</td><td>500</td>" in text
    sections = {path.name.split("-")[1] for path in figures}
    assert sections == {"speed", "heat", "watt", "roofline"}
    if form == "svg":
        ids = re.findall(r'\bid="([^"]+)"', text)
        assert len(ids) == len(set(ids))
        for path in figures:
            root = ElementTree.parse(path).getroot()
            assert root.tag.endswith("svg")
        assert any("cuSPARSELt" in path.read_text() for path in figures)


def test_no_mean_is_drawn_of_layers_without_a_token_count_in_common() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (.[bench])")
    from sparse_gemm.bench import page

    found = document(30)
    for record in found["records"][1:3]:
        record["tokens"] *= 2
    found["records"][2]["tokens"] += 1
    assert not [picture for picture in page.pictures(found) if picture.section == "speed"]


def test_many_panels_become_means(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (.[bench])")
    from sparse_gemm.bench import page

    titles = [picture.title for picture in page.pictures(document(shapes=20))]
    assert titles[0] == "float16, mean of 20 layers"
    assert len(titles) < 25
