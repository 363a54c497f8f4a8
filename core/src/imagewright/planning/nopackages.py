"""The package manager of an operating system that has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imagewright.drivers import PackageManager
from imagewright.types import Command, Package, Tree


class NoPackages:
    """Handles no packages: a directory flavour that is an operating system has no way to name a manager."""

    name = "none"

    def build_files(self, environment: Mapping[str, str]) -> Tree:
        """No files."""
        return Tree()

    def cache_folders(self) -> Mapping[str, str]:
        """No folders."""
        return {}

    def refresh(self) -> Command | None:
        """No command."""
        return None

    def resolve(self, names: Sequence[str]) -> Command | None:
        """No command."""
        return None

    def parse_resolution(self, output: str) -> tuple[Package, ...]:
        """No packages."""
        return ()

    def install(self, names: Sequence[str]) -> Command | None:
        """No command."""
        return None

    def listing(self) -> Command | None:
        """No command."""
        return None

    def parse_listing(self, output: str) -> tuple[Package, ...]:
        """No packages."""
        return ()

    def moment(self) -> Command | None:
        """No command."""
        return None


def no_packages() -> PackageManager:
    """The one that stands in."""
    return NoPackages()
