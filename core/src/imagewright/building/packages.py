"""The one transaction of packages, by the package manager that the operating-system flavour gave."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from imagewright.building.environment import HOOKS, variables
from imagewright.building.private import private_binds
from imagewright.building.running import stage_hooks
from imagewright.building.state import Building
from imagewright.events import Notice
from imagewright.layers.locks import alone, holder
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
            text = _run(building, planned, manager.moment(), None).strip()
            if text.isdigit():
                building.epoch = int(text)
                building.fact(DATED, text)
        names = building.prepared.plan.packages
        if names:
            found = manager.parse_resolution(_run(building, planned, manager.resolve(names), None))
            versions = [(package.name, package.version, package.digest) for package in found]
            building.fact(PACKAGE_VERSIONS, digest_of(versions))
    finally:
        building.layers.remove(layer)


def install(building: Building, planned: PlannedStep, layer: str) -> None:
    """Install every package that was asked for."""
    names = building.prepared.plan.packages
    if names:
        _run(building, planned, building.prepared.package_manager.install(names), layer)


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
    process = holder(lock)
    other = f"another build (process {process})" if process else "another build"
    building.monitor.handle(Notice(message=f"waiting for {other}, which uses the package cache {cache}"))


def _run(
    building: Building, planned: PlannedStep, command: Command | None, layer: str | None, *, quiet: bool = False
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
        binds = []
        for folder, name in manager.cache_folders().items():
            source = _package_cache(building, name, closing)
            building.sandbox.own(source)
            binds.append(Bind(source=source, target=folder, read_only=False))
        hooks = stage_hooks(building, planned, f"packages-{planned.step.id}")
        binds += [Bind(source=hooks, target=HOOKS), *private_binds(building)]
        job = Job(
            argv=command.argv,
            environment={**variables(building, planned), **command.environment},
            stack=building.stack(upper=layer),
            inside=True,
            binds=tuple(binds),
            network=not building.request.offline,
        )
        status = building.sandbox.run(job, take)
        building.sandbox.remove(hooks)
    if status:
        raise building.failed(f"the package manager ({command.argv[0]})", status)
    return "\n".join(printed)
