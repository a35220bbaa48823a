"""Documents -> figures in files, and one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from sparse_gemm.bench import document as documents_
from sparse_gemm.bench import plots, series, tables

Document = Mapping[str, Any]

_MOST_PANELS = 12  # of a kind; above, one a type with the mean of all layers
_HEADINGS = {
    "speed": (
        "Speed over dense, by tokens",
        "The fastest dense time over each way's, round by round; the line at 1 is dense. The shade "
        "is from the 10th to the 90th percentile.",
    ),
    "heat": (
        "By layer",
        "The fastest dense time over ours: above 1, ours is faster.",
    ),
    "roofline": (
        "Roofline",
        "Each point is a product of ours. Multiplications by pruned weights count as done.",
    ),
    "watt": (
        "Performance per watt",
        "Calls for a joule, those of the fastest dense being 1.",
    ),
}


class Picture(NamedTuple):
    """A figure and where it belongs."""

    section: str
    title: str
    figure: Figure


def write(documents: Sequence[Document], out: Path, form: str = "svg") -> list[Path]:
    """Writes index.html and a file a figure into `out`; returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    paths, parts = [], []
    for number, document in enumerate(documents):
        shown: dict[str, list[str]] = {}
        for index, picture in enumerate(pictures(document)):
            data = plots.save(picture.figure, form)
            path = out / f"{number}-{picture.section}-{index}-{_slug(picture.title)}.{form}"
            path.write_bytes(data)
            paths.append(path)
            shown.setdefault(picture.section, []).append(
                _embedded(data, form, picture.title, path.stem)
            )
        parts.append(_section(document, shown))
    page = out / "index.html"
    page.write_text(_PAGE.format(style=_STYLE, body="\n".join(parts)), encoding="utf-8")
    return [page, *paths]


def pictures(document: Document) -> Iterator[Picture]:
    """All that can be drawn of a document."""
    panels = series.speedups(document)
    if len(panels) > _MOST_PANELS:
        panels = series.means(document)
    for panel in panels:
        if any(len(points) > 1 for points in panel.lines.values()):
            yield Picture("speed", panel.title, plots.speedup(panel))
    for of in series.heat_maps(document):
        yield Picture("heat", of.title, plots.heat_map(of))
    for panel in series.per_watt(document):
        yield Picture("watt", panel.title, plots.speedup(panel, "calls a joule, dense = 1"))
    for roof in series.rooflines(document):
        yield Picture("roofline", roof.title, plots.roofline(roof))


def _section(document: Document, shown: Mapping[str, Sequence[str]]) -> str:
    title = html.escape(document["device"].get("name", "?"))
    lines = [f"<section><h1>{title}</h1>", f"<p>{html.escape(documents_.title(document))}</p>"]
    if document["meaningless"]:
        reason = html.escape(document["meaningless"])
        lines.append(f'<p class="warning">No time on this page means anything: {reason}</p>')
    for section, (heading, text) in _HEADINGS.items():
        if figures := shown.get(section):
            lines.append(f"<h2>{heading}</h2><p>{text}</p>")
            lines.append(f'<div class="figures {section}">{"".join(figures)}</div>')
        elif section == "watt":
            lines.append(f"<h2>{heading}</h2><p>{html.escape(_no_energy(document))}</p>")
    lines += ["<h2>All figures</h2>", *_tables(document), "</section>"]
    return "\n".join(lines)


def _no_energy(document: Document) -> str:
    return f"Not measured: {document['device'].get('energy', 'this run read no power')}."


def _embedded(data: bytes, form: str, title: str, name: str) -> str:
    """`name`: of no other figure on the page."""
    alt = html.escape(title)
    if form == "svg":
        svg = data.decode()
        svg = _unique_ids(svg[svg.index("<svg") :], f"f{name}")
        return f'<figure role="img" aria-label="{alt}">{svg}</figure>'
    encoded = base64.b64encode(data).decode()
    return f'<figure><img alt="{alt}" src="data:image/png;base64,{encoded}"></figure>'


def _unique_ids(svg: str, prefix: str) -> str:
    """Several drawings on one page must not share the names of their parts."""
    svg = re.sub(r'id="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    return re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)


def _tables(document: Document) -> Iterator[str]:
    """A table for each kind of record, closed until it is wanted."""
    for kind in dict.fromkeys(record["record"] for record in document["records"]):
        records = [r for r in document["records"] if r["record"] == kind]
        if "variants" not in records[0]:
            yield from _ceilings(kind, records)
            continue
        records = [record for record in records if record["variants"]]
        if not records:
            continue
        names = list(dict.fromkeys(name for record in records for name in record["variants"]))
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *names, "figures of ours"))
        rows = [_row(record, names) for record in records]
        yield f"<details><summary>{kind}: {len(records)} case(s)</summary>"
        yield f'<div class="table"><table><tr>{head}</tr>{"".join(rows)}</table></div></details>'
    for text in tables.reasons(document["records"]):
        yield "<details><summary>What is absent or went wrong</summary>"
        yield f"<pre>{html.escape(text)}</pre></details>"


_CEILING_NAMES = [
    "case",
    "instruction",
    "dtype",
    "sparse",
    "warps",
    "a_from",
    "tile_m",
    "tile_n",
    "fills",
]
_CEILING_RATES = ("gb_per_s", "dense_equiv_tflops", "clk_per_instruction")


def _ceilings(kind: str, records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What gpu-check's bare loops reached."""
    keys = [key for key in (*_CEILING_NAMES, *_CEILING_RATES) if key in records[0]]
    rows = []
    for record in records:
        values = [record.get(key, "") for key in keys]
        texts = [f"{v['median']:.4g}" if isinstance(v, dict) else str(v) for v in values]
        rows.append("".join(f"<td>{html.escape(text)}</td>" for text in texts))
    head = "".join(f"<th>{html.escape(key.replace('_', ' '))}</th>" for key in keys)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    yield f"<details><summary>{kind}: {len(records)} ceiling(s)</summary>"
    yield f'<div class="table"><table><tr>{head}</tr>{body}</table></div></details>'


def _row(record: Mapping[str, Any], names: Sequence[str]) -> str:
    cells = [f"<th>{html.escape(tables.label(record))}</th>"]
    for name in names:
        variant = record["variants"].get(name)
        text = "" if variant is None else tables.cell(variant)
        if variant is not None and (speedup := variant.get("speedup")):
            text += f" <small>{speedup['median']:.2f}x</small>"
        cells.append(f"<td>{text}</td>")
    return f"<tr>{''.join(cells)}<td>{html.escape(tables.figures(record))}</td></tr>"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 0 auto;
  padding: 1rem; max-width: 76rem; }
h1 { font-size: 1.5rem; margin: 1rem 0 0.2rem; }
h2 { font-size: 1.15rem; margin: 1.8rem 0 0.2rem; }
p { margin: 0.2rem 0 0.8rem; max-width: 48rem; overflow-wrap: anywhere; }
.warning { background: #fff3cd; border-left: 4px solid #e69f00; padding: 0.5rem 0.8rem; }
.figures { display: grid; gap: 0.8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); }
.heat { grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); }
figure { margin: 0; max-width: 32rem; }
figure svg, figure img { width: 100%; height: auto; display: block; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #ddd; }
tr th:first-child, td:last-child { text-align: left; }
tr:first-child th { border-bottom: 2px solid #888; }
small { color: #666; }
details { margin: 0.5rem 0; }
summary { cursor: pointer; }
pre { white-space: pre-wrap; font-size: 0.85rem; }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>sparse_gemm: measured</title><style>{style}</style></head>
<body>
{body}
</body></html>
"""
