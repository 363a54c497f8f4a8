"""What a flavour lays into the merged tree at ``/tmp/in_target.d``."""

from __future__ import annotations

from collections.abc import Sequence

from imagewright.discovery import Loaded
from imagewright.folders import moved
from imagewright.metadata import broken
from imagewright.types import Entry, Phase, Script, Step, Tree


def hook_tree(loaded: Loaded, steps: Sequence[tuple[Phase, Step]]) -> Tree:
    """The scripts of its steps at ``PHASE.d/ID``, their data beside them, and the phase folders of its folder.

    Raises ContractError if two of its steps bring different data at one path.
    """
    entries: dict[str, Entry] = {entry.path: entry for entry in loaded.hooks.entries}
    for phase, step in steps:
        if not isinstance(step.action, Script):
            continue
        folder = phase.folder
        files = [Entry(path=folder, kind="folder", mode=0o755)]
        files.append(Entry(path=f"{folder}/{step.id}", mode=0o755, content=step.action.content))
        files += [moved(entry, f"{folder}/{entry.path}") for entry in step.action.data.entries]
        for entry in files:
            other = entries.get(entry.path)
            if other is None:
                entries[entry.path] = entry
            elif other != entry and other.fingerprint() != entry.fingerprint():
                raise broken(
                    loaded.origin,
                    "same-file-twice",
                    f"flavour `{loaded.name}` brings two different files `{entry.path}`",
                )
    _complete(entries)
    return Tree(tuple(entries[path] for path in sorted(entries)))


def _complete(entries: dict[str, Entry]) -> None:
    """Add the folders that data files imply."""
    for path in tuple(entries):
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            above = "/".join(parts[:depth])
            entries.setdefault(above, Entry(path=above, kind="folder", mode=0o755))
