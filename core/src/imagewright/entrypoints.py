"""Which flavours exist, and where: found without running any code of theirs.

Three doors: the entry points of the environment's distributions, those of a ``pip install --target DIR`` tree on the
flavour search path, and the directory flavours of a plain folder on it. A folder may be both. Entry points are read
afresh each time, because a stale list hides the flavour that was installed a second ago.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Any, Literal

from imagewright.errors import PlanError, UsageError
from imagewright.types import Origin, Phase

FLAVOURS = "imagewright.flavours"
OUTPUTS = "imagewright.outputs"

FLAVOUR_NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
"""What a flavour may be called: no dot (``--set flavour.name``), no colon (``--skip flavour:phase/step``)."""

MARKS = ("flavour.toml", "binary-deps", "init", "modules", "static", "udev", "files")
"""Names that make a folder a flavour, besides its ``*.d`` folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A name of an entry point or of a folder, with where it comes from; nothing of it is loaded.

    ``tree`` is the ``pip install --target`` folder that must be importable first, if it is one.
    """

    name: str
    origin: Origin
    kind: Literal["python", "folder"]
    entry_point: EntryPoint | None = field(default=None, repr=False, compare=False)
    folder: Path | None = None
    tree: Path | None = None
    overridden: bool = False

    @property
    def distribution(self) -> str:
        """The name of the distribution, empty for a folder."""
        return self.origin.distribution

    @property
    def version(self) -> str:
        """The version of the distribution, empty for a folder."""
        return self.origin.version

    @property
    def place(self) -> str:
        """What an error shows and ``--override NAME=DIR`` takes: the folder."""
        return self.origin.location


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Everything found, sorted by name; ``unreadable`` holds a line for each distribution that could not be read."""

    found: tuple[Found, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Each name once, sorted."""
        return tuple(sorted({found.name for found in self.found}))

    def named(self, name: str) -> tuple[Found, ...]:
        """All that bear the name: none, one, or the two that quarrel."""
        return tuple(found for found in self.found if found.name == name)


def survey(
    flavour_path: Sequence[Path] = (), overrides: Sequence[tuple[str, Path]] = (), group: str = FLAVOURS
) -> Survey:
    """Look behind all doors. Raises UsageError for a search path or an override that leads nowhere."""
    # a distribution that arrived a moment ago must be seen
    importlib.invalidate_caches()
    unreadable: list[str] = []
    found = list(_of_distributions(group, None, unreadable))
    for path in flavour_path:
        folder = _search_folder(path)
        found += _of_distributions(group, folder, unreadable)
        found += _of_folder(folder)
    for name, path in overrides:
        chosen = _override(name, path, group)
        found = [other for other in found if other.name != name] + [chosen]
    unique = {(one.name, one.kind, one.distribution, one.version, one.place): one for one in reversed(found)}
    ordered = sorted(unique.values(), key=lambda one: (one.name, one.distribution, one.version, one.place))
    return Survey(found=tuple(ordered), unreadable=tuple(dict.fromkeys(unreadable)))


def check_name(name: str) -> None:
    """Raise PlanError for a name that no flavour can have."""
    if FLAVOUR_NAME.fullmatch(name) is None:
        raise PlanError(
            "bad-flavour-name",
            f"`{name}` is not a name of a flavour",
            cause="a name consists of lower-case letters, digits, and single dashes or underscores between them",
            hint="imagewright flavours list",
        )


def is_flavour_folder(folder: Path) -> bool:
    """Whether a folder looks like a directory flavour: it has a ``*.d`` folder or another mark of one."""
    if folder.name.startswith((".", "_")) or (folder / "__init__.py").exists():
        return False
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return False
    return any(entry.name in MARKS or (entry.name.endswith(".d") and entry.is_dir()) for entry in entries)


def _search_folder(path: Path) -> Path:
    folder = path.expanduser()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise UsageError(
            "flavour-path-missing",
            f"`{path}` on the flavour search path {what}",
            hint="make the folder or take it off the path",
            option="flavour-path",
        )
    if any((folder / phase.folder).is_dir() for phase in Phase):
        raise UsageError(
            "flavour-path-is-a-flavour",
            f"`{path}` on the flavour search path is itself a flavour",
            cause="the path names folders that hold flavours as sub-folders",
            hint=f"--flavour-path {folder.resolve().parent}",
            option="flavour-path",
        )
    return folder.resolve()


def _of_distributions(group: str, tree: Path | None, unreadable: list[str]) -> Iterator[Found]:
    """The entry points of a tree, or of the environment. The metadata of others is not read: that is what costs."""
    path: dict[str, Any] = {"path": [str(tree)]} if tree is not None else {}
    for distribution in distributions(**path):
        try:
            entries = tuple(distribution.entry_points.select(group=group))
            if not entries:
                continue
            where = _place(distribution)
            name, version = str(distribution.metadata["Name"] or ""), str(distribution.metadata["Version"] or "")
            # like the import system: of two distributions of one name, the first on the path hides the second
            first = next(iter(distributions(name=name, **path)), distribution)
            if _place(first) != where or first.version != version:
                continue
        except Exception as error:  # somebody else's broken metadata must not stop a build
            text = f"a distribution in {_place(distribution)} could not be read: {type(error).__name__}: {error}"
            unreadable.append(text)
            continue
        for entry in entries:
            origin = Origin(flavour=entry.name, distribution=name, version=version, location=str(where))
            yield Found(name=entry.name, origin=origin, kind="python", entry_point=entry, tree=tree)


def _place(distribution: Distribution) -> Path:
    return Path(str(distribution.locate_file(""))).resolve()


def _of_folder(folder: Path) -> Iterator[Found]:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and entry.suffix not in {".dist-info", ".egg-info", ".data"} and is_flavour_folder(entry):
            yield _folder(entry.name, entry)


def _folder(name: str, folder: Path, *, overridden: bool = False) -> Found:
    folder = folder.resolve()
    origin = Origin(flavour=name, location=str(folder))
    return Found(name=name, origin=origin, kind="folder", folder=folder, overridden=overridden)


def _override(name: str, path: Path, group: str) -> Found:
    """Find the flavour of that name: the folder itself, one of its sub-folders, or an entry point of its tree."""
    folder = path.expanduser()
    check_name(name)
    if folder.is_dir():
        if is_flavour_folder(folder):
            return _folder(name, folder, overridden=True)
        if is_flavour_folder(folder / name):
            return _folder(name, folder / name, overridden=True)
        tree = folder.resolve()
        for one in _of_distributions(group, tree, []):
            if one.name == name:
                return Found(
                    name=name,
                    origin=one.origin,
                    kind="python",
                    entry_point=one.entry_point,
                    tree=tree,
                    overridden=True,
                )
    what = f"holds no flavour `{name}`" if folder.is_dir() else "does not exist"
    raise UsageError(
        "override-missing",
        f"`--override {name}={path}`: the folder {what}",
        cause="DIR is a flavour's own folder, or a folder of a search path that holds the flavour",
        hint=f"--override {name}=DIR",
        option="override",
    )
