"""Stages of commands, each bounded in time; what they find is on disk as soon as it is known."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from sparse_gemm.bench.document import Results

TAIL_LINES = 20  # of a failed command's output that go into its message
GRACE_SECONDS = 5.0  # for the last output of a command that was killed

_USED_UP = "the time of the whole run was used up"

Record = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """A program and how long it may take.

    Attributes:
        name: what it is called in the results; also names its log.
        argv: the program and its arguments.
        seconds: after so long it is killed, with all that it started.
        environment: variables added to those of this process.
        absent: why there is no such program here, which is no failure; it is then not started.
    """

    name: str
    argv: Sequence[str]
    seconds: float
    environment: Mapping[str, str] = field(default_factory=dict)
    absent: str | None = None


@dataclass(frozen=True)
class Stage:
    """Commands that run one after the other, or together; one that fails does not stop the next.

    A line of a command's standard output that is a JSON object with the key "record" becomes one of
    the document's records; `finish` may add what follows from it.
    """

    name: str
    commands: Sequence[Command]
    finish: Callable[[Record], Record] = lambda record: record
    together: bool = False

    @property
    def seconds(self) -> float:
        """What it takes at most."""
        bounds = [command.seconds for command in self.commands]
        return max(bounds, default=0.0) if self.together else sum(bounds)


class Interrupted(BaseException):
    """A signal asks to stop; not an Exception, so that nothing takes it for a failure."""

    def __init__(self, signum: int) -> None:
        """`signum`: which."""
        super().__init__(f"stopped by signal {signum}")
        self.signum = signum


def run_stages(stages: Sequence[Stage], results: Results, logs: Path, seconds: float) -> None:
    """Runs all stages, none beyond `seconds` from now.

    A stage's status is "ok", "failed", "timed out", "interrupted" or "not run", and "running" in
    the file while it runs. SIGINT and SIGTERM raise Interrupted when what was running has ended.
    """
    deadline = time.monotonic() + seconds
    results.document |= {"stages": [], "records": []}
    previous = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        for stage in stages:
            entry: Record = {"name": stage.name, "status": "running", "commands": []}
            results.document["stages"].append(entry)
            results.write()
            _run_stage(stage, entry, results, logs, deadline)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise Interrupted(signum)


def _run_stage(stage: Stage, entry: Record, results: Results, logs: Path, deadline: float) -> None:
    def take(record: Record) -> None:
        if record["record"] == "head":  # what a program knows of the device and its software
            for key in ("device", "software"):
                results.document[key] = {**record[key], **results.document.get(key, {})}
        else:
            try:
                record = stage.finish(record)
            except Exception as error:
                record = {**record, "error": f"{type(error).__name__}: {error}"}
            results.document["records"].append({"stage": stage.name, **record})
        results.write()

    begin = time.monotonic()
    groups = [stage.commands] if stage.together else [[command] for command in stage.commands]
    try:
        for group in groups:
            _run_group(group, entry, results, logs, take, deadline)
    finally:
        statuses = [outcome["status"] for outcome in entry["commands"]]
        unwell = [status for status in statuses if status not in ("ok", "absent")]
        entry["status"] = unwell[0] if unwell else "ok"
        entry["seconds"] = round(time.monotonic() - begin, 1)
        results.write()


def _run_group(
    group: Sequence[Command],
    entry: Record,
    results: Results,
    logs: Path,
    take: Callable[[Record], None],
    deadline: float,
) -> None:
    """Runs commands side by side."""
    running: list[tuple[Process, Record]] = []
    try:
        for command in group:
            outcome: Record = {"name": command.name, "status": "running"}
            entry["commands"].append(outcome)
            if command.absent is not None:
                outcome |= {"status": "absent", "message": command.absent}
            elif deadline - time.monotonic() <= 0:
                outcome |= {"status": "not run", "message": _USED_UP}
            else:
                try:
                    running.append((Process(command, logs, take, deadline), outcome))
                except OSError as error:
                    outcome |= {"status": "failed", "message": str(error)}
            results.write()
        for process, outcome in sorted(running, key=lambda one: one[0].deadline):
            outcome |= process.finish()
            results.write()
    except Interrupted as interrupt:
        for _, outcome in running:
            if outcome["status"] == "running":
                outcome |= {"status": "interrupted", "message": str(interrupt)}
        raise
    finally:
        for process, _ in running:
            process.kill()


class Process:
    """A command that runs, and the thread that reads what it prints."""

    def __init__(
        self, command: Command, logs: Path, take: Callable[[Record], None], deadline: float
    ) -> None:
        """Starts it."""
        logs.mkdir(parents=True, exist_ok=True)
        self._log = logs / f"{command.name}.log"
        self._begin = time.monotonic()
        self.deadline = min(self._begin + command.seconds, deadline)
        self._process = subprocess.Popen(
            list(command.argv),
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a group of its own, to be killed as one
        )
        assert self._process.stdout is not None
        arguments = (self._process.stdout, self._log.open("w"), take)
        self._reader = threading.Thread(target=_read, args=arguments, daemon=True)
        self._reader.start()

    def finish(self) -> Record:
        """Waits until it ends, or else kills it."""
        bound = self.deadline - self._begin
        timed_out = False
        try:
            self._process.wait(timeout=max(0.0, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            self.kill()
        outcome: Record = {"status": "ok", "seconds": round(time.monotonic() - self._begin, 1)}
        if timed_out:
            message = f"killed after {bound:.0f} s\n{_tail(self._log)}"
            outcome |= {"status": "timed out", "message": message}
        elif self._process.returncode != 0:
            message = f"exit {self._process.returncode}\n{_tail(self._log)}"
            outcome |= {"status": "failed", "message": message}
        return outcome

    def kill(self) -> None:
        """Ends whatever is left of it and of what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(timeout=GRACE_SECONDS)


def _read(stdout: IO[str], log_file: IO[str], take: Callable[[Record], None]) -> None:
    with log_file:
        for line in stdout:
            record = parse_record(line)
            if record is not None:
                take(record)
            else:
                log_file.write(line)
                log_file.flush()


def parse_record(line: str) -> Record | None:
    """The record that a line of output is, if it is one."""
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "record" in value else None


def _tail(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-TAIL_LINES:])
