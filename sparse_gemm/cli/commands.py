"""The command line: `python -m sparse_gemm info | selftest | draw | tune | convert | inspect`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sparse_gemm.checkpoints.cli import add_commands

_BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell reports it


def _info(_: argparse.Namespace) -> int:
    from sparse_gemm.cli import info

    print(info.report())
    return 0


def _selftest(arguments: argparse.Namespace) -> int:
    from sparse_gemm.cli import selftest

    return selftest.run(isa=arguments.isa)


def _draw(arguments: argparse.Namespace) -> int:
    from sparse_gemm.cli import figures

    for path in figures.draw_all(arguments.out_dir):
        print(path)
    return 0


def _tune(arguments: argparse.Namespace) -> int:
    from sparse_gemm import errors
    from sparse_gemm.planning import tuned_choices, tuning

    try:
        a = tuning.random_matrix(
            arguments.out_features, arguments.in_features, arguments.dtype, arguments.pattern
        )
        tokens = arguments.tokens or tuning.TOKENS
        found = tuning.tune(a, tokens, x_dtype=arguments.x_dtype)
    except (errors.UnsupportedError, TypeError, ValueError) as error:
        print(f"tune: {error}", file=sys.stderr)
        return 2
    for one in found:
        print(
            f"{one.tokens} token(s): {one.kernel} ({one.schedule}, {one.num_ctas} CTAs), "
            f"{one.microseconds:.1f} us; by the cost model {one.default_microseconds:.1f} us"
        )
    print(f"kept in {tuned_choices.path()}")
    return 1 if any(one.wrong for one in found) else 0


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

    tune = commands.add_parser(
        "tune", help="time the CUDA kernels for a weight's shape and types, and keep the best"
    )
    tune.add_argument("out_features", type=int, metavar="OUT_FEATURES")
    tune.add_argument("in_features", type=int, metavar="IN_FEATURES")
    tune.add_argument("--dtype", default="float16", help="of the weight (default: %(default)s)")
    tune.add_argument("--x-dtype", help="of the activations (default: as sparse_gemm.plan)")
    tune.add_argument("--pattern", default="2:4", help="2:4, 1:2 or 4:8 (default: %(default)s)")
    tune.add_argument(
        "--tokens", type=int, nargs="+", help="numbers of them (default: as sparse_gemm.tune)"
    )
    tune.set_defaults(run=_tune)

    add_commands(commands)
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
