"""Threads in a process that has torch: OpenMP's are borrowed, except in forked children."""

from __future__ import annotations

import subprocess
import sys
import threading

import torch

import sparse_gemm as sg
from sparse_gemm import _C

PRELUDE = """
import os, signal, sys, threading
import torch
import sparse_gemm as sg
from sparse_gemm import _C
torch.set_num_threads(3)
torch.manual_seed(0)
a = sg.compress(torch.randn(512, 1024), policy="prune")
x = torch.randn(64, 1024)
expected = sg.linear(x, a)
def work():
    assert torch.equal(sg.linear(x, a), expected)
"""


def run_script(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + body],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_openmp_threads_of_torch_are_used_once_a_tensor_was_seen() -> None:
    body = "print(_C.thread_source().name)"
    assert run_script(body).stdout.strip() == "openmp"
    code = "import torch, numpy, sparse_gemm as sg; sg.prune(numpy.ones((4, 4), 'f'));"
    code += "print(sg._C.thread_source().name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pool"


def test_a_forked_child_computes_with_threads_of_its_own() -> None:
    """The parent's OpenMP team does not exist in the child; to wait for it would hang."""
    body = """
for _ in range(5):
    work()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        torch.set_num_threads(1)  # torch's own operations must not use its team either
        assert _C.thread_source().name == "pool"
        y = torch.empty_like(expected)
        m, n, k = 512, 64, 1024
        matrix = (m, k, a.values.data_ptr(), a.metadata.data_ptr(), 0, 0, 0, 0, 0, 0)
        dense = (n, 1, x.data_ptr(), 0, 1, k, 0, y.data_ptr(), 0, 1, m, 0)
        _C.gemm(*matrix, *dense, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, None)
        os._exit(0 if y.numpy().tobytes() == expected.numpy().tobytes() else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    work()
print("done")
"""
    done = run_script(body)
    assert done.stdout.strip() == "done", done.stderr


def test_several_python_threads_each_get_their_own_results() -> None:
    torch.manual_seed(0)
    a = sg.compress(torch.randn(512, 1024), policy="prune")
    inputs = [torch.randn(n, 1024) for n in (1, 8, 40, 300)]
    expected = [sg.linear(x, a) for x in inputs]
    assert _C.thread_source().name == "openmp"
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            if not torch.equal(sg.linear(inputs[i % 4], a), expected[i % 4]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_child_that_sees_its_first_tensor_after_the_fork_uses_a_pool() -> None:
    script = """
import os, signal, torch
import sparse_gemm as sg
from sparse_gemm import _C
torch.set_num_threads(3)
torch.randn(2000, 2000).mul(2).sum()  # the parent has a team, and sparse_gemm has not seen it
child = os.fork()
if child == 0:
    signal.alarm(20)
    import numpy as np
    w = np.ones((2048, 1024), np.float32)
    w[:, 1::2] = 0
    a = sg.compress(torch.from_numpy(w))
    assert _C.thread_source().name == "pool"
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "0", done.stderr


def test_small_calls_do_not_make_torch_start_its_threads_anew() -> None:
    body = """
torch.set_num_threads(4)
tasks = lambda: set(os.listdir("/proc/self/task"))
b = sg.compress(torch.randn(130, 2048), policy="prune")
y = torch.randn(600, 600)
for n in (2, 40):
    z = torch.randn(n, 2048)
    y.mul(2); sg.linear(z, b); y.mul(2)
    before = tasks()
    for _ in range(20):
        sg.linear(z, b); y.mul(2)
    print(len(tasks() - before))
"""
    done = run_script(body)
    assert done.stdout.split() == ["0", "0"], done.stdout + done.stderr
