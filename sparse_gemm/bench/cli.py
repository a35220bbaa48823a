"""Measures sparse_gemm beside its peers, renders results, and compares them.

python -m sparse_gemm.bench run SUITE... [options]      see `run --help`
python -m sparse_gemm.bench report RESULTS.json... --out DIR
python -m sparse_gemm.bench compare BEFORE.json AFTER.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sparse_gemm.bench import compare, devices, document, tables
from sparse_gemm.bench.cases import SUITES, Wanted
from sparse_gemm.bench.measure import failed
from sparse_gemm.bench.operands import OPERANDS
from sparse_gemm.bench.run import TINY, Settings, cases, described, run
from sparse_gemm.bench.shapes import MODELS, Layer

Find = Callable[[str], devices.Device]


def main(arguments: Sequence[str] | None = None, find: Find = devices.find) -> int:
    """The exit status: 0, 1 if a result is wrong or something became slower, 2 for bad usage.

    `find` gives the device of a kind; only stand-ins pass another.
    """
    parser = argparse.ArgumentParser(
        prog="python -m sparse_gemm.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands, find)
    _add_report(commands)
    _add_compare(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.command(options))
    except (OSError, RuntimeError, ValueError, ModuleNotFoundError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


def _add_run(commands: Any, find: Find) -> None:
    default = Settings()
    run_parser = commands.add_parser("run", help="measure")
    add = run_parser.add_argument
    add("suites", nargs="+", choices=list(SUITES), metavar="SUITE", help=", ".join(SUITES))
    add("--out", type=Path, metavar="FILE", help="JSON, written as results come")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--types", type=_types, metavar="A,B", help=f"of: {', '.join(OPERANDS)}")
    add("--tokens", type=_numbers, metavar="1,16", help="instead of the suite's; square: extents")
    add("--layers", type=_layers, metavar="4096x4096,Llama-2-7B", help="shapes or models")
    add("--seconds", type=float, default=default.seconds, help="for a case (%(default)s)")
    add("--minutes", type=float, help="for the whole run: cases share what is left of it")
    add("--energy", type=float, default=0.0, metavar="SECONDS", help="to read a product's power")
    add("--quick", action="store_true", help="tiny shapes: shows that it runs, measures nothing")
    add("--records", action="store_true", help="print a line of JSON a record, for programs")
    run_parser.set_defaults(command=lambda options: _run(options, find))


def _run(options: argparse.Namespace, find: Find) -> int:
    on_cpu = options.suites == ["cpu"]
    device = find("cpu" if on_cpu else options.device)
    settings = Settings(options.seconds, energy_seconds=options.energy)
    if options.quick or device.meaningless:
        settings = dataclasses.replace(TINY, energy_seconds=min(options.energy, TINY.seconds))
        device.meaningless = device.meaningless or "a --quick run: tiny shapes, next to no samples"
        device.rotated_bytes = 0
    if options.minutes is not None:
        settings = dataclasses.replace(settings, whole_seconds=60 * options.minutes)
    wanted = Wanted(options.types, options.tokens, options.layers, settings.tiny)
    every = cases(options.suites, wanted, device)
    made = document.new(device, described(settings, options.suites, wanted))
    results = document.Results(options.out, made)
    head = {"record": "head", **{key: made[key] for key in ("device", "software", "settings")}}
    print(json.dumps(head) if options.records else document.title(made), flush=True)
    with _Live(len(every), options.records) as live:
        for record in run(every, device, settings, live.show):
            made["records"].append(record)
            results.write()
    if not options.records:
        print(f"\n{tables.tables(made['records'])}")
        if made["meaningless"]:
            print(f"\nno figure here means anything: {made['meaningless']}")
    return 1 if any(failed(record) for record in made["records"]) else 0


class _Live:
    """A bar, and above it a line for each record, as it comes; or the records for a program."""

    def __init__(self, total: int, as_json: bool) -> None:
        self._as_json = as_json
        self._bar: Any = None
        if not as_json:
            try:
                from tqdm import tqdm  # type: ignore[import-untyped]
            except ModuleNotFoundError:
                return
            self._bar = tqdm(total=total, leave=False, disable=None)

    def __enter__(self) -> _Live:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, record: Any) -> None:
        """Prints it."""
        if self._as_json:
            print(json.dumps(record), flush=True)
        elif self._bar is None:
            print(tables.line(record), flush=True)
        else:
            self._bar.write(tables.line(record))
            self._bar.update()


def _types(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in OPERANDS]:
        raise argparse.ArgumentTypeError(f"no such type: {', '.join(unknown)}")
    return names


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers") from None


def _layers(text: str) -> list[Layer]:
    found: list[Layer] = []
    for name in text.split(","):
        if name in MODELS:
            found += MODELS[name]
            continue
        m, _, k = name.partition("x")
        if not (m.isdigit() and k.isdigit()):
            known = ", ".join(MODELS)
            raise argparse.ArgumentTypeError(f"{name!r} is neither like 4096x4096 nor of {known}")
        found.append(Layer(int(m), int(k)))
    return list(dict.fromkeys(found))


def _add_report(commands: Any) -> None:
    report = commands.add_parser("report", help="figures and one HTML page")
    report.add_argument("results", type=Path, nargs="+", metavar="RESULTS.json")
    report.add_argument("--out", type=Path, default=Path("report"), metavar="DIR")
    report.add_argument("--format", choices=("svg", "png"), default="svg", help="of the figures")
    report.set_defaults(command=_report)


def _report(options: argparse.Namespace) -> int:
    try:
        from sparse_gemm.bench import page
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        reason = "figures need matplotlib: pip install sparse_gemm[bench]"
        raise ModuleNotFoundError(reason) from error
    documents = [document.read(path) for path in options.results]
    for path in page.write(documents, options.out, options.format):
        print(path)
    return 0


def _add_compare(commands: Any) -> None:
    parser = commands.add_parser("compare", help="what became slower or faster")
    parser.add_argument("before", type=Path, metavar="BEFORE.json")
    parser.add_argument("after", type=Path, metavar="AFTER.json")
    parser.add_argument(
        *("--tolerance", "-t"),
        type=float,
        default=compare.TOLERANCE,
        help="changes below this share count as none (%(default)s)",
    )
    parser.set_defaults(command=_compare)


def _compare(options: argparse.Namespace) -> int:
    found = compare.compare(
        document.read(options.before), document.read(options.after), options.tolerance
    )
    print(compare.render(found))
    return 1 if any(verdict.word == "slower" for verdict in found) else 0
