"""`python -m sparse_gemm convert` and `inspect`: the commands that work on checkpoints."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Adds the commands to what argparse's add_subparsers() returned."""
    convert = commands.add_parser(
        "convert", help="convert a 2:4 checkpoint, a file or a Hugging Face folder"
    )
    convert.add_argument("source", type=Path, metavar="SRC")
    convert.add_argument("destination", type=Path, metavar="DST")
    convert.add_argument(
        "--to", default="sparse_gemm", metavar="FORMAT", help="default: sparse_gemm; or dense, ..."
    )
    _add_tile_k(convert)
    convert.add_argument(
        "--max-shard-bytes", type=float, default=5e9, help="a folder's files are kept below this"
    )
    convert.add_argument("--quiet", action="store_true", help="no progress bar")
    convert.set_defaults(run=_convert)
    inspect = commands.add_parser(
        "inspect", help="what a checkpoint holds, how sparse it is, and whether it is valid"
    )
    inspect.add_argument("path", type=Path, metavar="PATH")
    _add_tile_k(inspect)
    inspect.add_argument("--quiet", action="store_true", help="no progress bar")
    inspect.set_defaults(run=_inspect)


def _add_tile_k(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tile-k",
        type=int,
        choices=(64, 128),
        help="of the CUTLASS 3.x kernel that the file was made for",
    )


def _convert(arguments: argparse.Namespace) -> int:
    from sparse_gemm.checkpoints import convert

    try:
        report = convert(
            arguments.source,
            arguments.destination,
            to=arguments.to,
            tile_k=arguments.tile_k,
            max_shard_bytes=int(arguments.max_shard_bytes),
            progress=not arguments.quiet,
        )
    except ValueError as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    print(report)
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    from sparse_gemm.checkpoints import inspect

    try:
        report = inspect(arguments.path, tile_k=arguments.tile_k, progress=not arguments.quiet)
    except ValueError as error:
        print(f"inspect: {error}", file=sys.stderr)
        return 1
    print(report)
    return 0 if report.is_valid else 1
