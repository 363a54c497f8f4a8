"""The one transaction of packages, by the package manager that the operating-system flavour gave."""

from __future__ import annotations

import re
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from imagewright.building.packages.archives import keep, lay, lay_plain
from imagewright.building.packages.private import private_binds
from imagewright.building.staging.environment import HOOKS, variables
from imagewright.building.staging.hooks import stage_hooks
from imagewright.building.state import Building
from imagewright.drivers import ExactVersions, StoredPackages
from imagewright.errors import StepFailed
from imagewright.events import Notice
from imagewright.layers.locks import alone, holder
from imagewright.lockfile.fitting import check_resolution
from imagewright.lockfile.lock import name_of
from imagewright.plan import PlannedStep, digest_of
from imagewright.planning.keys import PACKAGE_VERSIONS
from imagewright.sandbox.jobs import Bind, Job
from imagewright.types import Command, Package

DATED = "packages dated"
"""The fact that the package manager's indexes have this date, in seconds since 1970."""


def resolve(building: Building, planned: PlannedStep, layer: str) -> None:
    """Refresh the indexes, date the build by them, and record as a fact what the transaction would bring."""
    manager = building.prepared.package_manager
    _run(building, planned, manager.refresh(), layer)
    # what follows reads what the refresh wrote, and keeps nothing
    building.layers.append(layer)
    try:
        if not building.epoch_fixed:
            lock = building.prepared.lock
            text = str(lock.epoch) if lock else _run(building, planned, manager.moment(), None).strip()
            if text.isdigit():
                building.epoch = int(text)
                building.fact(DATED, text)
        names = building.prepared.plan.packages
        if names:
            found = _resolution(building, planned)
            _check_lock(building, planned, found)
            # in no order of the package manager's, which is another one where archives come from elsewhere
            versions = sorted((package.name, package.version, package.digest) for package in found)
            building.fact(PACKAGE_VERSIONS, digest_of(versions))
    finally:
        building.layers.remove(layer)


def _check_lock(building: Building, planned: PlannedStep, found: tuple[Package, ...]) -> None:
    """Hold what a transaction would bring against the lock; for a lock to write, learn the digests of archives."""
    path, manager = building.request.lock, building.prepared.package_manager
    if path is None:
        return
    if building.prepared.lock is not None:
        check_resolution(building.prepared.lock, found, path)
        return
    known = found
    if isinstance(manager, ExactVersions):
        # of the first tree nothing is said by what comes besides
        printed = _run(building, planned, manager.provenance(installed(building, planned)), None, quiet=True)
        known = (*found, *manager.parse_resolution(printed))
    building.digests |= {(name_of(one), one.version): one.digest for one in known if one.digest}


def install(building: Building, planned: PlannedStep, layer: str) -> None:
    """Install every package that was asked for."""
    names = building.prepared.plan.packages
    manager = building.prepared.package_manager
    if not names:
        return
    binds: tuple[Bind, ...] = ()
    if isinstance(manager, StoredPackages):
        packages = _resolution(building, planned)
        laid, missing = lay(building, manager, packages)
        binds = laid.binds(manager)
        if missing:
            _run(building, planned, manager.fetch(names), None, binds=binds)
            keep(building, manager, laid, missing)
        lay_plain(building, manager, laid, packages)
    _run(building, planned, manager.install(names), layer, binds=binds)


def _resolution(building: Building, planned: PlannedStep) -> tuple[Package, ...]:
    """What the transaction brings; asked once, since the indexes are the same all the time."""
    if building.resolution is None:
        manager = building.prepared.package_manager
        try:
            printed = _run(building, planned, manager.resolve(building.prepared.plan.packages), None)
        except StepFailed as error:
            error.where = (*error.where, *_who_wants(building))
            raise
        building.resolution = manager.parse_resolution(printed)
    return building.resolution


def _who_wants(building: Building) -> list[str]:
    """Who asked for the packages that the last lines name: a package manager names those that it does not have."""
    said = {word for line in building.tail for word in re.split(r"[\s'\"`,;:()]+", line)}
    # a version or a suite behind the name is told apart from it
    named = {name: who for name, who in building.prepared.wanted.items() if re.split("[=/:]", name)[0] in said}
    return [f"{name}: wanted by {', '.join(who)}" for name, who in named.items()]


def installed(building: Building, planned: PlannedStep) -> tuple[Package, ...]:
    """Every package of the finished tree, for the manifest."""
    manager = building.prepared.package_manager
    return manager.parse_listing(_run(building, planned, manager.listing(), None, quiet=True))


def _package_cache(building: Building, name: str, closing: ExitStack) -> Path:
    """The folder of fetched packages, held until ``closing``; a passing one where the cache takes none."""
    source = building.request.cache_dir / "packages" / name
    lock = source.with_name(f"{name}.lock")
    try:
        source.mkdir(parents=True, exist_ok=True)
        # one transaction at a time uses the cache: package managers lock it and give up at once
        closing.enter_context(alone(lock, partial(_waits, building, lock, source)))
    except OSError as error:
        passing = building.folder / "packages" / name
        if not passing.exists():
            message = f"packages are not kept: {error.filename or source}: {error.strerror}"
            building.monitor.handle(Notice(message=message, level="warning"))
            passing.mkdir(parents=True)
        return passing
    return source


def _waits(building: Building, lock: Path, cache: Path) -> None:
    # a transaction takes the cache several times
    if cache in building.waited:
        return
    building.waited.add(cache)
    process = holder(lock)
    other = f"another build (process {process})" if process else "another build"
    building.monitor.handle(Notice(message=f"waiting for {other}, which uses the package cache {cache}"))


def _run(
    building: Building,
    planned: PlannedStep,
    command: Command | None,
    layer: str | None,
    *,
    quiet: bool = False,
    binds: tuple[Bind, ...] = (),
) -> str:
    if command is None:
        return ""
    printed: list[str] = []

    def take(line: str) -> None:
        printed.append(line)
        if not quiet:
            building.output(line)

    manager = building.prepared.package_manager
    with ExitStack() as closing:
        folders = [*binds]
        for folder, name in manager.cache_folders().items():
            source = _package_cache(building, name, closing)
            building.sandbox.own(source)
            folders.append(Bind(source=source, target=folder, read_only=False))
        hooks = stage_hooks(building, planned, f"packages-{planned.step.id}")
        folders += [Bind(source=hooks, target=HOOKS), *private_binds(building)]
        job = Job(
            argv=command.argv,
            environment={**variables(building, planned), **command.environment},
            stack=building.stack(upper=layer),
            inside=True,
            binds=tuple(folders),
            network=not building.request.offline,
        )
        status = building.sandbox.run(job, take)
        building.sandbox.remove(hooks)
    if status:
        raise building.failed(f"the package manager ({manager.name})", status)
    return "\n".join(printed)
