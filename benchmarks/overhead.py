"""What the engine itself costs in a cold build: all CPU but that of the tools it runs, and its memory.

``python benchmarks/overhead.py [FLAVOUR...]`` builds an image from its first step on, with packages that were fetched
before, and has each process of ours note its own use when it ends, or when it becomes a program: the builder, the
launcher of the sandbox, and the processes between. What is left of the build's CPU are the tools.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from measuring import BIN, finish, measured, row

MOST_CPU = 0.03
MOST_MEMORY = 200 * 2**20

OBSERVER = '''
"""Python imports this at its start in every process of the engine; forks inherit what it changed."""

import atexit
import json
import os
import resource
import sys

folder = os.path.dirname(__file__)
notes = os.open(os.path.join(folder, "notes"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
end, close = os._exit, os.closerange


def note(kind):
    used = resource.getrusage(resource.RUSAGE_SELF)
    line = {"kind": kind, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss * 1024}
    try:
        os.write(notes, json.dumps(line).encode() + b"\\n")
    except OSError:
        pass


def ended(status):
    note("fork")
    end(status)


def closed(first, last):
    # a process of the sandbox does that right before it becomes a program
    note("program")
    close(first, last)


os._exit, os.closerange = ended, closed
atexit.register(note, "main")
'''


def main() -> int:
    """Measure, print one JSON document, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("flavours", nargs="*", default=["debian", "vm"], help="what to build (default: debian vm)")
    parser.add_argument(
        "--option", action="append", default=[], help="an option of disk-image-create, such as --mirror"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="imagewright-overhead-") as name:
        folder = Path(name)
        # mapped root imports nothing from here, yet notes what it used
        folder.chmod(0o755)
        observer = folder / "observer"
        observer.mkdir()
        (observer / "sitecustomize.py").write_text(OBSERVER)
        path = os.pathsep.join(filter(None, (str(observer), os.environ.get("PYTHONPATH", ""))))
        words = [word for given in options.option for word in given.split()]
        argv = [BIN / "disk-image-create", "--from", "root", "--progress", "none", "-o", folder / "image", *words]
        # compiled once before, as in every build but the first
        measured([BIN / "disk-image-create", "--plan", *words, *options.flavours], log=folder / "plan.log")
        cost = measured(
            [*argv, *options.flavours],
            environment={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            log=folder / "log",
        )
        noted = [json.loads(line) for line in (observer / "notes").read_text().splitlines()]
    engine = sum(one["cpu"] for one in noted)
    memory = sum(one["memory"] for one in noted if one["kind"] == "main")
    share = engine / cost.cpu
    kinds = {kind: [one["cpu"] for one in noted if one["kind"] == kind] for kind in ("main", "fork", "program")}
    return finish(
        {
            "flavours": options.flavours,
            "engine": {
                kind: {"processes": len(found), "cpu": round(sum(found), 3)} for kind, found in sorted(kinds.items())
            },
            "rows": [
                row(
                    "engine's own overhead, of the CPU of a cold build",
                    "≤ 3 %",
                    met=share <= MOST_CPU,
                    value=f"{share:.1%}",
                    note=f"{engine:.2f} of {cost.cpu:.2f} s, with what writes the qcow2, for which others have a tool",
                    build=cost,
                ),
                row(
                    "engine's own memory",
                    "≤ 200 MiB",
                    met=memory <= MOST_MEMORY,
                    value=f"{memory / 2**20:.0f} MiB",
                    note="the most that each of its two lasting processes held, added up",
                ),
            ],
        }
    )


if __name__ == "__main__":
    sys.exit(main())
