"""The command line: `python -m sparse_gemm info | selftest | draw`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell reports it


def _info(_: argparse.Namespace) -> int:
    from sparse_gemm import info

    print(info.report())
    return 0


def _selftest(arguments: argparse.Namespace) -> int:
    from sparse_gemm import selftest

    return selftest.run(isa=arguments.isa)


def _draw(arguments: argparse.Namespace) -> int:
    from sparse_gemm import figures

    for path in figures.draw_all(arguments.out_dir):
        print(path)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sparse_gemm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="backends, instruction sets, why one is not available")
    info.set_defaults(run=_info)

    selftest = commands.add_parser(
        "selftest", help="check every type on this machine's backends against the NumPy reference"
    )
    selftest.add_argument("--isa", help="one instruction set alone, such as avx2 (default: each)")
    selftest.set_defaults(run=_selftest)

    draw = commands.add_parser("draw", help="draw the format's figures as SVG")
    draw.add_argument("out_dir", type=Path, metavar="OUT_DIR")
    draw.set_defaults(run=_draw)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, or 1 if a check failed, or 2 for bad usage."""
    arguments = _parser().parse_args(argv)
    try:
        status = int(arguments.run(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except OSError as error:
        print(f"{arguments.command}: {error}", file=sys.stderr)
        return 2
    return status
