"""Counts anew: python -m benchmarks.instruction_counts."""

from __future__ import annotations

import json

from benchmarks import instruction_counts as counts


def main() -> None:
    """Writes the figures of every instruction set of this machine."""
    figures = {isa: counts.count(isa) for isa in (*counts.BY_VALGRIND, *counts.BY_STEPS)}
    document = {"compiler": counts.compiler(), "figures": figures}
    counts.PATH.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
