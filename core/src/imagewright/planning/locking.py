"""The lock of a request: read and held against the plan, before any work."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from imagewright import __version__
from imagewright.discovery import Loaded
from imagewright.drivers import ExactVersions, PackageManager
from imagewright.errors import PlanError, UsageError
from imagewright.lockfile.fitting import check_plan
from imagewright.lockfile.lock import Lock, read_lock
from imagewright.planning.fingerprints import fingerprint_of
from imagewright.request import Request
from imagewright.types import BuildContext


def lock_of(request: Request) -> Lock | None:
    """The lock that the build obeys; None if it has none, or is to write one. Raises UsageError."""
    if request.lock is None:
        return None
    if request.lock.exists() and not request.lock.is_file():
        # reading one may never end, and writing one would put a file in its place
        raise UsageError(
            "lock-unreadable",
            f"`--lock {request.lock}` is no file",
            cause="it is a folder, a pipe, a socket or a device",
            hint=f"name a file, such as `{request.lock.name}.lock`",
            option="lock",
        )
    if request.refresh:
        return None
    if not request.lock.exists():
        if request.offline:
            raise UsageError(
                "lock-missing",
                f"there is no lock file {request.lock}, and with --offline no archive can be asked for one",
                hint="build once without --offline, which writes it",
                option="lock",
            )
        return None
    return read_lock(request.lock)


def locked_now(context: BuildContext, flavours: Sequence[Loaded]) -> Lock:
    """The lock of a plan as far as it is known before the work: no packages, no bases, no date."""
    return Lock(
        imagewright=__version__,
        operating_system=context.operating_system,
        release=context.release,
        arch=context.arch,
        epoch=0,
        flavours={loaded.name: _mark(loaded) for loaded in flavours},
    )


def check_lock(lock: Lock | None, now: Lock, path: Path | None) -> None:
    """Raise PlanError if the plan is not the one that was locked."""
    if lock is not None and path is not None:
        check_plan(lock, now, path)


def bound(manager: PackageManager, lock: Lock | None, request: Request) -> PackageManager:
    """The package manager, bound to the versions of the lock. Raises PlanError if it cannot be."""
    if request.lock is None or (lock is not None and not lock.packages):
        return manager
    if not isinstance(manager, ExactVersions):
        if manager.name == "none":
            return manager
        raise PlanError(
            "lock-not-supported",
            f"the package manager {manager.name} cannot be bound to exact versions",
            where=(f"lock: {request.lock}",),
            cause="it does not offer what imagewright.drivers.ExactVersions names",
            hint="build without --lock",
            option="lock",
        )
    return manager if lock is None else manager.bound_to(lock.packages)


def _mark(loaded: Loaded) -> str:
    """A flavour's distribution, version, and the digest of its code and files."""
    found = loaded.found
    digest = hashlib.sha256()
    if found.entry_point is not None:
        digest.update(fingerprint_of(f"{found.entry_point.module}:").encode())
    folders = {folder for folder in (found.folder, *(part.folder for part in loaded.parts)) if folder is not None}
    for folder in sorted(folders):
        for path in sorted(folder.rglob("*")):
            if "__pycache__" in path.parts or not (path.is_file() or path.is_symlink()):
                continue
            content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
            executable = path.is_file() and bool(path.stat().st_mode & 0o100)
            digest.update(f"{path.relative_to(folder)}\0{executable}\0".encode())
            digest.update(hashlib.sha256(content).digest())
    named = f"{found.distribution} {found.version}".strip() or "folder"
    return f"{named} sha256:{digest.hexdigest()}"
