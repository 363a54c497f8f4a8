"""What a build of the testing kit gives back: artefacts, manifest, log, and the root tree to look into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from imagewright.events import Event, FactFound, Notice, Output, StepFinished, StepStarted
from imagewright.testing.trees import DiskView, TarView, TreeView


class RecordingMonitor:
    """Keeps every event and writes what steps print to the log file."""

    def __init__(self, log: Path) -> None:
        self.events: list[Event] = []
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")

    def handle(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)
        line = _line(event)
        if line:
            with self._log.open("a", encoding="utf-8", errors="backslashreplace") as log:
                log.write(f"{line}\n")


def _line(event: Event) -> str:
    if isinstance(event, StepStarted):
        return f"== {event.phase}/{event.step} ({event.flavour})"
    if isinstance(event, Output):
        return event.line
    if isinstance(event, StepFinished):
        return f"== {event.phase}/{event.step} {event.status} after {event.seconds:.1f} s"
    if isinstance(event, FactFound):
        return f"fact: {event.name} = {event.value}"
    if isinstance(event, Notice):
        return f"{event.level}: {event.message}"
    return ""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A finished build. ``paths`` are the files that it wrote; ``log`` is the text of its log."""

    paths: tuple[Path, ...]
    manifest: Mapping[str, Any]
    log: str
    seconds: float
    events: tuple[Event, ...] = field(default=(), repr=False)

    def path(self, suffix: str) -> Path:
        """The artefact whose name ends in ``suffix`` (``tar``, ``.qcow2``). Raises FileNotFoundError."""
        ending = f".{suffix.lstrip('.')}"
        for path in self.paths:
            if path.name.endswith(ending):
                return path
        raise FileNotFoundError(f"the build wrote no *{ending}: {', '.join(path.name for path in self.paths)}")

    @cached_property
    def tree(self) -> TreeView:
        """The root tree, read from the tar archive if there is one, else from the raw disk."""
        if any(path.suffix == ".tar" for path in self.paths):
            return TarView(self.path("tar"))
        return DiskView(self.path("raw"))

    @property
    def steps(self) -> tuple[str, ...]:
        """``PHASE/ID`` of everything that ran, in order."""
        return tuple(f"{event.phase}/{event.step}" for event in self.events if isinstance(event, StepStarted))

    @property
    def packages(self) -> Mapping[str, str]:
        """The versions of the image's packages by name."""
        return {package["name"]: package["version"] for package in self.manifest["packages"]}

    def read(self, path: str) -> str:
        """The content of a text file of the image. Raises FileNotFoundError."""
        return self.tree.read(path)

    def mode(self, path: str) -> int:
        """The permission bits of a file of the image."""
        return self.tree.mode(path)

    def owner(self, path: str) -> tuple[int, int]:
        """User and group of a file of the image."""
        return self.tree.owner(path)

    def exists(self, path: str) -> bool:
        """Whether the image has something at ``path``."""
        return self.tree.exists(path)

    def link(self, path: str) -> str:
        """Where a symbolic link of the image points."""
        return self.tree.link(path)

    def entries(self, path: str = "") -> tuple[str, ...]:
        """The paths of everything below ``path`` in the image, sorted."""
        return self.tree.entries(path)
