"""Turns names into objects: flavours and drivers. The only importer of stevedore.

Nothing is loaded until it is named, and one broken pack never stops a build that does not use it. stevedore does the
loading, one entry point at a time. The list of entry points and the quarrels about names are ours: its cached list may
be stale and has forgotten the distributions, and of two entry points of one name it silently takes one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, cast

from stevedore.named import NamedExtensionManager

from imagewright.deprecation import check_contract
from imagewright.drivers import Output
from imagewright.entrypoints import MARKS, OUTPUTS, Found, Survey, check_name, survey
from imagewright.errors import ContractError, PlanError, UsageError
from imagewright.flavour import Flavour
from imagewright.folders import DirectoryFlavour, check_root, directory_flavour, read_flavour_folder
from imagewright.metadata import Metadata, broken, metadata_of
from imagewright.types import Origin, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A flavour that was named and loaded. ``parts`` are asked for contributions: the class, its folder, or both."""

    found: Found
    parts: tuple[Flavour, ...]
    metadata: Metadata
    hooks: Tree = field(default_factory=Tree, repr=False)  # the phase folders of a directory flavour
    default_release: str = ""

    @property
    def name(self) -> str:
        """The flavour's name."""
        return self.found.name

    @property
    def origin(self) -> Origin:
        """Who brought it."""
        return self.found.origin


def catalogue(flavour_path: Sequence[Path] = (), overrides: Sequence[tuple[str, Path]] = ()) -> tuple[Found, ...]:
    """Every flavour that could be named, sorted; nothing is loaded, and a name found twice is there twice.

    Raises UsageError for a search path or an override that leads nowhere.
    """
    return survey(flavour_path, overrides).found


def choose(name: str, surveyed: Survey, *, wanted_by: str = "", flavour_path: Sequence[Path] = ()) -> Found:
    """Find the one flavour of that name.

    Raises PlanError if there is none (with the nearest names) and ContractError if there are two.
    """
    check_name(name)
    candidates = surveyed.named(name)
    if not candidates:
        raise _unknown(name, surveyed, wanted_by, flavour_path)
    if len(candidates) > 1:
        places = [f"{_described(found.origin)} in {found.place}" for found in candidates]
        raise ContractError(
            "duplicate-flavour",
            f"two flavours are called `{name}`" if len(places) == 2 else f"{len(places)} flavours are called `{name}`",
            where=tuple(places),
            hint=f"choose one: --override {name}={candidates[0].place}",
        )
    return candidates[0]


def load(found: Found) -> Loaded:
    """Load a flavour and make its one instance.

    Raises ContractError, with distribution, version and cause, if it does not load or breaks the contract.
    """
    if found.folder is not None:
        return _joined(found, None, found.folder)
    if found.entry_point is None:
        raise TypeError(f"{found.name} has neither folder nor entry point")
    if found.tree is not None and str(found.tree) not in sys.path:
        sys.path.append(str(found.tree))
    loaded = _load_entry_point(found.entry_point, found.origin)
    if isinstance(loaded, Flavour):
        raise broken(
            found.origin,
            "flavour-is-an-instance",
            f"the entry point of flavour `{found.name}` names an instance",
            hint="name the class",
        )
    if not isinstance(loaded, type) or not issubclass(loaded, Flavour):
        raise broken(
            found.origin,
            "not-a-flavour",
            f"the entry point of flavour `{found.name}` names no subclass of imagewright.api.Flavour",
            cause=f"`{found.entry_point.value}` is {loaded!r}",
        )
    check_contract(loaded, found.origin)
    try:
        instance = loaded()
    except Exception as error:
        raise broken(
            found.origin,
            "flavour-broken",
            f"flavour `{found.name}` could not be made",
            cause=f"{type(error).__name__}: {error}",
        ) from error
    return _joined(found, instance, instance.folder)


def outputs() -> tuple[str, ...]:
    """The names of all output formats, sorted; nothing is loaded."""
    return survey(group=OUTPUTS).names


def load_output(name: str) -> Output:
    """Load an output format.

    Raises UsageError if there is none of that name (with the nearest) and ContractError if it does not load, lacks
    something, or two distributions bring it.
    """
    return _load_output(name, tuple(sys.path))


@cache
def _load_output(name: str, path: tuple[str, ...]) -> Output:
    # every part of a build asks for the same few, and looking through all distributions is what costs
    surveyed = survey(group=OUTPUTS)
    candidates = surveyed.named(name)
    if not candidates:
        near = get_close_matches(name, surveyed.names, n=1)
        raise UsageError(
            "unknown-output",
            f"there is no output type `{name}`",
            hint=f"did you mean `{near[0]}`?" if near else f"types: {', '.join(surveyed.names)}",
            option="type",
        )
    if len(candidates) > 1:
        raise ContractError(
            "duplicate-output",
            f"two distributions bring the output type `{name}`",
            where=tuple(f"{_described(found.origin)} in {found.place}" for found in candidates),
            hint=f"pip uninstall {candidates[0].distribution}",
        )
    found = candidates[0]
    loaded = _load_entry_point(cast("EntryPoint", found.entry_point), found.origin, what="output type")
    try:
        driver = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:
        raise broken(
            found.origin,
            "output-broken",
            f"the output type `{name}` could not be made",
            cause=f"{type(error).__name__}: {error}",
        ) from error
    lacking = [part for part in ("suffix", "needs", "tools", "write") if not hasattr(driver, part)]
    if lacking:
        raise broken(
            found.origin,
            "not-an-output",
            f"the output type `{name}` breaks the contract",
            cause=f"it lacks {', '.join(lacking)}",
        )
    return cast("Output", driver)


class _One(NamedExtensionManager[Any]):
    """A manager that sees exactly one entry point, the one given: no scan, no cache, no conflict."""

    def __init__(self, entry_point: EntryPoint) -> None:
        self._entry_point = entry_point
        super().__init__(
            entry_point.group,
            [entry_point.name],
            name_order=True,
            on_load_failure_callback=_fail,
            on_missing_entrypoints_callback=None,
        )

    def list_entry_points(self) -> list[EntryPoint]:
        """The one."""
        return [self._entry_point]


def _fail(_manager: object, _entry_point: EntryPoint, error: BaseException) -> None:
    raise error


def _load_entry_point(entry_point: EntryPoint, origin: Origin, what: str = "flavour") -> Any:
    try:
        return _One(entry_point).extensions[0].plugin
    except (Exception, SystemExit) as error:
        raise broken(
            origin,
            f"{what.split()[0]}-does-not-load",
            f"{what} `{origin.flavour}` does not load",
            cause=f"{type(error).__name__}: {error}",
            hint=_loading_hint(error, origin),
        ) from error


def _loading_hint(error: BaseException, origin: Origin) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install what brings the module `{error.name}`, or: pip install --force-reinstall {origin.distribution}"
    return ""


def _joined(found: Found, instance: Flavour | None, folder: Path | None) -> Loaded:
    metadata = metadata_of(instance, found.origin) if instance is not None else Metadata()
    parts: list[Flavour] = [instance] if instance is not None else []
    hooks = Tree()
    if folder is not None:
        contents = read_flavour_folder(folder, found.origin)
        part: DirectoryFlavour = directory_flavour(contents)
        parts.append(part)
        metadata = metadata.joined(metadata_of(part, found.origin))
        check_root(contents, metadata.provides)
        hooks = contents.hooks
    release = instance.default_release if instance is not None else ""
    return Loaded(found=found, parts=tuple(parts), metadata=metadata, hooks=hooks, default_release=release)


def _described(origin: Origin) -> str:
    return f"{origin.distribution} {origin.version}".rstrip() if origin.distribution else "the folder"


def _unknown(name: str, surveyed: Survey, wanted_by: str, flavour_path: Sequence[Path]) -> PlanError:
    where = [f"required by: {wanted_by}"] if wanted_by else []
    where += surveyed.unreadable
    for path in flavour_path:
        if (path.expanduser() / name).is_dir():
            where.append(f"the folder {path.expanduser() / name} has no phase folder and none of {', '.join(MARKS)}")
    near = get_close_matches(name, surveyed.names, n=3)
    if near:
        hint = f"did you mean {' or '.join(f'`{one}`' for one in near)}?"
    elif surveyed.names:
        hint = f"installed: {', '.join(surveyed.names)}"
    else:
        hint = "no flavour is installed: pip install a flavour pack, or name a folder with --flavour-path"
    return PlanError("unknown-flavour", f"there is no flavour `{name}`", where=tuple(where), hint=hint)
