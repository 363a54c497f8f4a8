"""What four images that share a base cost beside one of them, by ``imagewright build``.

``python benchmarks/images_file.py [FLAVOUR...]`` builds one image of these flavours (``debian vm``) with a role of its
own, then four with four roles, each time without any kept layer; the packages are fetched before. The target is in wall
time; the cost in CPU is shown too. Beyond the target it exits with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from measuring import BIN, Cost, best, finish, measured, row

ROLES = ("web", "database", "queue", "monitor")
TARGET = 1.6


def main() -> int:
    """Measure, print one JSON document, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("flavours", nargs="*", default=["debian", "vm"], help="what the images share (debian vm)")
    parser.add_argument("--runs", type=int, default=1, help="how often each way runs (default: 1)")
    parser.add_argument("--folder", type=Path, help="where to work (default: the folder for temporary files)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        file = written(folder, options.flavours)
        build(folder, file, only=ROLES[0])  # fetches the packages
        one, four, again = [], [], []
        for _ in range(options.runs):
            forget(folder)
            one.append(build(folder, file, only=ROLES[0]))
            again.append(build(folder, file, only=ROLES[0]))
            forget(folder)
            four.append(build(folder, file))
        forget(folder)
    ratio = best(four).wall / best(one).wall
    return finish(
        {
            "flavours": options.flavours,
            "runs": options.runs,
            "ratio in CPU": round(best(four).cpu / best(one).cpu, 2),
            "seconds of a run that changes nothing": round(best(again).wall, 2),
            "rows": [
                row(
                    "four images that share a base",
                    f"at most {TARGET} times the cost of one",
                    met=ratio <= TARGET,
                    value=f"{ratio:.2f} times",
                    note="each has a role of its own behind the shared flavours; wall time decides",
                    one=best(one),
                    four=best(four),
                )
            ],
        }
    )


def written(folder: Path, flavours: list[str]) -> Path:
    """The images file, with a flavour for each role beside it."""
    names = ", ".join(f'"{name}"' for name in flavours)
    folders = json.dumps(["roles", *filter(None, os.environ.get("FLAVOURS_PATH", "").split(":"))])
    text = f'[defaults]\nflavour-path = {folders}\ncache-dir = "cache"\noutput = "{{name}}"\n'
    for role in ROLES:
        text += f'[images.{role}]\nflavours = [{names}, "role-{role}"]\n'
        script = folder / "roles" / f"role-{role}" / "install.d" / "50-role"
        script.parent.mkdir(parents=True)
        script.write_text(f"#!/bin/sh\nset -eu\necho {role} >/etc/role\n")
        script.chmod(0o755)
    file = folder / "images.toml"
    file.write_text(text)
    return file


def build(folder: Path, file: Path, only: str = "") -> Cost:
    """Run ``imagewright build``."""
    chosen = ["--only", only] if only else []
    return measured(
        [BIN / "imagewright", "build", file, *chosen, "--progress", "plain"], folder=folder, log=folder / "log"
    )


def forget(folder: Path) -> None:
    """Leave the packages in the cache, and nothing else."""
    command: list[str | Path] = [
        BIN / "imagewright",
        "cache",
        "prune",
        "--max-size",
        "0.000001",
        "--cache-dir",
        folder / "cache",
        "--json",
    ]
    measured(command, log=folder / "log")
    layers = json.loads((folder / "log").read_text())
    if layers.get("in_use"):
        raise SystemExit("layers are in use")


if __name__ == "__main__":
    sys.exit(main())
