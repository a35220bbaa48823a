"""Tiles that CTAs share: under made-up schedules every result is the same to the bit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from device_arrays import Library
from typed_cases import rows_on_this_device

import sparse_gemm as sg
from sparse_gemm import _C, reference
from sparse_gemm.arrays import workspace

M, N, K = 150, 20, 304  # 5 stages of fp16 or 3 of int8, the last one not full
STAGE_K = 64


@contextmanager
def forced(row: int, num_ctas: int, num_whole_tiles: int) -> Iterator[None]:
    _C.cuda_force(row, num_ctas, num_whole_tiles)
    try:
        yield
    finally:
        _C.cuda_unforce()


def rows(multiply: str, b_load: str = "aligned") -> list[dict[str, Any]]:
    """The kernels for an operand type that this device can run."""
    wanted = (multiply, b_load)
    return [row for row in rows_on_this_device() if (row["multiply"], row["b_load"]) == wanted]


def num_tiles(row: dict[str, Any], m: int = M, n: int = N) -> int:
    return int(-(-m // row["tile_m"]) * -(-n // row["tile_n"]))


def schedules(tiles: int, stages: int) -> list[tuple[int, int]]:
    """(CTAs, whole tiles) whose runs end anywhere: split tiles, whole ones between, idle CTAs."""
    split = [(ctas, 0) for ctas in (1, 2, 3, tiles + 1, tiles * stages, tiles * stages + 3)]
    stream_k = [(ctas, ctas) for ctas in (1, 2, 3) if ctas < tiles]
    return [*split, *stream_k, (2, tiles)]


def operands(seed: int, m: int = M, n: int = N, k: int = K) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    w = reference.prune(rng.integers(-4, 5, (m, k)).astype(np.float16))
    return w, rng.integers(-4, 5, (n, k)).astype(np.float16)


def counters() -> list[Any]:
    """Those of this thread, as they are now."""
    return [np.asarray(array) for _, array in workspace._own.counters.values()]


def test_every_schedule_gives_the_product_and_leaves_zeros(library: Library) -> None:
    w, x = operands(0)
    a, b = sg.compress(library.put(w), backend=library.backend), library.put(x)
    bias = np.arange(M).astype(np.float32)
    expected = reference.linear(x, reference.compress(w), bias, activation="relu")
    for row in rows("f16"):
        for num_ctas, num_whole in schedules(num_tiles(row), -(-K // STAGE_K)):
            with forced(row["index"], num_ctas, num_whole):
                y = library.get(sg.linear(b, a, library.put(bias), activation="relu"))
            np.testing.assert_array_equal(y, expected, f"{row['config']} {num_ctas} {num_whole}")
    assert counters() or not _C.cuda_device(0).emulated
    assert not any(array.any() for array in counters())


@pytest.mark.parametrize("multiply", ["f16_acc_f16", "s8"])
def test_every_accumulator_is_added(device: Library, multiply: str) -> None:
    rng = np.random.default_rng(1)
    dtype = np.int8 if multiply == "s8" else np.float16
    w = reference.prune(rng.integers(-2, 3, (70, K)).astype(dtype))
    x = rng.integers(-2, 3, (N, K)).astype(dtype)
    a, b = sg.compress(device.put(w), backend=device.backend), device.put(x)
    expected = x.astype(np.int32) @ w.T.astype(np.int32)
    options: dict[str, Any] = {} if multiply == "s8" else {"accumulate": "float16"}
    stages = -(-K // (128 if multiply == "s8" else STAGE_K))
    for row in rows(multiply):
        for num_ctas, num_whole in schedules(num_tiles(row, 70), stages):
            with forced(row["index"], num_ctas, num_whole):
                y = device.get(sg.linear(b, a, **options))
            np.testing.assert_array_equal(y.astype(np.int32), expected)


def test_matrices_of_a_batch_share_tiles_too(device: Library) -> None:
    w, _ = operands(2)
    b = np.random.default_rng(2).integers(-4, 5, (3, N, K)).astype(np.float16)
    a = sg.compress(device.put(w), backend=device.backend)
    columns = device.put(b).swapaxes(1, 2)  # [3, K, N], K contiguous
    expected = (b.astype(np.float32) @ w.T.astype(np.float32)).swapaxes(1, 2).astype(np.float16)
    for row in rows("f16")[:4]:
        for num_ctas, num_whole in schedules(3 * num_tiles(row), -(-K // STAGE_K)):
            with forced(row["index"], num_ctas, num_whole):
                y = device.get(sg.matmul(a, columns))
            np.testing.assert_array_equal(y, expected)


def test_sums_that_round_are_the_same_under_every_seed(device: Library, emulator: Any) -> None:
    """Whoever comes last adds the pieces in the same order."""
    rng = np.random.default_rng(3)
    w = reference.prune(rng.standard_normal((M, K)).astype(np.float16))
    x = rng.standard_normal((N, K)).astype(np.float16)
    a, b = sg.compress(device.put(w), backend=device.backend), device.put(x)
    for row in rows("f16"):
        tiles = num_tiles(row)
        for num_ctas, num_whole in ((3 * tiles + 1, 0), (2, 2) if tiles > 2 else (7, 0)):
            results = set()
            for seed in range(8):
                emulator.set_seed(seed)
                with forced(row["index"], num_ctas, num_whole):
                    y = sg.linear(b, a, out_dtype="float32")
                results.add(device.get(y).tobytes())
            assert len(results) == 1


def test_threads_do_not_meet(device: Library) -> None:
    wrong: list[str] = []
    row = rows("f16")[0]

    def work(seed: int) -> None:
        w, x = operands(seed)
        a, b = sg.compress(device.put(w), backend=device.backend), device.put(x)
        expected = reference.linear(x, reference.compress(w))
        for num_ctas, num_whole in schedules(num_tiles(row), -(-K // STAGE_K)):
            with forced(row["index"], num_ctas, num_whole):
                y = device.get(sg.linear(b, a))
            if not np.array_equal(y, expected):
                wrong.append(f"{seed}: {num_ctas} {num_whole}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_workspace_is_asked_for_only_where_the_plan_says_so(
    device: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    make = workspace.allocator

    def allocator(*where: Any) -> Any:
        allocate = make(*where)

        def spy(num_bytes: int, num_counters: int) -> Any:
            asked.append((num_bytes, num_counters))
            return allocate(num_bytes, num_counters)

        return spy

    monkeypatch.setattr(workspace, "allocator", allocator)
    w, x = operands(4)
    a, b = sg.compress(device.put(w), backend=device.backend), device.put(x)
    row = rows("f16")[0]
    tiles = num_tiles(row)
    with forced(row["index"], 2, tiles):
        sg.linear(b, a)
    assert not asked
    with forced(row["index"], 5, 0):
        sg.linear(b, a)
    sums = row["tile_m"] * row["tile_n"] * row["warps_k"]
    assert asked == [(2 * 5 * sums * 4, tiles)]


@pytest.mark.parametrize(
    ("addresses", "message"),
    [
        ((0, 64), "needs .* bytes of workspace .* got none"),
        ((64, 0), "needs .* counters, and got none"),
        ((72, 64), "the workspace is at address 72; .* multiple of 16"),
        ((64, 66), "the array of counters is at address 66; .* multiple of 4"),
    ],
)
def test_memory_that_is_no_workspace_is_refused(
    device: Library, monkeypatch: pytest.MonkeyPatch, addresses: tuple[int, int], message: str
) -> None:
    monkeypatch.setattr(workspace, "allocator", lambda *_: lambda *_: (*addresses, None))
    w, x = operands(5)
    a, b = sg.compress(device.put(w), backend=device.backend), device.put(x)
    with forced(rows("f16")[0]["index"], 5, 0), pytest.raises(ValueError, match=message):
        sg.linear(b, a)


def test_what_an_allocator_raises_comes_out(
    device: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: int) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(workspace, "allocator", lambda *_: allocate)
    w, x = operands(6)
    a, b = sg.compress(device.put(w), backend=device.backend), device.put(x)
    with forced(rows("f16")[0]["index"], 5, 0), pytest.raises(MemoryError, match="no room"):
        sg.linear(b, a)
