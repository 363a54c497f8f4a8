"""How long a plan takes: the command for a hundred flavours with a thousand steps, and plans through Python.

``python benchmarks/plan.py`` writes a hundred folder flavours of ten scripts each beside an operating system, and plans
an image of them all; beside it stands the bare start of Python, which no command can be faster than. Then one process
plans an ordinary image a thousand times. All run in turn; the best of the runs counts.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from measuring import BIN, best, finish, measured, row

FLAVOURS, STEPS = 100, 10
MOST_SECONDS = 0.5
REQUESTS, MOST_OF_ALL = 1000, 60.0


def main() -> int:
    """Measure, print one JSON document, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--system", default="debian", help="the operating-system flavour (default: debian)")
    parser.add_argument("--runs", type=int, default=5, help="how often each runs (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="imagewright-plan-") as name:
        folder = Path(name)
        names = write_flavours(folder / "flavours")
        argv = [BIN / "disk-image-create", "--plan", "--flavour-path", folder / "flavours"]
        argv += ["--cache-dir", folder / "cache", options.system, *names]
        plans, floors = [], []
        for _ in range(options.runs + 1):  # the first one compiles
            plans.append(measured(argv, log=folder / "plan.log"))
            floors.append(measured([sys.executable, "-c", "pass"]))
        steps = sum("step" in line for line in (folder / "plan.log").read_text().splitlines())
        plan, floor = best(plans[1:]), best(floors[1:])
        wall, cpu = thousand(folder, options.system)
    if steps < FLAVOURS * STEPS:
        raise SystemExit(f"the plan has {steps} steps")
    return finish(
        {
            "rows": [
                row(
                    f"plan of {FLAVOURS} flavours with {FLAVOURS * STEPS:,} steps",
                    f"≤ {MOST_SECONDS} s",
                    met=plan.wall <= MOST_SECONDS,
                    value=f"{plan.wall:.2f} s",
                    note="the whole command, beside the bare start of Python",
                    plan=plan,
                    floor=floor,
                ),
                row(
                    f"{REQUESTS:,} plan requests through Python",
                    "≤ 1 min",
                    met=wall <= MOST_OF_ALL,
                    value=f"{wall:.1f} s",
                    note=f"one process, {cpu:.1f} s of CPU",
                ),
            ]
        }
    )


def write_flavours(folder: Path) -> list[str]:
    """Write folders with a script for each step; their names."""
    names = [f"flavour-{number:03}" for number in range(FLAVOURS)]
    for name in names:
        place = folder / name / "install.d"
        place.mkdir(parents=True)
        for step in range(STEPS):
            script = place / f"{10 + 8 * step}-{name}-step-{step}"
            script.write_text(f"#!/bin/sh\nset -eu\necho {step}\n")
            script.chmod(0o755)
    return names


def thousand(folder: Path, system: str) -> tuple[float, float]:
    """Wall and CPU seconds of a thousand plans of an ordinary image in this process."""
    from imagewright.planning import prepare
    from imagewright.request import Request

    before, begun = _cpu(), time.monotonic()
    for number in range(REQUESTS):
        prepare(
            Request(
                flavours=(system, "vm"),
                output=folder / f"image-{number}",
                cache_dir=folder / "cache",
                environment=dict(os.environ),
            )
        )
    return time.monotonic() - begun, _cpu() - before


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
