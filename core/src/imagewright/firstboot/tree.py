"""The tree that makes first-boot scripts run in the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from posixpath import dirname, join

from imagewright.types import Entry, Step, Tree

FOLDER = "usr/lib/imagewright"
SCRIPTS = f"{FOLDER}/first-boot.d"
UNIT = "imagewright-first-boot.service"


def first_boot_tree(steps: Sequence[Step], environment: Mapping[str, str]) -> Tree:
    """Lay out scripts, their data files, the runner and its enabled unit; ``steps`` hold Script actions only.

    ``environment`` are the contract's variables that the scripts see in the booted image.
    """
    shipped = resources.files(__package__)
    entries = {
        f"{FOLDER}/run-first-boot": Entry(
            path=f"{FOLDER}/run-first-boot", mode=0o755, content=shipped.joinpath("run-first-boot").read_bytes()
        ),
        f"usr/lib/systemd/system/{UNIT}": Entry(
            path=f"usr/lib/systemd/system/{UNIT}", content=shipped.joinpath(UNIT).read_bytes()
        ),
        f"etc/systemd/system/multi-user.target.wants/{UNIT}": Entry(
            path=f"etc/systemd/system/multi-user.target.wants/{UNIT}",
            kind="link",
            target=f"/usr/lib/systemd/system/{UNIT}",
        ),
        f"{FOLDER}/first-boot.env": Entry(
            path=f"{FOLDER}/first-boot.env",
            content="".join(f'{name}="{_quoted(value)}"\n' for name, value in sorted(environment.items())).encode(),
        ),
    }
    entries[f"{FOLDER}/first-boot.order"] = Entry(
        path=f"{FOLDER}/first-boot.order", content="".join(f"{step.id}\n" for step in steps).encode()
    )
    for step in steps:
        script = step.action
        path = join(SCRIPTS, step.id)
        entries[path] = Entry(path=path, mode=0o755, content=script.content)  # type: ignore[union-attr]
        for entry in script.data.entries:  # type: ignore[union-attr]
            moved = join(SCRIPTS, entry.path)
            entries[moved] = Entry(
                path=moved,
                kind=entry.kind,
                mode=entry.mode,
                content=entry.content,
                source=entry.source,
                target=entry.target,
            )
    folders = {parent for path in entries for parent in _parents(path)}
    for folder in folders:
        entries.setdefault(folder, Entry(path=folder, kind="folder", mode=0o755))
    return Tree(tuple(entries[path] for path in sorted(entries)))


def _quoted(value: str) -> str:
    """Quote for systemd's EnvironmentFile= (systemd.exec(5)): backslash and quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _parents(path: str) -> list[str]:
    found = []
    while path := dirname(path):
        found.append(path)
    return found
