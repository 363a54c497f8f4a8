"""A build and its lock: what is laid ready of the locked archives, and what becomes of the lock at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from imagewright.building.host.checks import check_writable, source_date_epoch
from imagewright.building.packages.store import store_of
from imagewright.building.state import Building
from imagewright.drivers import LOCKED, ExactVersions
from imagewright.errors import PlanError
from imagewright.lockfile.fitting import check_installed
from imagewright.lockfile.lock import name_of, text_of
from imagewright.plan import Plan
from imagewright.planning.keys import STATE
from imagewright.planning.prepared import Prepared
from imagewright.request import Request
from imagewright.sandbox.jobs import Bind
from imagewright.types import Call, Package

_FOLDER = "locked"
_READS = 4


def writes_lock(request: Request, prepared: Prepared) -> bool:
    """Whether the build writes a lock file instead of obeying one."""
    return request.lock is not None and prepared.lock is None


def asking(request: Request, prepared: Prepared) -> Request:
    """The request as it is run: for a lock the world is asked anew. Raises HostError if the lock cannot be written."""
    if request.lock is None or not writes_lock(request, prepared):
        return request
    check_writable(request.lock, ("",), what="lock file", option="lock")
    return replace(request, refresh=True)


def fixed_epoch(request: Request, prepared: Prepared) -> int | None:
    """SOURCE_DATE_EPOCH from the first step on, if the caller gives it or a lock says that one did.

    Raises UsageError for a bad one, and PlanError for one that is not the lock's.
    """
    given, lock = source_date_epoch(request.environment), prepared.lock
    if lock is None:
        return given
    if given not in (None, lock.epoch):
        raise PlanError(
            "lock-does-not-fit",
            f"SOURCE_DATE_EPOCH is {given}, and {request.lock} locks {lock.epoch}",
            hint="unset it, or have the lock written anew with --refresh",
            option="lock",
        )
    # who had none set had it only after the packages were dated
    return lock.epoch if lock.epoch_given else None


def lay_locked(building: Building) -> None:
    """Lay out the archives that the lock names, as far as the store has them, with an index for the package manager."""
    manager, lock = building.prepared.package_manager, building.prepared.lock
    if lock is None or not isinstance(manager, ExactVersions) or not manager.index:
        return
    folder = building.folder / _FOLDER
    folder.mkdir(mode=0o755)
    store = store_of(building.request.cache_dir)
    known = [package for package in lock.packages if package.digest]
    with ThreadPoolExecutor(_READS) as threads:
        there = list(threads.map(lambda one: store.lay(one.digest, folder / manager.archive_name(one)), known))
    module, _, name = manager.index.partition(":")
    index: Callable[[Path, Sequence[Package]], None] = getattr(import_module(module), name)
    index(folder, [package for package, found in zip(known, there, strict=True) if found])


def locked_folder(building: Building) -> Path | None:
    """Where they lie in the work folder; None without a lock."""
    folder = building.folder / _FOLDER
    return folder if folder.is_dir() else None


def locked_binds(building: Building) -> tuple[Bind, ...]:
    """What shows them to a job inside the target."""
    folder = locked_folder(building)
    return (Bind(source=folder, target=LOCKED),) if folder else ()


def finish_lock(building: Building, listed: Sequence[Package]) -> None:
    """Hold the finished tree against the lock, or make the lock of it. Raises PlanError if it is another tree."""
    request, prepared = building.request, building.prepared
    if request.lock is None or prepared.locked_now is None:
        return
    if prepared.lock is not None:
        check_installed(prepared.lock, listed, request.lock)
        building.lock = prepared.lock
        return
    digests = building.digests
    packages = [replace(one, digest=digests.get((name_of(one), one.version), "")) for one in listed]
    building.lock = replace(
        prepared.locked_now,
        epoch=building.epoch,
        epoch_given=building.epoch_fixed,
        bases={name: building.facts[name] for name in _bases(prepared.plan) if name in building.facts},
        packages=tuple(sorted(packages, key=name_of)),
    )


def write_lock(building: Building, folder: Path) -> tuple[tuple[Path, Path], ...]:
    """Write a new lock into ``folder``; the file with the place that it is for, nothing if a lock was obeyed."""
    request, lock = building.request, building.lock
    if lock is None or request.lock is None or building.prepared.lock is not None:
        return ()
    ready = folder / ".lock"
    ready.write_text(text_of(lock), encoding="utf-8")
    return ((ready, request.lock),)


def _bases(plan: Plan) -> tuple[str, ...]:
    """The facts that say what the tree was made from: those that calls find, and the state of their sources."""
    calls = [step.step.action for step in plan.steps if isinstance(step.step.action, Call)]
    asked = (STATE,) if any(call.asks for call in calls) else ()
    return tuple(sorted({*asked, *(name for call in calls for name in call.finds)}))
