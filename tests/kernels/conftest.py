"""Where the kernel cases run: on a GPU if there is one, on the emulator under `emulator/run`, or
nowhere. The cases are the same; only the arrays that they are given differ."""

from __future__ import annotations

import importlib.util
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # the helpers beside this file

from sparse_gemm import _C

HERE = Path(__file__).parent
IS_EMULATOR_RUN = "EMULATOR_FINDINGS" in os.environ
SEED = int(os.environ.get("EMULATOR_SEED", "0"))  # emulator/run --seed
HAS_DEVICE = _C.cuda_device_count() > 0
IS_EMULATED = HAS_DEVICE and _C.cuda_device(0).emulated


def _libraries() -> tuple[str, ...]:
    """The array libraries whose arrays the device at hand can be given."""
    if IS_EMULATED:
        return ("numpy", "torch")
    return tuple(name for name in ("torch", "cupy") if importlib.util.find_spec(name) is not None)


if IS_EMULATED:
    from emulated_memory import EmulatedDevice

    EMULATOR = EmulatedDevice()
    EMULATOR.install()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if HAS_DEVICE:
        return
    if IS_EMULATOR_RUN:
        pytest.exit(f"no emulated device: {_C.cuda_unavailable_reason()}", returncode=1)
    skip = pytest.mark.skip(reason="no GPU: run `make test`, which runs them under emulator/run")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(skip)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`library`: each array library; `device`: the first, where the library makes no difference."""
    from device_arrays import LIBRARIES

    libraries = [LIBRARIES[name] for name in _libraries()] if HAS_DEVICE else [None]
    ids = [getattr(library, "name", "no device") for library in libraries]
    if "library" in metafunc.fixturenames:
        metafunc.parametrize("library", libraries, ids=ids)
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", libraries[:1], ids=ids[:1])


@pytest.fixture(autouse=True)
def _no_findings(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test during which the emulator found a mistake has failed. Each has a seed of its own."""
    if not IS_EMULATED:
        yield
        return
    EMULATOR.set_seed(zlib.crc32(request.node.nodeid.encode()) + SEED)
    EMULATOR.clear_findings()  # of earlier tests: the same one again would not count
    yield
    findings = EMULATOR.findings()
    assert not findings, f"the emulator has {len(findings)} finding(s), first:\n{findings[0]}"


@pytest.fixture
def emulator() -> object:
    """The emulated device; what needs it is skipped on a GPU."""
    if not IS_EMULATED:
        pytest.skip("needs the emulator")
    return EMULATOR


@pytest.fixture
def allow_tf32() -> Iterator[None]:
    """Products of float32 torch tensors have to be allowed."""
    if importlib.util.find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)
