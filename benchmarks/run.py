"""``make bench``: every benchmark of the target table in turn, side by side on this machine, kept in ``RESULTS.md``.

``python benchmarks/run.py [NAME…]`` runs those named, or all; ``--runs`` is passed on to those that take it. What a
script prints goes into ``build/bench/NAME.json``, and RESULTS.md is written from all such files, so that one can be
measured again alone. A script that fails is said so and keeps no other from running. Exits with 1 if a target is missed
or a script failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
KEPT = TOP / "build" / "bench"
RESULTS = TOP / "benchmarks" / "RESULTS.md"
IMAGE = KEPT / "image"
PROGRAMS = (
    ("mmdebstrap", ("mmdebstrap", "--version")),
    ("qemu-img", ("qemu-img", "--version")),
    ("mke2fs", ("mke2fs", "-V")),
    ("apt", ("apt-get", "--version")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A script of this folder; ``root``: it cannot run as another user.

    ``given`` is an image of ``debian vm`` that it is given: its suffix, or nothing. ``words`` follow.
    """

    name: str
    runs: int = 0  # 0: it takes no --runs
    root: bool = False
    given: str = ""
    words: tuple[str, ...] = ()

    @property
    def script(self) -> Path:
        """Where it is."""
        return TOP / "benchmarks" / f"{self.name}.py"

    def command(self, runs: int | None) -> list[str]:
        """How it is called."""
        repeated = ["--runs", str(runs or self.runs)] if self.runs else []
        given = [f"{IMAGE}.{self.given}"] if self.given else []
        return [sys.executable, str(self.script), *repeated, *given, *self.words]


BENCHMARKS = (
    Benchmark(name="field", runs=3, root=True),
    Benchmark(name="programs", root=True),
    Benchmark(name="images_file", runs=2),
    Benchmark(name="assembly", runs=3, root=True, given="tar"),
    Benchmark(name="overhead"),
    Benchmark(name="plan", runs=5),
    Benchmark(name="get_kernel", runs=5, given="qcow2"),
    Benchmark(name="ramdisk", runs=3, words=("debian", "deploy")),
)
"""In the order of the page."""


def main() -> int:
    """Run, keep, write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run (default: all that are there)")
    parser.add_argument("--runs", type=int, help="how often each way runs")
    parser.add_argument("--page", action="store_true", help="run nothing; write the page from what is kept")
    options = parser.parse_args()
    known = {one.name: one for one in BENCHMARKS}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [known[name] for name in options.names] or [one for one in BENCHMARKS if one.script.exists()]
    results = [] if options.page else [run(one, options.runs) for one in chosen]
    kept = [document for one in BENCHMARKS if (document := read(one.name)) is not None]
    RESULTS.write_text(page(kept), encoding="utf-8")
    print(f"written: {RESULTS.relative_to(TOP)}")
    return 0 if all(results) else 1


def run(one: Benchmark, runs: int | None) -> bool:
    """Run one and keep what it printed; whether all of its targets were met."""
    if one.root and os.geteuid():
        print(f"{one.name}: not run, it needs root: sudo make bench")
        return False
    if one.given:
        KEPT.mkdir(parents=True, exist_ok=True)
        build: list[str | Path] = [
            Path(sys.executable).with_name("disk-image-create"),
            "--progress",
            "none",
            "-t",
            one.given,
            "-o",
            IMAGE,
        ]
        subprocess.run([*build, "debian", "vm"], check=True, stdout=subprocess.DEVNULL)
    print(f"{one.name}: {' '.join(one.command(runs)[1:])}", flush=True)
    done = subprocess.run(one.command(runs), cwd=TOP / "benchmarks", stdout=subprocess.PIPE, text=True, check=False)
    try:
        document = json.loads(done.stdout)
        rows = document["rows"]
    except (ValueError, KeyError, TypeError):
        print(f"{one.name}: FAILED with status {done.returncode}\n{done.stdout}")
        return False
    document |= {"name": one.name, "date": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine()}
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{one.name}.json").write_text(json.dumps(document, indent=2) + "\n")
    for row in rows:
        print(f"  {'met   ' if row['met'] else 'MISSED'} {row['work']}: {row['value']} (target: {row['target']})")
    return done.returncode == 0


def read(name: str) -> dict[str, Any] | None:
    """What was kept of a benchmark."""
    try:
        document: dict[str, Any] = json.loads((KEPT / f"{name}.json").read_text())
    except (OSError, ValueError):
        return None
    return document


def machine() -> dict[str, str]:
    """What was measured on: numbers and versions, no names."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = {
        "cores": str(os.cpu_count()),
        "memory": f"{pages / 2**30:.0f} GiB",
        "kernel": platform.release().split("-")[0],
        "system": _system(),
        "Python": platform.python_version(),
        "Imagewright": _commit(),
    }
    return found | {name: version for name, argv in PROGRAMS if (version := _version(argv))}


def _system() -> str:
    names = platform.freedesktop_os_release()
    return f"{names.get('NAME', '')} {names.get('VERSION_ID', '')}".strip()


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=TOP, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _version(argv: Sequence[str]) -> str:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    except OSError:
        return ""
    words = (done.stdout or done.stderr).split("\n")[0].split()
    return next((word for word in words if word[0].isdigit()), "")


# -- the page


def page(documents: Sequence[Mapping[str, Any]]) -> str:
    """RESULTS.md."""
    return "\n".join([*HEAD, *_summary(documents), "", *(line for one in documents for line in _section(one))])


HEAD = (
    "# Results",
    "",
    "Written by `make bench` (`benchmarks/run.py`); each section says when and with what. CPU is user and system",
    "time of the whole process tree, memory the most that its processes held at one moment, written what went to",
    "storage and not to a tmpfs. The best of the runs counts. Ways that are compared ran in turn on the same machine,",
    "from the same mirror, and what they make is not all the same: the notes say where one does less.",
    "",
)


def _summary(documents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| work | target | measured | |"
    yield "| --- | --- | --- | --- |"
    for document in documents:
        for row in document["rows"]:
            yield f"| {row['work']} | {row['target']} | {row['value']} | {'met' if row['met'] else '**missed**'} |"


def _section(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {document['name']}.py"
    yield ""
    facts = {name: value for name, value in document.items() if isinstance(value, str | int | float) and value}
    said = [f"{name} {value}" for name, value in facts.items() if name not in ("name", "date")]
    versions = ", ".join(f"{name} {version}" for name, version in document["machine"].items())
    yield f"{document['date']}; {'; '.join([*said, versions])}."
    yield ""
    yield from _costs(document["rows"])
    for table in document.get("tables", ()):
        yield from _table(table["columns"], table["lines"])
    told = [row["note"] for row in document["rows"]] + document.get("notes", [])
    notes = dict.fromkeys(filter(None, told))
    for note in notes:
        yield f"- {note}"
    if notes:
        yield ""


def _costs(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    lines = []
    for row in rows:
        for way, cost in row["costs"].items():
            numbers = (cost["cpu"], cost["wall"])
            sizes = (cost["memory"] / 2**20, cost["written"] / 2**20)
            lines.append((row["work"], way, *(f"{one:.2f}" for one in numbers), *(f"{one:.0f}" for one in sizes)))
    if not lines:
        return
    # what was compared with several stands there once
    yield from _table(("work", "way", "CPU s", "wall s", "memory MiB", "written MiB"), list(dict.fromkeys(lines)))


def _table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    words = {"work", "way", columns[0]}
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join('---' if one in words else '---:' for one in columns)} |"
    for line in lines:
        yield f"| {' | '.join(line)} |"
    yield ""


if __name__ == "__main__":
    sys.exit(main())
