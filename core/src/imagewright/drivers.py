"""What exchangeable parts must offer: package managers (from operating-system flavours) and output formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from imagewright.types import Command, Package, Repository, Tree

PRIVATE = "/run/imagewright/private"
"""Where steps inside the target find what :meth:`PrivateRepositories.private_files` gives."""


class PackageManager(Protocol):
    """How the packages of a root tree are handled; commands run inside the target as its root.

    It declares and acts nowhere itself: the core runs the commands and hands their output back.
    """

    @property
    def name(self) -> str:
        """What a plan shows, such as ``apt``."""
        ...

    def build_files(self, environment: Mapping[str, str]) -> Tree:
        """Files that serve the build only and never reach the image: no services start, proxies, speed.

        ``environment`` holds the caller's proxy variables (``http_proxy``, …) as they are.
        They lie below the root tree, so a file of the same path in the tree hides them.
        """
        ...

    def cache_folders(self) -> Mapping[str, str]:
        """Folders of the target (absolute) that the package cache serves, each with the cache folder's name."""
        ...

    def refresh(self) -> Command | None:
        """Bring the package indexes up to date."""
        ...

    def resolve(self, names: Sequence[str]) -> Command | None:
        """Print what an installation of ``names`` would bring."""
        ...

    def parse_resolution(self, output: str) -> tuple[Package, ...]:
        """Read what the command of :meth:`resolve` printed."""
        ...

    def install(self, names: Sequence[str]) -> Command | None:
        """Install ``names`` in one transaction."""
        ...

    def listing(self) -> Command | None:
        """Print every package of the tree."""
        ...

    def parse_listing(self, output: str) -> tuple[Package, ...]:
        """Read what the command of :meth:`listing` printed."""
        ...

    def moment(self) -> Command | None:
        """Print the seconds since 1970 (an integer) that date the packages, for SOURCE_DATE_EPOCH."""
        ...


@runtime_checkable
class PrivateRepositories(Protocol):
    """What a package manager offers besides if it takes the repositories that ``ctx.repositories`` names.

    Where they are goes into ``build_files``; a build that names repositories is refused without this.
    """

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """Those that it was given, all of them."""
        ...

    def private_files(self) -> Tree:
        """Keys and logins: read-only at :data:`PRIVATE` in every step inside the target, and part of no layer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """What an output format is given: the sparse raw disk, or the root tree as a tar archive."""

    name: str
    raw: Path | None
    tar: Path | None
    epoch: int
    details: Mapping[str, str] = field(default_factory=dict)


class Output(Protocol):
    """An output format: an entry point of the group ``imagewright.outputs``, named like the type."""

    suffix: str  # ".qcow2"
    needs: str  # "raw" or "tar"
    tools: Sequence[str]  # programs of the host

    def write(self, image: BuiltImage, destination: Path) -> None:
        """Write the artefact at ``destination``, which does not exist yet; raise ImagewrightError on failure."""
        ...
