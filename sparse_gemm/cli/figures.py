"""Draws the figures of `docs/format.md` as SVG, from the functions that the code itself uses.

`pattern_*` shows a few rows of a matrix, what of them is stored and which nibble says so;
`metadata_bytes` shows the bits of one row's metadata; `lanes_*` shows which lane of an instruction
supplies which bits. Each lanes figure stands for all instructions that share its order.
"""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import ml_dtypes
import numpy as np

from sparse_gemm import metadata_orders, reference

__all__ = ["draw", "draw_all", "figure_names"]

_MARGIN = 28
_LINE = 20  # height of a line of prose
_SIDE = 32  # of a cell that holds a number
_FAINT, _RULE, _BLANK, _PAPER = "#7b8794", "#cbd2d9", "#f5f7fa", "#ffffff"

_STYLE = """
text { font-family: "DejaVu Sans", Helvetica, Arial, sans-serif; font-size: 13px; fill: #1f2933 }
.title { font-size: 18px; font-weight: bold }
.head { font-weight: bold }
.cell, .code { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace }
.lane { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 11px }
.cell, .lane, .small, .mid { text-anchor: middle }
.small { font-size: 11px; fill: #7b8794 }
.zero { fill: #9aa5b1 }
.end { text-anchor: end }
"""


class _Canvas:
    """Collects SVG elements and remembers how far they reach."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.body: list[str] = []
        self.width = self.height = 0.0
        self.text(_MARGIN, _MARGIN + 14, title, "title")

    def rect(
        self, x: float, y: float, w: float, h: float, fill: str, extra: str = f'stroke="{_RULE}"'
    ) -> None:
        self.body.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="{fill}" {extra}/>'
        )
        self._reach(x + w, y + h)

    def text(self, x: float, y: float, words: str, css: str = "", extra: str = "") -> None:
        attributes = f' class="{css}"' * bool(css) + f" {extra}" * bool(extra)
        self.body.append(f'<text x="{x:g}" y="{y:g}"{attributes}>{escape(words)}</text>')
        # Generous for 13 px sans-serif; centred text stays inside what it labels.
        self._reach(x + 7.6 * len(words) * (css in ("", "head")), y)

    def cell(
        self, x: float, y: float, w: float, words: str, fill: str, is_stored_zero: bool = False
    ) -> None:
        dashed = f'stroke="{_FAINT}" stroke-dasharray="3 2"'
        self.rect(x, y, w, _SIDE, fill, dashed if is_stored_zero else f'stroke="{_RULE}"')
        self.text(x + w / 2, y + _SIDE * 2 / 3, words, "cell zero" if words == "0" else "cell")

    def bracket(self, x: float, y: float, w: float, words: str) -> None:
        path = f"M{x + 2:g} {y:g}v5h{w - 4:g}v-5"
        self.body.append(f'<path d="{path}" fill="none" stroke="{_FAINT}"/>')
        self.text(x + w / 2, y + 20, words, "small")

    def caption(self, lines: list[str]) -> None:
        top = self.height + 30
        for i, line in enumerate(lines):
            self.text(_MARGIN, top + i * _LINE, line)

    def _reach(self, right: float, bottom: float) -> None:
        self.width, self.height = max(self.width, right), max(self.height, bottom)

    def svg(self) -> str:
        w, h = self.width + _MARGIN, self.height + _MARGIN
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:g} {h:g}" '
            f'width="{w:g}" height="{h:g}" role="img">'
        )
        paper = f'<rect width="{w:g}" height="{h:g}" fill="{_PAPER}"/>'
        lines = [head, f"<title>{escape(self.title)}</title>", f"<style>{_STYLE}</style>", paper]
        return "\n".join([*lines, *self.body, "</svg>", ""])


def _color(hue: float, lightness: float, saturation: float = 0.62) -> str:
    red, green, blue = colorsys.hls_to_rgb(hue % 1, lightness, saturation)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def _group_color(group: int) -> str:
    return _color(0.56 + group * 0.618, 0.84)  # steps of the golden ratio keep neighbours apart


# -------------------------------------------------------------------------------------- patterns


class _Sample(NamedTuple):
    rows: list[list[int]]
    dtype: str
    caption: list[str]


_SAMPLES = {
    "2:4": _Sample(
        [
            [7, 0, 0, 2, 0, 5, -3, 0, 1, 8, 0, 0, 0, 0, -6, 4],
            [0, 2, 0, 6, 3, 0, 4, 0, 0, 9, 0, 0, 5, 0, 0, 0],
            [0, 0, 7, 0, 0, 0, 0, -1, 0, 0, 0, 0, 2, -5, 0, 0],
        ],
        "int8",
        [
            "Coloured cells are stored; a dashed cell is a zero that is stored because its group "
            "has fewer than two non-zeros.",
            "nibble = first place | second place << 2, so places 0 and 3 give 0 | 3 << 2 = 0xC.",
        ],
    ),
    "1:2": _Sample(
        [
            [7, 0, 0, 2, 0, 5, -3, 0, 1, 0, 0, 0],
            [0, 2, 6, 0, 3, 0, 0, 4, 0, 9, 5, 0],
        ],
        "float32",
        [
            "One element of two is stored: place 0 is written 0x4, place 1 is written 0xE.",
            "A dashed cell is the stored zero of an all-zero group: place 1.",
        ],
    ),
    "4:8": _Sample(
        [
            [7, -1, 0, 0, 0, 0, 2, 5, 0, 0, 0, 3, -4, 6, 0, 0],
            [0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -2, 7, 3],
        ],
        "int4",
        [
            "A place is a pair of neighbouring 4-bit elements; two of four pairs are stored, one a "
            "byte, the earlier element in the low nibble.",
            "A dashed pair is zero and stored because its group has fewer than two non-zero pairs.",
        ],
    ),
}


def _draw_pattern(pattern: str) -> str:
    sample, geometry = _SAMPLES[pattern], reference.PATTERNS[pattern]
    dtype = np.dtype(ml_dtypes.int4 if sample.dtype == "int4" else sample.dtype)
    dense = np.array(sample.rows).astype(dtype)
    packed = reference.compress(dense, pattern)
    stored = _stored_places(packed)
    m, k = dense.shape
    groups, places, size = k // geometry.group_size, geometry.places, geometry.place_size
    canvas = _Canvas(f"Pattern {pattern}: what is stored of {m} rows of {k} elements")

    # Three panels side by side: where each starts, how wide a group and a cell of it is.
    apart, gap, top = 44, 8, 122
    nibble_width = 46
    value_width = nibble_width if size == 2 else _SIDE
    dense_width, kept_width = geometry.group_size * _SIDE, geometry.kept * value_width
    x_values = _MARGIN + groups * (dense_width + gap) - gap + apart
    x_nibbles = x_values + groups * (kept_width + gap) - gap + apart
    canvas.text(_MARGIN, top - 46, f"w [{m}, {k}] {sample.dtype}", "head")
    values = packed.values
    canvas.text(x_values, top - 46, f"values [{m}, {values.shape[1]}] {values.dtype.name}", "head")
    canvas.text(x_nibbles, top - 46, f"nibbles [{m}, {groups}]", "head")

    for group in range(groups):
        fill = _group_color(group)
        x_dense = _MARGIN + group * (dense_width + gap)
        x_kept = x_values + group * (kept_width + gap)
        x_nibble = x_nibbles + group * nibble_width
        widths = {x_dense: dense_width, x_kept: kept_width, x_nibble: nibble_width}
        for x, width in widths.items():
            canvas.text(x + width / 2, top - 24, f"g{group}", "small")
        first = group * geometry.group_size
        for i in range(geometry.group_size):
            canvas.text(x_dense + (i + 0.5) * _SIDE, top - 8, str(first + i), "small")
        for row in range(m):
            y = top + row * (_SIDE + 6)
            elements = dense[row, first : first + geometry.group_size].reshape(places, size)
            kept = stored[row][group]
            for place in range(places):
                is_kept = place in kept
                is_stored_zero = is_kept and not elements[place].any()
                for i, element in enumerate(elements[place]):
                    x = x_dense + (place * size + i) * _SIDE
                    cell_fill = fill if is_kept else _BLANK
                    canvas.cell(x, y, _SIDE, str(int(element)), cell_fill, is_stored_zero)
            for i, place in enumerate(kept):
                value = int(values[row, group * geometry.kept + i])
                words = f"0x{value:02X}" if size == 2 else str(value)
                is_stored_zero = not elements[place].any()
                x = x_kept + i * value_width
                canvas.cell(x, y, value_width, words, fill, is_stored_zero)
            words = f"0x{_nibble(packed.metadata, row, group):X}"
            canvas.cell(x_nibble, y, nibble_width, words, fill)
    canvas.caption(sample.caption)
    return canvas.svg()


def _nibble(metadata: np.ndarray, row: int, group: int) -> int:
    return int(metadata[row, group // 2]) >> 4 * (group % 2) & 0xF


def _stored_places(packed: reference.Compressed) -> list[list[list[int]]]:
    """For each row and group the places that its nibble names."""
    m, k = packed.shape
    groups = -(-k // reference.PATTERNS[packed.pattern].group_size)
    nibbles = [
        [_nibble(packed.metadata, row, group) for group in range(groups)] for row in range(m)
    ]
    if packed.pattern == "1:2":
        return [[[nibble % 4 // 2] for nibble in row] for row in nibbles]
    return [[[nibble % 4, nibble // 4] for nibble in row] for row in nibbles]


# --------------------------------------------------------------------------------- metadata bytes


def _draw_metadata_bytes() -> str:
    row = [7, 0, 0, 2, 0, 5, -3, 0, 0, 0, 0, 0, 1, 8, 0, 0, 4, 0, 6, 0]
    packed = reference.compress(np.array([row], np.int8))
    stored = _stored_places(packed)[0]
    canvas = _Canvas("Metadata of a row with K = 20: five groups in three bytes")

    y = 102
    canvas.text(_MARGIN, y - 26, "a row of w", "head")
    for group, places in enumerate(stored):
        x_group = _MARGIN + group * (4 * _SIDE + 24)
        canvas.text(x_group + 2 * _SIDE, y - 8, f"group {group}", "small")
        for place in range(4):
            value, is_kept = row[4 * group + place], place in places
            x, fill = x_group + place * _SIDE, _group_color(group) if is_kept else _BLANK
            canvas.cell(x, y, _SIDE, str(value), fill, is_kept and value == 0)
            canvas.text(x + _SIDE / 2, y + _SIDE + 14, str(place), "small")

    y = 224
    canvas.text(_MARGIN, y - 42, "its metadata, highest bit of a byte first", "head")
    for byte, content in enumerate(packed.metadata[0]):
        x_byte = _MARGIN + byte * (8 * _SIDE + 22)
        canvas.text(x_byte + 4 * _SIDE, y - 22, f"byte {byte} = 0x{int(content):02X}", "mid code")
        for half in range(2):
            group, x_half = 2 * byte + half, x_byte + (1 - half) * 4 * _SIDE
            is_spare = group >= len(stored)
            for bit in range(4 * half, 4 * half + 4):
                x = x_byte + (7 - bit) * _SIDE
                canvas.text(x + _SIDE / 2, y - 6, str(bit), "small")
                fill = "#e4e7eb" if is_spare else _group_color(group)
                canvas.cell(x, y, _SIDE, str(int(content) >> bit & 1), fill)
            if is_spare:
                canvas.bracket(x_half, y + _SIDE + 6, 4 * _SIDE, "spare, 0xE")
                continue
            for i, place in enumerate(stored[group]):
                x = x_half + (1 - i) * 2 * _SIDE
                canvas.bracket(x, y + _SIDE + 6, 2 * _SIDE, f"idx{i} = {place}")
            canvas.text(x_half + 2 * _SIDE, y + _SIDE + 46, f"group {group}", "mid")
    canvas.caption(
        [
            "A group's nibble is idx0 | idx1 << 2; the earlier group of a byte is in the low half. "
            "Dashed cells are stored zeros.",
            "The spare half of an odd row is written 0xE and ignored on reading.",
        ]
    )
    return canvas.svg()


# ----------------------------------------------------------------------------------------- lanes


def _orders() -> dict[str, list[metadata_orders.Instruction]]:
    """Instructions by figure name; those that share an order share a figure."""
    seen: dict[bytes, str] = {}
    orders: dict[str, list[metadata_orders.Instruction]] = {}
    for instruction in metadata_orders.instructions().values():
        lanes = metadata_orders.lane_map(instruction.name)
        key = repr((lanes.lane.tolist(), lanes.bit.tolist())).encode()
        name = seen.setdefault(key, "lanes_" + instruction.name.replace(".", "_"))
        orders.setdefault(name, []).append(instruction)
    return orders


def _lane_color(lane: int) -> str:
    """A hue for each quad, a shade for each lane of it."""
    return _color((lane // 4 % 8) * 3 / 8 + 0.56, 0.92 - 0.06 * (lane % 4))


def _draw_lanes(instructions: list[metadata_orders.Instruction]) -> str:
    shape = instructions[0]
    lanes = metadata_orders.lane_map(shape.name)
    width, height, x_grid, y_grid = 52, 22, _MARGIN + 44, 112
    canvas = _Canvas(f"{shape.name}: which lane supplies which bits")
    canvas.text(x_grid, y_grid - 30, "group along K", "head")
    canvas.text(x_grid - 12, y_grid - 8, "row", "small end")
    for group in range(shape.num_groups):
        canvas.text(x_grid + (group + 0.5) * width, y_grid - 8, str(group), "small")
    for row in range(shape.rows):
        y = y_grid + row * height + row // 8 * 6  # a gap between the row blocks of eight
        canvas.text(x_grid - 12, y + 15, str(row), "small end")
        of_row = lanes.lane[row].tolist()
        for lane in sorted(set(of_row)):
            x, run = x_grid + of_row.index(lane) * width, of_row.count(lane)
            canvas.rect(x, y, run * width, height, _lane_color(lane))
        for group, lane in enumerate(of_row):
            words, at = f"{lane}:{lanes.bit[row, group]}", f'data-at="{row},{group}"'
            canvas.text(x_grid + (group + 0.5) * width, y + 15, words, "lane", at)

    caption = [
        "lane:bit says where the nibble of a row and group starts: in which lane, and at",
        "which bit of its 32-bit register. One colour a quad of lanes, one shade a lane.",
    ]
    if shape.num_selectors > 1:
        caption.append(
            f"Drawn for selector 0; selector s, up to {shape.num_selectors - 1}, "
            f"adds {4 // shape.num_selectors} * s to the lane."
        )
    else:
        caption.append("All four lanes of a quad supply metadata; the selector is 0.")
    caption.append("Instructions of this order:")
    caption.extend(
        f"{each.name} ({', '.join(each.types.split())}; groups of {each.group_size})"
        for each in instructions
    )
    canvas.caption(caption)
    return canvas.svg()


# ---------------------------------------------------------------------------------------- public


def figure_names() -> list[str]:
    """The names of all figures, in the order of `docs/format.md`."""
    patterns = ["pattern_" + pattern.replace(":", "_") for pattern in _SAMPLES]
    return [*patterns, "metadata_bytes", *_orders()]


def draw(name: str, path: str | Path) -> None:
    """Writes the figure of that name to path, as SVG; ValueError if there is none."""
    if name not in figure_names():
        raise ValueError(f"figure is {name!r}; expected one of {', '.join(figure_names())}")
    if name == "metadata_bytes":
        svg = _draw_metadata_bytes()
    elif name.startswith("pattern_"):
        svg = _draw_pattern(name.removeprefix("pattern_").replace("_", ":"))
    else:
        svg = _draw_lanes(_orders()[name])
    Path(path).write_text(svg, encoding="utf-8")


def draw_all(out_dir: str | Path) -> list[Path]:
    """Writes every figure to out_dir as NAME.svg, making the folder; returns the paths."""
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = [out_dir / f"{name}.svg" for name in figure_names()]
    for path in paths:
        draw(path.stem, path)
    return paths
