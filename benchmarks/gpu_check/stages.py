"""The stages of gpu-check: what is run, how long it may take, what is made of its records."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.gpu_check.ceilings import finish_copy, finish_mma
from benchmarks.gpu_check.device import Device, find_program
from benchmarks.gpu_check.runner import Command, Record, Stage
from sparse_gemm.bench.cases import SUITES
from sparse_gemm.bench.sampler import Sampler

ROOT = Path(__file__).parent.parent.parent
WHOLE_RUN_SECONDS = 480.0  # of DEFAULT: the bounds of its stages fit into it
NAMED_SECONDS = 900.0  # of a suite that is asked for by name
EVERY = "every"
DEFAULT = ("build", "tests", "sanitizer", "decode", "models", "ceilings")

# Suites by the names of their stages: whole, where DEFAULT has a part of them.
NAMED = {name if name not in DEFAULT else f"{name}-all": name for name in SUITES}
WITH_ENERGY = ("prefill", "conv-as-gemm")

# Types of which every peer has a kernel, and the one that gains most with few tokens.
DECODE_TYPES = "float16,int8,float8_e4m3fn,int4_weight"
MODEL_TYPES = "float16,int8,float8_e4m3fn"
# Of Llama-3-8B, with 1024 rows also of BERT-large's width; of Llama-3-70B; of FLUX.1.
MODEL_LAYERS = "4096x4096,14336x4096,4096x14336,1024x4096,8192x8192,12288x3072"
SANITIZER_TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
ENERGY_SECONDS = "0.6"


def make_stages(device: Device, sampler: Sampler, out: Path) -> list[Stage]:
    """All stages, in their order; emulated ones are cut down, and unbounded as slow as that is."""
    commands = Commands(device, out)
    stages = [
        Stage("build", commands.build(), together=True),
        Stage("tests", commands.tests()),
        Stage("sanitizer", commands.sanitizer(), together=True),
        Stage("decode", [commands.bench("decode", 55, "--types", DECODE_TYPES)]),
        Stage(
            "models",
            [commands.bench("models", 95, "--types", MODEL_TYPES, "--layers", MODEL_LAYERS)],
        ),
        Stage("ceilings", commands.ceilings()),
    ]
    stages += [Stage(name, [commands.suite(name, suite)]) for name, suite in NAMED.items()]
    finish = finisher(device, sampler)
    return [Stage(stage.name, stage.commands, finish, stage.together) for stage in stages]


class Commands:
    """The commands of each stage, on a GPU or on the emulated one."""

    def __init__(self, device: Device, out: Path) -> None:
        """Results and programs go into `out`."""
        self._device = device
        self._out = out.resolve()
        self._programs = self._out / "programs"
        # This Python's programs first, and devices in nvidia-smi's order.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        self._environment = {
            "PATH": path,
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "PYTHONUNBUFFERED": "1",
        }
        if (
            device.emulated
        ):  # the stand-ins' products are small; waiting for threads would take longer
            self._environment["OMP_NUM_THREADS"] = "1"

    def build(self) -> list[Command]:
        """The extension, in place and with what is installed; and beside it the ceilings programs.

        Emulated, the extension is that of `make emulator`, and the programs are PTX for it.
        """
        jobs = str(os.cpu_count() or 1)
        make = ["make", "-C", str(ROOT / "benchmarks" / "ceilings"), "--jobs", jobs]
        make += [f"BUILD={self._programs}", f"NVCC={find_program('nvcc') or 'nvcc'}"]
        target = self._device.target
        if self._device.emulated:
            make += [f"ARCH={target}", f"GENCODE=arch=compute_{target},code=compute_{target}"]
            make += ["EXTRA=-cudart shared --compress-mode=none"]
            code = "from sparse_gemm import _C; print(_C.__file__, _C.cuda_build())"
            extension = self._python("extension", 110, "-c", code)
        else:
            make += [f"ARCH={target}"]
            architecture = {"SPARSE_GEMM_CUDA_ARCHITECTURES": f"{target}-real"}
            arguments = ("setup.py", "build_ext", "--inplace")
            extension = self._python(
                "extension", 110, *arguments, SPARSE_GEMM_CUDA="on", **architecture
            )
        return [extension, Command("programs", make, self._bound(80), self._environment)]

    def tests(self) -> list[Command]:
        """The kernel cases on the GPU, and the selftest; emulated, a few of the cases."""
        options = ["-q", "-p", "no:cacheprovider", f"--junitxml={self._out / 'kernels.xml'}"]
        cases = ["tests/kernels"]
        if self._device.emulated:
            cases = ["tests/kernels/test_cuda_graphs.py", "tests/kernels/test_cuda_refusals.py"]
        return [
            self._python("kernels", 75, "-m", "pytest", *options, *cases),
            self._python("selftest", 15, "-m", "sparse_gemm", "selftest"),
        ]

    def sanitizer(self) -> list[Command]:
        """compute-sanitizer over one case of each kernel; emulated, a stand-in that says so."""
        program = [sys.executable, "-m", "benchmarks.gpu_check.each_kernel"]
        absent = None
        if self._device.emulated:
            prefix = [sys.executable, "-m", "benchmarks.gpu_check.stand_in_sanitizer"]
            program += ["--every", "24"]
        else:
            found = find_program("compute-sanitizer")
            prefix = [found or "compute-sanitizer", "--error-exitcode", "1"]
            if found is None:
                absent = "there is no compute-sanitizer on PATH nor beside nvcc"
        return [
            Command(
                tool,
                [*prefix, "--tool", tool, *program],
                self._bound(50),
                self._environment,
                absent,
            )
            for tool in SANITIZER_TOOLS
        ]

    def bench(self, suite: str, seconds: float, *options: str, name: str = "") -> Command:
        """A suite, which ends by itself a little before its bound."""
        module = "sparse_gemm.bench"
        if self._device.emulated:
            module = "benchmarks.gpu_check.stand_in"
        arguments = ["-m", module, "run", suite, "--records", *options]
        if not self._device.emulated:
            arguments += ["--minutes", f"{(seconds - 10) / 60:.3f}"]
        return self._python(name or suite, seconds, *arguments)

    def suite(self, name: str, suite: str) -> Command:
        """A whole suite, asked for by name; where batches matter, with the power of products."""
        energy = ("--energy", ENERGY_SECONDS) if suite in WITH_ENERGY else ()
        return self.bench(suite, NAMED_SECONDS, *energy, name=name)

    def ceilings(self) -> list[Command]:
        """The programs that were built for this device."""
        few = ["--iterations", "1", "--bytes", "1048576"] if self._device.emulated else []
        commands = [self._program("copy", 10, few), self._program("mma", 20, few)]
        if self._device.target == "90a":
            brief = ["--seconds", "0.2"]
            commands += [self._program(f"wgmma_{dtype}", 25, brief) for dtype in ("f16", "e4m3")]
        return commands

    def _program(self, name: str, seconds: float, arguments: Sequence[str]) -> Command:
        argv = [str(self._programs / name), *arguments]
        return Command(name, argv, self._bound(seconds), self._environment)

    def _python(self, name: str, seconds: float, *arguments: str, **variables: str) -> Command:
        argv = [sys.executable, *arguments]
        return Command(name, argv, self._bound(seconds), self._environment | variables)

    def _bound(self, seconds: float) -> float:
        return NAMED_SECONDS if self._device.emulated else seconds


def finisher(device: Device, sampler: Sampler) -> Callable[[Record], Record]:
    """Adds to a record the clocks of its time, and what follows from it."""

    def finish(record: Record) -> Record:
        if "begin" in record:
            record = {**record, "clocks": sampler.between(record["begin"], record["end"])}
        if record["record"] == "copy":
            return finish_copy(record)
        if record["record"] in ("mma", "wgmma"):
            return finish_mma(record, device.capability, device.facts["name"])
        return record

    return finish
