"""The thread pool: calls from several Python threads, fork, and the end of the process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from format_cases import CASE, compress, packed, random_bits

import sparse_gemm as sg

BF16 = CASE["2:4-bfloat16"]
DTYPES = [np.float32, np.float16, ml_dtypes.bfloat16, np.int8]


def test_several_callers_at_once_get_their_own_results() -> None:
    rng = np.random.default_rng(0)
    matrices = [packed(BF16, random_bits(rng, BF16, 64, 4096 + 4 * i)) for i in range(8)]
    expected = [compress(BF16, bits, bits.shape[1], "prune") for bits in matrices]
    failures: list[str] = []
    start = threading.Barrier(len(matrices))

    def work(i: int) -> None:
        bits = matrices[i]
        start.wait()
        for round_ in range(20):
            values, metadata, _ = compress(BF16, bits, bits.shape[1], "prune", 2 + i % 4)
            same = (values == expected[i][0]).all() and (metadata == expected[i][1]).all()
            if not same:
                failures.append(f"matrix {i}, round {round_}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(matrices))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize("dtype", DTYPES)
def test_several_products_at_once_are_those_of_one_after_another(dtype: type) -> None:
    rng = np.random.default_rng(1)
    w = sg.prune(rng.integers(-9, 10, (130, 260)).astype(dtype))
    a = sg.compress(w)
    inputs = [rng.integers(-9, 10, (tokens, 260)).astype(dtype) for tokens in (1, 5, 40, 130)]
    expected = [sg.linear(x, a).tobytes() for x in inputs]
    failures: list[str] = []
    start = threading.Barrier(2 * len(inputs))

    def work(i: int) -> None:
        x = inputs[i % len(inputs)]
        start.wait()
        for round_ in range(10):
            if sg.linear(x, a).tobytes() != expected[i % len(inputs)]:
                failures.append(f"{len(x)} tokens, round {round_}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2 * len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def run_script(body: str) -> subprocess.CompletedProcess[str]:
    """Runs body in a fresh interpreter, where `work(threads)` compresses and checks a matrix."""
    prelude = f"""
import os, sys, threading, time
sys.path[:0] = {[str(Path(__file__).parents[1]), *sys.path]!r}
import numpy as np
import pytest
from format_cases import CASE, compress, packed, random_bits
case = CASE["2:4-bfloat16"]
bits = packed(case, random_bits(np.random.default_rng(0), case, 256, 2048))
expected = compress(case, bits, 2048, "prune")[0]
def work(threads=3):
    assert (compress(case, bits, 2048, "prune", threads)[0] == expected).all()
"""
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", prelude + body],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # no threads but ours
    )


def test_a_forked_child_computes_while_the_parents_pool_is_at_work() -> None:
    result = run_script("""
work()
stop = False
def busy():
    while not stop:
        work()
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        work(); work(5)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    work()
stop = True
for thread in threads: thread.join()
print("done")
""")
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


def test_the_process_ends_while_helpers_sleep_and_while_they_look_for_work() -> None:
    for pause in (0, 0.01):
        result = run_script(f"work(); time.sleep({pause}); print('done')")
        assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_helpers_leave_signals_to_the_application() -> None:
    # A helper that took a signal which the application waits for would let it end the process.
    result = run_script("""
import signal
work(3)
def is_blocked(task, signal_number):
    with open(f"/proc/self/task/{task}/status") as status:
        blocked = next(int(line.split()[1], 16) for line in status if line.startswith("SigBlk"))
    return blocked >> (signal_number - 1) & 1
helpers = set(os.listdir("/proc/self/task")) - {str(os.getpid())}
# While a thread is starting, the C library blocks all signals in it, those of a crash too.
while any(is_blocked(task, signal.SIGSEGV) for task in helpers):
    time.sleep(0.01)
print(sum(is_blocked(task, signal.SIGUSR1) for task in helpers), "of", len(helpers))
""")
    assert (result.returncode, result.stdout) == (0, "2 of 2\n"), result.stderr
