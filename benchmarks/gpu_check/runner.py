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

TAIL_LINES = 20  # of a failed command's output that go into its message
GRACE_SECONDS = 5.0  # for the last output of a command that was killed

Record = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """A program and how long it may take.

    Attributes:
        name: what it is called in the results; also names its log.
        argv: the program and its arguments.
        seconds: after so long it is killed, with all that it started.
        environment: variables added to those of this process.
    """

    name: str
    argv: Sequence[str]
    seconds: float
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """Commands that run one after the other; one that fails does not stop the next.

    A line of a command's standard output that is a JSON object with the key "record" becomes one of
    the stage's records; `finish` may add what follows from it.
    """

    name: str
    commands: Sequence[Command]
    finish: Callable[[Record], Record] = lambda record: record


class Interrupted(BaseException):
    """A signal asks to stop; not an Exception, so that nothing takes it for a failure."""

    def __init__(self, signum: int) -> None:
        """`signum`: which."""
        super().__init__(f"stopped by signal {signum}")
        self.signum = signum


class Results:
    """The document of a run: on disk after every change, whole at any moment."""

    def __init__(self, path: Path, document: Record) -> None:
        """Writes `document` to `path`, which gets a list of stages."""
        self.path = path
        self.document = document
        self._lock = threading.Lock()  # records are written by the thread that reads them
        self.document["stages"] = []
        self.write()

    @property
    def stages(self) -> list[Record]:
        """One for each stage that was begun or left out."""
        stages: list[Record] = self.document["stages"]
        return stages

    def write(self) -> None:
        """A new file takes the place of the old one in one step."""
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.document, indent=1) + "\n")
            os.replace(part, self.path)


def run_stages(stages: Sequence[Stage], results: Results, logs: Path, seconds: float) -> None:
    """Runs all stages, none beyond `seconds` from now.

    A stage's status is "ok", "failed", "timed out", "interrupted" or "not run", and "running" in
    the file while it runs. SIGINT and SIGTERM raise Interrupted when what was running has ended.
    """
    deadline = time.monotonic() + seconds
    previous = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        for stage in stages:
            entry: Record = {"name": stage.name, "status": "running", "commands": [], "records": []}
            results.stages.append(entry)
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
        try:
            entry["records"].append(stage.finish(record))
        except Exception as error:
            entry["records"].append({**record, "error": f"{type(error).__name__}: {error}"})
        results.write()

    begin = time.monotonic()
    try:
        for command in stage.commands:
            outcome: Record = {"name": command.name, "status": "running"}
            entry["commands"].append(outcome)
            results.write()
            outcome |= _run_command(command, logs / f"{command.name}.log", take, deadline)
    except Interrupted as interrupt:
        entry["commands"][-1] |= {"status": "interrupted", "message": str(interrupt)}
        raise
    finally:
        statuses = [outcome["status"] for outcome in entry["commands"]]
        unwell = [status for status in statuses if status != "ok"]
        entry["status"] = unwell[0] if unwell else "ok"
        entry["seconds"] = round(time.monotonic() - begin, 1)
        results.write()


def _run_command(
    command: Command, log: Path, take: Callable[[Record], None], deadline: float
) -> Record:
    seconds = min(command.seconds, deadline - time.monotonic())
    if seconds <= 0:
        return {"status": "not run", "message": "the time of the whole run was used up"}
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with log.open("w") as log_file:
        try:
            process = subprocess.Popen(
                list(command.argv),
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # a group of its own, to be killed as one
            )
        except OSError as error:
            return {"status": "failed", "message": str(error)}
        assert process.stdout is not None
        reader = threading.Thread(target=_read, args=(process.stdout, log_file, take), daemon=True)
        reader.start()
        timed_out = False
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            _kill_group(process)
            reader.join(timeout=GRACE_SECONDS)
    outcome: Record = {"status": "ok", "seconds": round(time.monotonic() - begin, 1)}
    if timed_out:
        outcome |= {"status": "timed out", "message": f"killed after {seconds:.0f} s\n{_tail(log)}"}
    elif process.returncode != 0:
        outcome |= {"status": "failed", "message": f"exit {process.returncode}\n{_tail(log)}"}
    return outcome


def _read(stdout: IO[str], log_file: IO[str], take: Callable[[Record], None]) -> None:
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


def _kill_group(process: subprocess.Popen[str]) -> None:
    """Ends whatever is left of a command and of what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-TAIL_LINES:])
