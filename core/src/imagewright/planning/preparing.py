"""The way from a request to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from imagewright.asking import Panel
from imagewright.discovery import Loaded
from imagewright.drivers import PackageManager
from imagewright.errors import PlanError, UsageError
from imagewright.plan import CORE, ChosenFlavour, Plan
from imagewright.planning.coresteps import first_boot_steps, package_steps
from imagewright.planning.hooktrees import hook_tree
from imagewright.planning.keys import planned
from imagewright.planning.locking import bound, check_lock, lock_of, locked_now
from imagewright.planning.nopackages import NoPackages, no_packages
from imagewright.planning.ordering import Given, ordered
from imagewright.planning.parameters import values_of
from imagewright.planning.prepared import Prepared
from imagewright.planning.repositories import GivenRepository, check_taken, given_repositories
from imagewright.planning.selection import Selection, select
from imagewright.planning.steps import PACKAGE_NAME, Collected, check_block_device, check_package_name, collect
from imagewright.planning.variables import as_text, common_environment, late_environment
from imagewright.request import Request
from imagewright.types import BuildContext, Packages, Phase, Plain, Step

CoreStep = tuple[Phase, Step]
"""A step that the core adds, with its phase."""

SUFFIXES = (".qcow2", ".raw", ".tar")


def prepare(request: Request, core_steps: Sequence[CoreStep] = (), *, selection: Selection | None = None) -> Prepared:
    """Plan the build of a disk image; ``core_steps`` are added to those of the flavours.

    ``selection`` holds the flavours of the request, if they were selected already.

    Touches nothing of the machine but the flavours' own files. Raises PlanError, UsageError or ContractError for
    everything that can be known to be wrong before any work.
    """
    if request.offline and request.refresh:
        raise UsageError(
            "offline-refresh",
            "--refresh asks the archives again, and with --offline none can be asked",
            hint="leave one of them out",
            option="refresh",
        )
    selection = selection or select(request)
    values = values_of(selection.flavours, request.settings, request.environment)
    context = context_of(request, selection)
    lock = lock_of(request)
    now = locked_now(context, selection.flavours) if request.lock else None
    if now is not None and not request.ramdisk:
        check_lock(lock, now, request.lock)
    contexts = {loaded.name: replace(context, parameters=values[loaded.name]) for loaded in selection.flavours}
    panel = Panel(selection.flavours)
    collected, by_flavour = collect(panel, selection.flavours, contexts, request.skips)
    repositories = given_repositories(request.repositories, panel, selection.flavours, contexts)
    manager = bound(_manager(panel, selection, contexts, repositories), lock, request)
    wanted = wanted_packages(selection.flavours, collected.steps[Phase.PACKAGES], request.packages)
    has_manager = not isinstance(manager, NoPackages)
    if wanted and not has_manager:
        raise _no_manager(selection, wanted)
    environment = common_environment(context)
    first_boot = [step for step, _origin in ordered(Phase.FIRST_BOOT, collected.steps[Phase.FIRST_BOOT])]
    added = (
        *core_steps,
        *(package_steps(tuple(wanted)) if has_manager else ()),
        *first_boot_steps(first_boot, environment | _first_boot_parameters(selection, collected, values)),
    )
    steps = _ordered(collected.steps, added)
    check_block_device(steps[Phase.BLOCK_DEVICE])
    chosen = tuple(
        ChosenFlavour(
            origin=loaded.origin,
            summary=loaded.metadata.summary,
            requires=selection.requirements[loaded.name],
            provides=loaded.metadata.provides,
            parameters=loaded.metadata.parameters,
            values=tuple(values[loaded.name].items()),
            reads=loaded.metadata.reads,
            allows=loaded.metadata.allows,
            programs=loaded.metadata.programs,
            disk_space=loaded.metadata.disk_space,
            hooks=hook_tree(loaded, by_flavour[loaded.name]),
        )
        for loaded in selection.flavours
    )
    system = selection.operating_system
    plan = Plan(
        flavours=chosen,
        steps=planned(
            steps, chosen, environment, [one.declaration() for one in repositories], late=late_environment(context)
        ),
        operating_system=system.name if system else "",
        package_manager=manager.name,
        packages=tuple(wanted),
        skipped=collected.skipped,
        overridden=tuple((loaded.name, loaded.found.place) for loaded in selection.flavours if loaded.found.overridden),
    )
    trees = dict.fromkeys(loaded.found.tree for loaded in selection.flavours if loaded.found.tree is not None)
    return Prepared(
        plan=plan,
        context=context,
        package_manager=manager,
        environment=environment,
        parameters=values,
        wanted=wanted,
        import_path=tuple(trees),
        repositories=repositories,
        lock=lock,
        locked_now=now,
    )


def image_name(request: Request) -> str:
    """The name of the image: the output file's without the suffix of a type."""
    name = request.output.name
    for suffix in (*(f".{kind}" for kind in request.types), *SUFFIXES):
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix)
    return name


def context_of(request: Request, selection: Selection) -> BuildContext:
    """What every flavour's hooks may know, before the parameters."""
    system = selection.operating_system
    return BuildContext(
        arch=request.arch,
        release=request.release or (system.default_release if system else ""),
        operating_system=system.name if system else "",
        flavours=tuple(loaded.name for loaded in selection.flavours),
        image_name=image_name(request),
        image_size=request.image_size,
        root_label=request.root_label,
        fs_type=request.fs_type,
        kernel_arguments=request.kernel_arguments,
        mirror=request.mirror,
        image_mirror=request.image_mirror,
        cloud_images=request.cloud_images,
        base_image_file=request.base_image_file,
        ca_certificate=request.ca_certificate,
        offline=request.offline,
        ramdisk=request.ramdisk,
    )


def _manager(
    panel: Panel,
    selection: Selection,
    contexts: Mapping[str, BuildContext],
    repositories: Sequence[GivenRepository],
) -> PackageManager:
    system = selection.operating_system
    given = None
    if system is not None:
        context = replace(contexts[system.name], repositories=tuple(one.repository for one in repositories))
        given = panel.package_manager(system, context)
    manager = given if given is not None else no_packages()
    check_taken(repositories, manager, system.origin if system else None)
    return manager


def wanted_packages(
    flavours: Sequence[Loaded], steps: Sequence[Given], packages: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Each package once, sorted, with who wants it."""
    wanted: dict[str, list[str]] = {}
    for loaded in flavours:
        for name in loaded.metadata.packages:
            check_package_name(name, loaded.origin)
            wanted.setdefault(name, []).append(loaded.name)
    for step, origin in ordered(Phase.PACKAGES, steps):
        if isinstance(step.action, Packages):
            for name in step.action.names:
                check_package_name(name, origin)
                wanted.setdefault(name, []).append(origin.flavour)
    for name in packages:
        if PACKAGE_NAME.fullmatch(name) is None:
            raise UsageError("bad-package-name", f"`-p {name}`: that is no name of a package")
        wanted.setdefault(name, []).append("-p")
    return {name: tuple(dict.fromkeys(wanted[name])) for name in sorted(wanted)}


def _no_manager(selection: Selection, wanted: Mapping[str, tuple[str, ...]]) -> PlanError:
    system = selection.operating_system.name if selection.operating_system else ""
    return PlanError(
        "no-package-manager",
        f"the operating system `{system}` has no package manager, and packages are wanted",
        where=tuple(f"{name}: wanted by {', '.join(who)}" for name, who in wanted.items()),
    )


def _first_boot_parameters(
    selection: Selection, collected: Collected, values: Mapping[str, Mapping[str, Plain]]
) -> dict[str, str]:
    """The parameters that first-boot scripts see in the booted image; secrets stay out of it."""
    givers = {origin.flavour for _step, origin in collected.steps[Phase.FIRST_BOOT]}
    return {
        parameter.variable: as_text(values[loaded.name][parameter.name])
        for loaded in selection.flavours
        if loaded.name in givers
        for parameter in loaded.metadata.parameters
        if not parameter.secret
    }


def _ordered(
    collected: Mapping[Phase, Sequence[Given]], core_steps: Sequence[CoreStep]
) -> dict[Phase, tuple[Given, ...]]:
    """The steps of every phase in order; the flavours' packages are in the core's one transaction."""
    steps: dict[Phase, tuple[Given, ...]] = {}
    for phase in Phase:
        own = tuple((step, CORE) for where, step in core_steps if where is phase)
        given = () if phase is Phase.PACKAGES else tuple(collected[phase])
        steps[phase] = ordered(phase, (*own, *given))
    return steps
