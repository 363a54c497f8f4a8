"""Growing the root tree: what a disk image and a ramdisk have in common.

``with opened(...) as building: grow(building)`` leaves the finished tree as ``building.stack(tools=False)``, with the
facts recorded, the kernel found and the date of the packages known. Whoever calls runs its own jobs on it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from functools import partial
from importlib import resources
from pathlib import Path

from imagewright.building import preloads
from imagewright.building.host.checks import explain_full_disk
from imagewright.building.host.network import network_of, tell_of_network
from imagewright.building.host.workfolder import work_folder
from imagewright.building.packages import transaction
from imagewright.building.packages.locked import fixed_epoch, lay_locked
from imagewright.building.packages.private import lay_private
from imagewright.building.staging.trees import write_tree
from imagewright.building.state import EARLIEST, Building
from imagewright.building.steps.calling import module_of
from imagewright.building.steps.entering import visit_failed
from imagewright.building.steps.running import ask, run_in_tree
from imagewright.building.tree.keeping import Keeping
from imagewright.building.tree.layerkeys import mapping_name
from imagewright.building.tree.leftovers import take_out_tools
from imagewright.errors import HostError, ImagewrightError, UsageError
from imagewright.events import Monitor, Notice
from imagewright.layers.content import may_change
from imagewright.layers.store import TREE
from imagewright.plan import CORE, PlannedStep
from imagewright.planning import Prepared
from imagewright.planning.coresteps import RESOLVE
from imagewright.request import Request
from imagewright.sandbox import Sandbox
from imagewright.sandbox.jobs import TARGET, PythonJob
from imagewright.sandbox.mapping import mapping_of_caller
from imagewright.sandbox.resolver import resolver_text
from imagewright.sandbox.starting import Launcher
from imagewright.types import Call, Entry, Phase, Tree

TREE_PHASES = (
    Phase.ROOT,
    Phase.PRE_INSTALL,
    Phase.PACKAGES,
    Phase.INSTALL,
    Phase.POST_INSTALL,
    Phase.FINALISE,
    Phase.CLEANUP,
)
"""The phases that change the root tree, in their order."""

MODULES = ("lib/modules", "usr/lib/modules")
"""Where kernels have their modules: what tells that one was installed or removed."""

DEEPEST = 400
"""Layers of a tree that are kept one by one, below what the kernel can stack with the sandbox's own."""


def work_parent(request: Request) -> Path:
    """The folder in which the build makes its work folder."""
    return request.work_dir or request.cache_dir / "work"


@contextmanager
def opened(
    request: Request,
    prepared: Prepared,
    monitor: Monitor,
    *,
    log: Path,
    preload: Sequence[str] = preloads.TREE,
    launcher: Launcher | None = None,
) -> Iterator[Building]:
    """Open the work folder and the sandbox of a build; both are gone at the end, whatever happens.

    ``preload`` names the modules whose functions are called in the sandbox, besides those of the plan's calls;
    ``launcher`` is the sandbox's, if it was started ahead.
    Raises UsageError if ``--from`` names no step, and HostError if the folder cannot be made, the host gives no
    namespaces, or the disk fills up meanwhile.
    """
    check_start(request, prepared)
    sys.path.extend(str(folder) for folder in prepared.import_path if str(folder) not in sys.path)
    work = work_parent(request)
    epoch = fixed_epoch(request, prepared)
    calls = [step.step.action for step in prepared.plan.steps if isinstance(step.step.action, Call)]
    functions = {name for call in calls for name in (call.function, call.asks, call.fetches) if name}
    modules = tuple(dict.fromkeys((*preload, *sorted(map(module_of, functions)))))
    # nothing of the caller's umask may reach the image, and mapped root must be able to read what is staged for it
    umask = os.umask(0o022)
    try:
        kept = _layers_folder(request, monitor)
        open_sandbox = partial(
            Sandbox.open,
            preload=modules,
            kept=kept,
            limits=request.limits,
            network=network_of(request, prepared),
            launcher=launcher,
        )
        with work_folder(work, open_sandbox) as (folder, sandbox), ExitStack() as closing:
            tell_of_network(sandbox.shared, monitor)
            write_tree(_lib(), folder / "lib", CORE)
            sandbox.own(folder / "lib")
            building = Building(
                request=request,
                prepared=prepared,
                sandbox=sandbox,
                folder=folder,
                log=log,
                monitor=monitor,
                umask=umask,
                epoch=EARLIEST if epoch is None else epoch,
                epoch_fixed=epoch is not None,
                kept=kept,
                closing=closing,
            )
            try:
                yield building
            except Exception:
                raise
            except BaseException:
                # whoever asked for the end sees that it comes: a large tree takes its time to go
                monitor.handle(Notice(message="stopping: removing the work folder"))
                raise
    except OSError as error:
        full = explain_full_disk(error, (work, request.cache_dir, request.output.parent))
        if full is None:
            raise
        raise full from error
    finally:
        os.umask(umask)


def phase_counts(prepared: Prepared) -> list[tuple[str, int]]:
    """(phase, number of steps) for the event BuildStarted, of the phases on the host and those of the tree."""
    phases = (Phase.BLOCK_DEVICE_SIZE, Phase.EXTRA_DATA, *TREE_PHASES)
    counts = ((phase.value, len(prepared.plan.of(phase))) for phase in phases)
    return [(phase, count) for phase, count in counts if count]


def grow(building: Building, *, until: PlannedStep | None = None, including: bool = False) -> None:
    """Run every step of the plan that changes the root tree; with ``until`` those before it, or it too.

    The phases that the caller runs on the host come before, if the plan has any. Raises ImagewrightError.
    """
    _lay_tools(building)
    plan = building.prepared.plan
    with Keeping.open(building) as keeping:
        for phase in TREE_PHASES:
            steps = plan.of(phase)
            for number, planned in enumerate(steps, start=1):
                if planned is until and not including:
                    return
                keeping.begin(planned)
                with building.step(
                    phase, planned.step.id, planned.origin, number, len(steps), planned.step.summary
                ) as outcome:
                    if _take(building, keeping, planned):
                        outcome.status = "cached"
                if building.layers:
                    building.brought.setdefault(building.layers[-1], planned)
                if planned is until:
                    return


def _take(building: Building, keeping: Keeping, planned: PlannedStep) -> bool:
    """Find the layer of a step or run it; whether it was found."""
    layer = _layer_name(building)
    try:
        return _found_or_run(building, keeping, planned, layer)
    except ImagewrightError as error:
        visit_failed(building, planned, f"{layer}/{TREE}", error)
        raise


def _layer_name(building: Building) -> str:
    # steps beyond the deepest layer share one, which is not kept: the kernel stacks no more
    return f"{min(len(building.layers), DEEPEST):03}"


def _found_or_run(building: Building, keeping: Keeping, planned: PlannedStep, name: str) -> bool:
    layer = f"{name}/{TREE}"
    shared = layer in building.layers
    resolves = planned.phase is Phase.PACKAGES and planned.step.id == RESOLVE

    def run() -> None:
        if planned.phase is not Phase.PACKAGES:
            run_in_tree(building, planned, layer)
        else:
            (transaction.resolve if resolves else transaction.install)(building, planned, layer)
        if (building.folder / "layers" / layer).exists():
            if planned.phase is not Phase.ROOT:
                take_out_tools(building, layer)
            if not shared:
                building.layers.append(layer)
        written = building.folder / "layers" / layer
        # the first tree may have brought one
        if planned.phase is not Phase.ROOT and (not building.kernel or may_change(written, MODULES)):
            _find_kernel(building)

    if len(building.layers) >= DEEPEST:
        run()
        return False
    if resolves:
        return keeping.asking_step(planned, name, run)
    if isinstance(planned.step.action, Call) and planned.step.action.asks:
        keeping.ask(planned, lambda: ask(building, planned))
    return keeping.step(planned, name, run)


def check_start(request: Request, prepared: Prepared) -> None:
    """Raise UsageError if ``--from`` names nothing that the build has."""
    wanted = request.start_from
    names = [step.name for phase in TREE_PHASES for step in prepared.plan.of(phase)]
    if wanted and wanted not in names and wanted not in TREE_PHASES:
        near = get_close_matches(wanted, names, 1, 0.4)
        raise UsageError(
            "unknown-start",
            f"`--from {wanted}`: the build has no such step of the tree",
            cause=f"did you mean {near[0]}?" if near else "",
            hint="--plan shows all steps",
            option="from",
        )


def _layers_folder(request: Request, monitor: Monitor) -> Path | None:
    """The folder of kept layers for the caller's mapping of ids; None if there shall or can be none."""
    if request.no_cache:
        return None
    try:
        folder = request.cache_dir / "layers" / mapping_name(mapping_of_caller())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except HostError:  # opening the sandbox says it better
        return None
    except OSError as error:
        message = f"layers are not kept: {error.filename}: {error.strerror}"
        monitor.handle(Notice(message=message, level="warning"))
        return None
    return folder


def _lay_tools(building: Building) -> None:
    """Lay the lowest layer, which serves the build and never reaches the image, and an empty tree to start from."""
    manager = building.prepared.package_manager
    tree = manager.build_files({} if building.request.offline else building.request.environment) if manager else Tree()
    layers = building.folder / "layers"
    write_tree(tree, layers / "tools", CORE)
    lay_private(building)
    lay_locked(building)
    if not building.request.offline:
        _lay_resolver(layers / "tools", separated=building.sandbox.separated)
    (layers / "empty").mkdir(mode=0o755)
    for folder in (layers / "tools", layers / "empty"):
        building.sandbox.own(folder)
    building.tools = ("tools",)
    building.layers.append("empty")


def _lay_resolver(tools: Path, *, separated: bool) -> None:
    """Let the tree resolve names as the host does, without a mount that a package's own file would be in the way of."""
    content = resolver_text(separated=separated)
    if content:
        write_tree(Tree((Entry(path="etc/resolv.conf", content=content),)), tools, CORE)


def _lib() -> Tree:
    shipped = resources.files("imagewright.building.tree") / "lib"
    return Tree(
        (
            Entry(path="bin/sudo", mode=0o755, content=(shipped / "bin" / "sudo").read_bytes()),
            Entry(path="die", content=(shipped / "die").read_bytes()),
        )
    )


def _find_kernel(building: Building) -> None:
    found = building.sandbox.call(
        PythonJob(
            function="imagewright.building.steps.inside:newest_kernel",
            arguments={"target": TARGET},
            stack=building.stack(),
        ),
        building.output,
    )
    if found and found != building.kernel:
        building.kernel = str(found)
        building.fact("kernel", building.kernel)
