"""Archives of packages on their way from the store into a transaction, and from a fetch into the store."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from imagewright.building.packagestore import MOST, PackageStore, store_of
from imagewright.building.state import Building
from imagewright.drivers import PLAIN, StoredPackages
from imagewright.events import Notice
from imagewright.layers.pruning import OLDEST
from imagewright.sandbox.jobs import Bind
from imagewright.types import Package

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
    if not manager.plain_form:
        return
    store = store_for(building)
    module, _, name = manager.plain_form.partition(":")
    make: Callable[[Path, Path], None] = getattr(import_module(module), name)

    def lay_one(package: Package) -> None:
        place = laid.plain / manager.archive_name(package)
        try:
            if package.digest and not store.lay_plain(package.digest, place):
                store.make_plain(package.digest, make)
                store.lay_plain(package.digest, place)
        except (OSError, subprocess.CalledProcessError):
            # the archive itself does as well
            place.unlink(missing_ok=True)

    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        list(threads.map(lay_one, packages))
