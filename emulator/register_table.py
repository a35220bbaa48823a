"""Asks ptxas how many registers the kernels of a program or module use: PTX itself does not say.

    python emulator/register_table.py build/emulator/registers.txt MODULE.so ...

Reads the plain PTX in the fat binaries of each file (nvcc --compress-mode=none), runs ptxas -v for
every GPU that the emulator stands in for, and writes lines `ARCH KERNEL REGISTERS`. Kernels that
spill are named on stderr.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ARCHITECTURES = (80, 89)  # of the GPUs in runtime/device_model.cpp
FAT_BINARY_MAGIC = 0xBA55ED50
PTX_KIND = 1
COMPRESSED = 0x2000 | 0x8000  # flags of an entry: LZ4, zstd
HEADER = struct.Struct("<IHHQ")  # magic, version, header size, bytes that follow


def fat_binary_section(path: Path) -> bytes:
    """The bytes of the section .nv_fatbin of an ELF file; empty without one."""
    with tempfile.NamedTemporaryFile() as section:
        command = ["objcopy", "-O", "binary", "--only-section=.nv_fatbin", str(path), section.name]
        subprocess.run(command, check=True)
        return Path(section.name).read_bytes()


def ptx_texts(section: bytes) -> Iterator[tuple[int, str]]:
    """(architecture, PTX) of every plain PTX entry in a section of fat binaries."""
    at = section.find(struct.pack("<I", FAT_BINARY_MAGIC))
    while at >= 0:
        _, _, header_bytes, payload = HEADER.unpack_from(section, at)
        entry, end = at + header_bytes, at + header_bytes + payload
        while entry < end:
            kind, _, entry_header, entry_bytes = struct.unpack_from("<HHIQ", section, entry)
            (arch,) = struct.unpack_from("<I", section, entry + 28)
            (flags,) = struct.unpack_from("<Q", section, entry + 40)
            text = section[entry + entry_header : entry + entry_header + entry_bytes]
            if kind == PTX_KIND:
                if flags & COMPRESSED:
                    raise SystemExit("PTX is compressed: build with --compress-mode=none")
                yield arch, text.rstrip(b"\0").decode()
            entry += entry_header + entry_bytes
        at = section.find(struct.pack("<I", FAT_BINARY_MAGIC), end)


def register_counts(ptx: str, arch: int) -> list[tuple[str, int]]:
    """(kernel, registers of a thread) as ptxas reports them."""
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as source:
        source.write(ptx)
        source.flush()
        command = ["ptxas", "-v", f"-arch=sm_{arch}", "-o", "/dev/null", source.name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    kernel, counts = "", []
    for line in (done.stdout + done.stderr).splitlines():
        if found := re.search(r"Compiling entry function '(\S+)'", line):
            kernel = found[1]
        elif found := re.search(r"(\d+) bytes spill stores", line):
            if found[1] != "0":
                print(f"{kernel} spills {found[1]} bytes on sm_{arch}", file=sys.stderr)
        elif found := re.search(r"Used (\d+) registers", line):
            counts.append((kernel, int(found[1])))
    return counts


def main(arguments: list[str]) -> None:
    """Writes the table named first for the files named after it."""
    jobs = [
        (ptx, arch)
        for path in arguments[1:]
        for ptx_arch, ptx in ptx_texts(fat_binary_section(Path(path)))
        for arch in ARCHITECTURES
        if arch >= ptx_arch
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # of threads: ptxas is a process
        found = list(pool.map(lambda job: register_counts(*job), jobs))
    lines = [
        f"{arch} {kernel} {count}\n"
        for (_, arch), counts in zip(jobs, found, strict=True)
        for kernel, count in counts
    ]
    Path(arguments[0]).write_text("".join(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
