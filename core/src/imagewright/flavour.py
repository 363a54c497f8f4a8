"""The base class of flavours written in Python."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

from imagewright.hookspecs import HOOKS, PROJECT, ImageSpecs, RamdiskSpecs
from imagewright.types import API_VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from imagewright.types import Parameter

OPERATING_SYSTEM = "operating-system"
"""What the flavour that gives the root tree ``provides``; exactly one of a build does."""

MARK = f"{PROJECT}_impl"


class Flavour(ImageSpecs, RamdiskSpecs):
    """A named piece that changes how an image or a ramdisk is built.

    Subclass it, implement hooks with ``@hookimpl``, and name the class in the entry-point group
    ``imagewright.flavours`` of a distribution; the name of the entry point is the name of the flavour.
    The class attributes are its metadata. A hook without ``@hookimpl`` and a misspelt hook raise TypeError at import.
    """

    api_version: ClassVar[int] = API_VERSION
    summary: ClassVar[str] = ""
    requires: ClassVar[tuple[str, ...]] = ()  # flavours that are added and come before this one
    conflicts: ClassVar[tuple[str, ...]] = ()  # flavours, or what flavours provide, that may not be in the build
    provides: ClassVar[tuple[str, ...]] = ()
    packages_wanted: ClassVar[tuple[str, ...]] = ()  # packages for the one transaction
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ()  # what of the caller's home its host-side steps read, such as "~/.ssh"
    allows: ClassVar[tuple[str, ...]] = ()  # rules of the blank slate that what it brings on purpose breaks
    programs: ClassVar[tuple[str, ...]] = ()  # programs of the host that its steps call
    default_release: ClassVar[str] = ""  # of an operating system: the release if none is asked for
    disk_space: ClassVar[int] = 0  # bytes that it needs in the work folder, so that too little is found early
    folder: ClassVar[Path | None] = None  # a directory flavour whose steps are this flavour's too

    def __init_subclass__(cls, **keywords: object) -> None:
        """Refuse a hook that lacks its mark and a mark on what is no hook."""
        super().__init_subclass__(**keywords)
        for name, value in vars(cls).items():
            marked = hasattr(value, MARK)
            if name in HOOKS and callable(value) and not marked:
                raise TypeError(f"{cls.__name__}.{name} is a hook and lacks @hookimpl")
            if marked and name not in HOOKS:
                near = get_close_matches(name, HOOKS, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise TypeError(f"{cls.__name__}.{name} has @hookimpl and is no hook{hint}")
