"""The file in which `tune` keeps what it measured.

One JSON file, in `$SPARSE_GEMM_CACHE`, or else in the platform's folder for caches. Choices hold
for a device's name, a driver and a version of this package; others' stay in the file untouched.
Writers take turns by a lock and replace the file as a whole, so that readers need none. What cannot
be used is ignored with a warning: a file is never a reason to fail.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sparse_gemm import _C

_logger = logging.getLogger("sparse_gemm")

_FORMAT = 1
_FILE_NAME = "tuned.json"
_LOCK_NAME = "tuned.lock"
_SCHEDULES = ("whole", "stream-k", "split")


class Key(NamedTuple):
    """What a choice is for: a problem whose N is rounded up to a power of two."""

    multiply: str
    b_load: str
    d_dtype: str
    is_batched: bool
    group_size: int
    m: int
    n: int
    k: int
    batch: int


class Choice(NamedTuple):
    """A kernel and a schedule, and what they took."""

    kernel: str
    schedule: str
    num_ctas: int
    microseconds: float


def bucket(tokens: int) -> int:
    """The power of two that `tokens` is rounded up to."""
    return 1 << max(tokens - 1, 0).bit_length()


def path() -> Path:
    """The file, whether it exists or not."""
    folder = os.environ.get("SPARSE_GEMM_CACHE")
    if folder:
        return Path(folder) / _FILE_NAME
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "sparse_gemm" / _FILE_NAME
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "sparse_gemm" / _FILE_NAME


def section_of(props: _C.CudaProps) -> str:
    """What choices are versioned by."""
    return f"{props.name} | driver {props.driver_version} | sparse_gemm {_C.__version__}"


def load(device: int) -> None:
    """Has plans for that CUDA device use what was measured on such a one before."""
    props = _C.cuda_device(device)
    for key, choice in read(section_of(props)).items():
        if choice.kernel in _kernels(key):
            apply(device, key, choice)
        else:
            _logger.warning(
                "%s: %s was chosen for %s, but there is no such kernel now: ignored; run "
                "sparse_gemm.tune again",
                path(),
                choice.kernel,
                key,
            )


def apply(device: int, key: Key, choice: Choice) -> None:
    """Has plans for that CUDA device use it."""
    _C.cuda_set_tuned(
        device,
        key.multiply,
        key.b_load,
        _C.DType.__members__[key.d_dtype],
        key.is_batched,
        key.group_size,
        key.m,
        key.n,
        key.k,
        key.batch,
        choice.kernel,
        choice.schedule,
        choice.num_ctas,
    )


def _kernels(key: Key) -> set[str]:
    return {row["config"] for row in _C.cuda_kernels() if row["multiply"] == key.multiply}


def read(section: str) -> dict[Key, Choice]:
    """The choices of a section; of a file that is damaged, none."""
    return _choices(_read_file().get(section, []))


def _choices(found: Any) -> dict[Key, Choice]:
    choices: dict[Key, Choice] = {}
    for entry in found if isinstance(found, list) else []:
        try:
            key, choice = _entry(entry)
        except (TypeError, KeyError, ValueError):
            _logger.warning("%s: ignored an entry that is damaged: %.200r", path(), entry)
        else:
            choices[key] = choice
    return choices


def write(section: str, choices: dict[Key, Choice]) -> None:
    """Adds choices to a section, which others may be writing too.

    Raises:
        OSError: the folder cannot be written to.
    """
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file.with_name(_LOCK_NAME)):
        sections = _read_file()
        merged = _choices(sections.get(section, [])) | choices
        sections[section] = [
            {**key._asdict(), **choice._asdict()} for key, choice in merged.items()
        ]
        _replace(file, json.dumps({"format": _FORMAT, "sections": sections}, indent=1))


def _entry(entry: Any) -> tuple[Key, Choice]:
    """Raises TypeError, KeyError or ValueError if it is no entry."""
    key = Key(**{name: entry[name] for name in Key._fields})
    choice = Choice(**{name: entry[name] for name in Choice._fields})
    numbers = (key.group_size, key.m, key.n, key.k, key.batch, choice.num_ctas)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(entry)
    if type(key.is_batched) is not bool or type(choice.kernel) is not str:
        raise ValueError(entry)
    if choice.schedule not in _SCHEDULES or key.d_dtype not in _C.DType.__members__:
        raise ValueError(entry)
    rows = _C.cuda_kernels()
    if key.b_load not in {row["b_load"] for row in rows}:
        raise ValueError(entry)
    return key, choice


def _read_file() -> dict[str, Any]:
    file = path()
    try:
        content = json.loads(file.read_bytes())
        if content["format"] != _FORMAT:
            _logger.warning("%s: written by another version: ignored", file)
            return {}
        sections = content["sections"]
        if not isinstance(sections, dict):
            raise TypeError("sections is no object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        _logger.warning("%s: ignored, as it cannot be read: %s", file, error)
        return {}
    return sections


@contextlib.contextmanager
def _locked(lock: Path) -> Iterator[None]:
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file lets the lock go


def _replace(file: Path, content: str) -> None:
    """Readers see the old content or the new one, whole."""
    number, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(number, "w") as temporary:
            temporary.write(content)
            temporary.flush()
            os.fsync(temporary.fileno())
        os.replace(name, file)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
