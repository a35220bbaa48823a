"""A module with CUDA code -> the machine code in it: what cuobjdump would extract."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MAGIC = 0xBA55ED50
_ELF_KIND = 2
_COMPRESSED = 0x2000 | 0x8000  # flags of an entry: LZ4, zstd
_HEADER = struct.Struct("<IHHQ")  # magic, version, header size, bytes that follow


def cubins(module: Path) -> Iterator[tuple[int, bytes]]:
    """(architecture, ELF) of each translation unit, in the order of the file.

    Raises:
        ValueError: the code is compressed.
    """
    section = _section(module)
    at = section.find(struct.pack("<I", _MAGIC))
    while at >= 0:
        _, _, header_bytes, payload = _HEADER.unpack_from(section, at)
        entry, end = at + header_bytes, at + header_bytes + payload
        while entry < end:
            kind, _, entry_header, entry_bytes = struct.unpack_from("<HHIQ", section, entry)
            (architecture,) = struct.unpack_from("<I", section, entry + 28)
            (flags,) = struct.unpack_from("<Q", section, entry + 40)
            if kind == _ELF_KIND:
                if flags & _COMPRESSED:
                    raise ValueError(f"the code in {module} is compressed: --compress-mode=none")
                yield (
                    architecture,
                    section[entry + entry_header : entry + entry_header + entry_bytes],
                )
            entry += entry_header + entry_bytes
        at = section.find(struct.pack("<I", _MAGIC), end)


def _section(module: Path) -> bytes:
    """The fat binaries of an ELF file; empty without any."""
    with tempfile.NamedTemporaryFile() as section:
        command = ["objcopy", "-O", "binary", "--only-section=.nv_fatbin"]
        subprocess.run([*command, str(module), section.name], check=True)
        return Path(section.name).read_bytes()
