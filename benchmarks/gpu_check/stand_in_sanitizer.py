"""Stands in for compute-sanitizer where there is no GPU: says so, and runs the program.

What it would look for, the emulator looks for by itself, and makes emulator/run end with 66.
"""

from __future__ import annotations

import subprocess
import sys


def main() -> int:
    """The program's exit status; options of compute-sanitizer come first."""
    tool, *program = sys.argv[sys.argv.index("--tool") + 1 :]
    print(
        f"a stand-in for compute-sanitizer --tool {tool}: the emulator checks instead", flush=True
    )
    return subprocess.run(program).returncode


if __name__ == "__main__":
    sys.exit(main())
