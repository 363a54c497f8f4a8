"""What a command costs: CPU of the whole process tree, wall time, peak memory, bytes written; for all benchmarks.

``measured(["disk-image-create", …])`` runs a command to its end and returns its :class:`Cost`. The command runs below a
small process of its own that the kernel hands every orphan of the tree to (``PR_SET_CHILD_SUBREAPER``), so that daemons
and what is left behind count too; what the kernel itself does for a loop device counts for nobody.

A benchmark is a script of this folder that prints one JSON document. One whose numbers go into ``RESULTS.md`` has in it
``"rows"``, a list of what :func:`row` returns; it exits with 1 if a row misses its target.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
"""Where the commands of the project lie."""

_EVERY = 0.1  # seconds between two looks at the memory of the tree
_PATIENCE = 30.0  # seconds for processes that the command left behind
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run cost, or the best of several.

    ``cpu`` is user and system time of all processes, ``wall`` the time from start to end, both in seconds. ``memory``
    is the most that the processes held at one moment, in bytes; a page that several share counts once (PSS, proc(5)).
    ``written`` counts the bytes of pages made dirty that belong to storage (``write_bytes`` of proc(5)): nothing that
    stays in a tmpfs.
    """

    cpu: float
    wall: float
    memory: int
    written: int

    def document(self) -> dict[str, float]:
        """Rounded, for JSON."""
        return {**asdict(self), "cpu": round(self.cpu, 3), "wall": round(self.wall, 3)}

    def __add__(self, other: Cost) -> Cost:
        """One after the other."""
        return Cost(
            cpu=self.cpu + other.cpu,
            wall=self.wall + other.wall,
            memory=max(self.memory, other.memory),
            written=self.written + other.written,
        )


def measured(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    log: Path | None = None,
) -> Cost:
    """Run a command to its end and say what it cost; ``log`` takes all that it prints.

    Raises SystemExit with its last lines if it fails.
    """
    reading, writing = os.pipe()
    with open(log or os.devnull, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", __file__, str(writing), *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=folder,
            pass_fds=(writing,),
        )
        os.close(writing)
        try:
            with open(reading, "rb") as pipe:
                said = pipe.read()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        process.wait()
    document = json.loads(said or b'{"status": 127}')
    if document.pop("status") or process.returncode:
        lines = log.read_text(errors="replace").splitlines()[-15:] if log else []
        raise SystemExit("\n".join([f"failed: {' '.join(map(str, argv))}", *lines]))
    return Cost(**document)


def best(costs: Sequence[Cost]) -> Cost:
    """The least of each number: what other programs on the machine do can only add."""
    return Cost(
        cpu=min(one.cpu for one in costs),
        wall=min(one.wall for one in costs),
        memory=min(one.memory for one in costs),
        written=min(one.written for one in costs),
    )


def row(work: str, target: str, *, met: bool, value: str = "", note: str = "", **costs: Cost) -> dict[str, Any]:
    """A row of ``RESULTS.md``: the work, its target in words, whether it was met, what decided, and the costs."""
    return {
        "work": work,
        "target": target,
        "met": met,
        "value": value,
        "note": note,
        "costs": {name.replace("_", " "): cost.document() for name, cost in costs.items()},
    }


def finish(document: Mapping[str, Any]) -> int:
    """Print the document of a benchmark; 1 if a row of it misses its target, else 0."""
    print(json.dumps(document, indent=2))
    return 0 if all(one["met"] for one in document["rows"]) else 1


# -- the process that the measured command runs below


def _below(pipe: int, argv: list[str]) -> int:
    """Run a command, wait for all of its tree, and write what it cost to ``pipe`` as JSON."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = _written()
    begun = time.monotonic()
    os.set_inheritable(pipe, False)
    child = os.posix_spawnp(argv[0], argv, os.environ)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _frame: os.kill(child, caught))
    memory = _Memory()
    memory.start()
    _pid, code = os.waitpid(child, 0)
    wall = time.monotonic() - begun
    _reap()
    memory.over.set()
    memory.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    document = {
        "status": os.waitstatus_to_exitcode(code),
        "cpu": used.ru_utime + used.ru_stime,
        "wall": wall,
        "memory": memory.most,
        "written": _written() - before,
    }
    os.write(pipe, json.dumps(document).encode())
    return 0


def _reap() -> None:
    """Wait for what the command left behind; an agent that would stay for good is ended."""
    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                if time.monotonic() > ends:
                    for pid in _tree():
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.02)
        except ChildProcessError:
            return


class _Memory(threading.Thread):
    """Looks at the memory of all processes below this one, again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.most = 0

    def run(self) -> None:
        while not self.over.wait(_EVERY):
            self.most = max(self.most, sum(map(_size, _tree())))


def _tree() -> list[int]:
    """The processes below this one."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                text = Path("/proc", name, "stat").read_text(errors="replace")
            except OSError:
                continue
            # the program's name, in brackets, may hold anything
            parents[int(name)] = int(text.rpartition(")")[2].split()[1])
    below, found = {os.getpid()}, []
    # a child may have a lower number than its parent, since numbers begin anew
    while fresh := [pid for pid, parent in parents.items() if parent in below and pid not in below]:
        below.update(fresh)
        found += fresh
    return found


def _size(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _written() -> int:
    """The bytes that this process and all that it has waited for have written to storage."""
    numbers = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(numbers["write_bytes"])


if __name__ == "__main__":
    sys.exit(_below(int(sys.argv[1]), sys.argv[2:]))
