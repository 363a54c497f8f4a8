"""The end of the chain: the program that a job runs, or the Python function that it calls."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import signal
import sys
import termios
import traceback
from typing import Any, NoReturn

from imagewright.errors import ImagewrightError
from imagewright.sandbox.launcher import walls

NOT_FOUND, NOT_EXECUTABLE = 127, 126


def work(job: dict[str, Any], output: int, result: int, stdin: int) -> NoReturn:
    """Become the job's program, or call its function and end."""
    try:
        os.setsid()
        if job.get("terminal"):
            fcntl.ioctl(stdin, termios.TIOCSCTTY, 0)
            output = stdin
        os.dup2(stdin, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if "function" not in job:
            # a function of ours is told of a file too large by an error, which says more than an end by the signal
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.umask(0o022)
        _confine(job)
        if "function" in job:
            call(job, result)
        os.closerange(3, 1 << 16)
        _execute(job)
    finally:
        os._exit(NOT_EXECUTABLE)


def _confine(job: dict[str, Any]) -> None:
    """Give up what the job's program is not to have; a function of ours may make mounts and namespaces still."""
    program = "function" not in job
    walls.limit_memory(job["memory"])
    walls.filter_calls(ours=not program)
    if program:
        walls.drop_capabilities("inside" if job["inside"] and not job.get("record") else "outside")


def tell(result: int, data: bytes) -> None:
    """Send the builder what became of the job, as JSON."""
    while data:
        data = data[os.write(result, data) :]


def _execute(job: dict[str, Any]) -> NoReturn:
    program = job["argv"][0]
    try:
        os.chdir(job["directory"])
    except OSError as error:
        _complain(f"{job['directory']}: {error.strerror}")
        os._exit(NOT_EXECUTABLE)
    try:
        os.execvpe(program, job["argv"], job["environment"])  # noqa: S606 - argv as given
    except FileNotFoundError:
        if "/" in program and os.path.exists(program):
            _complain(f"{program}: the interpreter of its first line is not there{_interpreter(program)}")
            os._exit(NOT_EXECUTABLE)
        _complain(f"{program}: not found")
        os._exit(NOT_FOUND)
    except OSError as error:
        _complain(f"{program}: {error.strerror}")
        os._exit(NOT_EXECUTABLE)


def _interpreter(program: str) -> str:
    """Which one it is, as the end of a message; a carriage return shows as one."""
    try:
        with open(program, "rb") as script:
            line = script.readline(256)
    except OSError:
        return ""
    name = line.removeprefix(b"#!").strip(b" \t\n").decode(errors="replace")
    return f": {name!r}" if line.startswith(b"#!") else ""


def call(job: dict[str, Any], result: int) -> NoReturn:
    """Call a Python function and send what it returns, or the error it raises."""
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir("/")
    sys.dont_write_bytecode = True
    module, _, name = job["function"].partition(":")
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - as long as the process
    sys.stdout = sys.stderr = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    try:
        function = getattr(importlib.import_module(module), name)
        text, status = json.dumps({"value": function(**job["arguments"])}), 0
    except BaseException as error:
        text, status = json.dumps(_told(error)), 1
    sys.stdout.flush()
    tell(result, text.encode())
    os._exit(status)


def _told(error: BaseException) -> dict[str, Any]:
    if isinstance(error, ImagewrightError):
        return {
            "raised": type(error).__name__,
            "reference": error.reference,
            "message": error.message,
            "where": list(error.where),
            "cause": error.cause,
            "hint": error.hint,
            "option": error.option,
        }
    if isinstance(error, OSError) and error.errno:
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
        return {"broken": error.strerror or "", "errno": error.errno, "files": names}
    traceback.print_exception(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error}"
    return {"broken": text, "place": f"{os.path.basename(last.filename)}, line {last.lineno}"}


def _complain(text: str) -> None:
    os.write(2, f"{text}\n".encode())
