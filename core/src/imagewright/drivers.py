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


PLAIN = "/run/imagewright/plain"
"""Where the command of ``install`` finds plain forms of archives, named as :meth:`StoredPackages.archive_name` says."""


@runtime_checkable
class StoredPackages(Protocol):
    """What a package manager offers besides if archives come from the store that all builds share.

    Before the transaction the core lays those that the resolution names, by their digests, into ``archives``; what the
    store lacks is fetched there by the command of ``fetch`` and kept. ``cache_folders`` names no such folder then.
    """

    @property
    def archives(self) -> str:
        """The folder of the target (absolute) in which fetched archives are looked for."""
        ...

    @property
    def plain_form(self) -> str:
        """``module:function``, called as the caller with an archive and a new file (both Path) to write.

        It makes the archive's form without compression, for :data:`PLAIN`, which is kept too. Empty: there is none. An
        archive of which it cannot be made (OSError, CalledProcessError) is installed as it is.
        """
        ...

    def archive_name(self, package: Package) -> str:
        """The name of the package's archive in the folder."""
        ...

    def fetch(self, names: Sequence[str]) -> Command:
        """Fetch what an installation of ``names`` needs into the folder, and install nothing."""
        ...


LOCKED = "/run/imagewright/locked"
"""Where steps inside the target find the archives that a lock file names."""


@runtime_checkable
class ExactVersions(Protocol):
    """What a package manager offers besides if a lock file can bind it to exact versions.

    While a lock is obeyed, the archives that it names lie at :data:`LOCKED`, as far as the store has them.
    """

    @property
    def index(self) -> str:
        """``module:function``, called as the caller with the folder of those archives (Path) and their packages.

        It writes into the folder what the package manager needs to take them from there. Empty: none are laid out.
        """
        ...

    def bound_to(self, packages: Sequence[Package]) -> PackageManager:
        """The same package manager, which installs these versions and no others. ``build_files`` covers them."""
        ...

    def archive_name(self, package: Package) -> str:
        """The name of the package's archive in the folder."""
        ...

    def provenance(self, packages: Sequence[Package]) -> Command | None:
        """Print where these packages, which are installed, could be had: in the form that ``resolve`` prints."""
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
        """Write the artefact at ``destination``, which does not exist yet; raise ImagewrightError on failure.

        Several drivers that need the raw disk write at once, each in a process of its own, which may be ended.
        """
        ...
