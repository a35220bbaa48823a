"""Results as JSON, of `bench run` and of gpu-check alike; benchmarks/README.md describes them."""

from __future__ import annotations

import datetime
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_gemm.bench import machine

if TYPE_CHECKING:
    from sparse_gemm.bench.devices import Device

SCHEMA = 2  # grows when the meaning of a field changes

Document = dict[str, Any]


def new(device: Device, settings: Mapping[str, Any]) -> Document:
    """A document without records."""
    software = machine.software() | machine.libraries()
    return {
        **head(machine.describe(device), software, device.meaningless),
        "settings": dict(settings),
        "records": [],
    }


def head(
    device: Mapping[str, Any], software: Mapping[str, Any], meaningless: str | None
) -> Document:
    """What every document begins with."""
    return {
        "schema": SCHEMA,
        "commit": machine.commit(),
        "began": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "meaningless": meaningless,
        "device": dict(device),
        "software": dict(software),
    }


class Results:
    """A document that is on disk after every change, whole at any moment."""

    def __init__(self, path: Path | None, document: Document) -> None:
        """Writes `document` to `path`; None keeps it in memory."""
        self.path = path
        self.document = document
        self._lock = threading.Lock()  # records may come from a thread of their own
        self.write()

    def write(self) -> None:
        """A new file takes the place of the old one in one step."""
        if self.path is None:
            return
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.document, indent=1) + "\n")
            os.replace(part, self.path)


def read(path: Path) -> Document:
    """A document of this schema.

    Raises:
        ValueError: it is none.
    """
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        raise ValueError(f"{path} has schema {found}; expected {SCHEMA}")
    return document


def title(document: Mapping[str, Any]) -> str:
    """The device and what else decides about figures, in a line."""
    device, software = document["device"], document["software"]
    where = device.get("name", "?")
    if device["kind"] == "cpu":
        where += (
            f", {device['cores']} core(s) of {device['machine']}, {device['threads']} thread(s), "
            f"{device['isa']} (torch: {device['torch_isa']})"
        )
    else:
        where += f", driver {device.get('driver', '?')}"
    versions = f"sparse_gemm {software['sparse_gemm']}, torch {software['torch']}"
    return f"{where}; {versions}, commit {document['commit']}"
