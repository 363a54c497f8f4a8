"""Archives of packages on their way from the store into a transaction, and from a fetch into the store."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from imagewright.building.packages.store import MOST, PackageStore, store_of
from imagewright.building.state import Building
from imagewright.drivers import PLAIN, StoredPackages
from imagewright.events import Notice
from imagewright.layers.pruning import OLDEST
from imagewright.sandbox.jobs import Bind
from imagewright.types import Package

FETCHED = "packages/fetched"
"""Where in the work folder a call leaves the archives that it fetched, below ``archives``."""

_READS = 4  # threads that prove archives: they wait for the disk as much as they compute


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """The folders of one transaction: archives as the package manager looks for them, and their plain forms."""

    archives: Path
    plain: Path

    def binds(self, manager: StoredPackages) -> tuple[Bind, ...]:
        """What shows them to a job inside the target."""
        return (
            Bind(source=self.archives, target=manager.archives, read_only=False),
            Bind(source=self.plain, target=PLAIN),
        )


def store_for(building: Building) -> PackageStore:
    """The store of the build's cache; a passing one where the cache takes none."""
    store = store_of(building.request.cache_dir)
    try:
        store.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if os.access(store.folder, os.W_OK):
            return store
        reason = "it cannot be written"
    except OSError as error:
        reason = error.strerror or ""
    passing = PackageStore(building.folder / "packages" / "store")
    if not passing.folder.exists():
        message = f"packages are not kept: {store.folder}: {reason}"
        building.monitor.handle(Notice(message=message, level="warning"))
        passing.folder.mkdir(parents=True)
    return passing


def lay(building: Building, manager: StoredPackages, packages: Sequence[Package]) -> tuple[Laid, tuple[Package, ...]]:
    """Lay out for a transaction what the store holds of ``packages``; the folders, and the packages that it lacks."""
    store = store_for(building)
    folder = building.folder / "packages" / "transaction"
    shutil.rmtree(folder, ignore_errors=True)
    laid = Laid(archives=folder / "archives", plain=folder / "plain")
    for one in (laid.archives, laid.archives / "partial", laid.plain):
        one.mkdir(mode=0o755, parents=True)
    # while it is empty: what the store holds stays the caller's
    building.sandbox.own(laid.archives)

    def laid_one(package: Package) -> bool:
        return bool(package.digest) and store.lay(package.digest, laid.archives / manager.archive_name(package))

    with ThreadPoolExecutor(_READS) as threads:
        found = list(threads.map(laid_one, packages))
    return laid, tuple(package for package, there in zip(packages, found, strict=True) if not there)


def keep(building: Building, manager: StoredPackages, laid: Laid, packages: Iterable[Package]) -> None:
    """Put archives that were fetched for ``packages`` into the store."""
    store = store_for(building)
    for package in packages:
        archive = laid.archives / manager.archive_name(package)
        if archive.is_symlink() or not archive.is_file():
            continue
        try:
            store.add(archive)
        except OSError as error:
            message = f"packages are not kept: {store.folder}: {error.strerror}"
            building.monitor.handle(Notice(message=message, level="warning"))
            return
    with suppress(OSError):
        store.prune(most=MOST, oldest=OLDEST)


def lay_plain(building: Building, manager: StoredPackages, laid: Laid, packages: Sequence[Package]) -> None:
    """Lay the plain forms of archives of the store, made on all cores where there are none yet."""
    names = {manager.archive_name(package): package.digest for package in packages if package.digest}
    _lay_plain(store_for(building), manager, laid.plain, names)


def new_needed(building: Building) -> Path:
    """A new folder for the archives that a call needs, beside an empty one for what it fetches."""
    needed, fetched = building.folder / "packages" / "needed", building.folder / FETCHED
    for folder in (needed, fetched):
        building.sandbox.remove(folder)
    for folder in (needed / "archives", needed / "plain", fetched / "archives"):
        folder.mkdir(mode=0o755, parents=True)
    building.sandbox.own(fetched)
    return needed


def lay_needed(building: Building, needed: Path, names: Mapping[str, str]) -> None:
    """Keep what a call fetched, and lay all that it needs, by file name and digest, into the folder ``needed``."""
    store = store_for(building)
    fetched = building.folder / FETCHED / "archives"
    for name, digest in names.items():
        archive, place = fetched / name, needed / "archives" / name
        if "/" in name or store.lay(digest, place):
            continue
        # what cannot be kept the call fetches once more
        with suppress(OSError):
            if archive.is_file() and not archive.is_symlink() and store.add(archive) == digest:
                store.lay(digest, place)
    manager = building.prepared.package_manager
    if isinstance(manager, StoredPackages):
        _lay_plain(
            store, manager, needed / "plain", {name: digest for name, digest in names.items() if "/" not in name}
        )


def _lay_plain(store: PackageStore, manager: StoredPackages, folder: Path, names: Mapping[str, str]) -> None:
    if not manager.plain_form:
        return
    module, _, function = manager.plain_form.partition(":")
    make: Callable[[Path, Path], None] = getattr(import_module(module), function)

    def lay_one(name: str) -> None:
        digest, place = names[name], folder / name
        try:
            if not store.lay_plain(digest, place):
                store.make_plain(digest, make)
                store.lay_plain(digest, place)
        except (OSError, subprocess.CalledProcessError):
            # the archive itself does as well
            place.unlink(missing_ok=True)

    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        list(threads.map(lay_one, names))
