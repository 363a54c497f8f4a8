"""One ramdisk: from a request to a ramdisk and its kernel in their places.

Everything comes from a root tree that is grown like that of an image and made by one call inside the sandbox; what
comes from elsewhere is laid ready before. Without a tree there is no sandbox either.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagewright.building.artefacts import beside
from imagewright.building.artefacts.beside import remove, stale_beside, write_beside
from imagewright.building.artefacts.files import finished
from imagewright.building.artefacts.publishing import publish, undo_killed
from imagewright.building.host.checks import check_host, check_lock_apart, check_writable, source_date_epoch
from imagewright.building.host.workfolder import plain_folder
from imagewright.building.packages import transaction
from imagewright.building.packages.locked import asking, finish_lock, write_lock
from imagewright.building.ramdisks.firmwarenotes import note, noted
from imagewright.building.ramdisks.manifest import ramdisk_manifest
from imagewright.building.ramdisks.slate import judged_ramdisk, ramdisk_marks
from imagewright.building.ramdisks.staging import check_given, stage_given
from imagewright.building.state import EARLIEST, Building
from imagewright.building.tree.growing import grow, opened, phase_counts, work_parent
from imagewright.errors import HostError, StepFailed
from imagewright.events import BuildFinished, BuildStarted, Monitor, Notice
from imagewright.plan import CORE
from imagewright.planning.ramdisks import PlannedRamdisk, PlannedTree, plan_ramdisk
from imagewright.ramdisk import making, udev
from imagewright.ramdisk.executables import Wanted, missing
from imagewright.ramdisk.kernelmodules import versions
from imagewright.ramdisk.kernels import Asked, KernelSource, asked_of, newest
from imagewright.ramdisk.making import Recipe, RootPlace
from imagewright.ramdisk.packages import PACKAGES
from imagewright.ramdisk.roots import Root
from imagewright.ramdisk.staging import HOST, StagedKernel, host_folders, stage_host, stage_kernel, staged_folders
from imagewright.request import RamdiskRequest
from imagewright.sandbox.jobs import TARGET, WORK, PythonJob
from imagewright.types import Package

PRELOAD = ("imagewright.ramdisk.making", "imagewright.ramdisk.staging", "zstandard", *beside.PRELOAD)

TREE = "tree"
"""What the manifest calls the root tree."""

SUFFIX = ".ramdisk"
"""What the name of a ramdisk may end in; the kernel's ends in ``.kernel`` instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RamdiskResult:
    """The files that were written: ramdisk, kernel, manifest, sums; and the manifest."""

    paths: tuple[Path, ...]
    manifest: Mapping[str, Any]
    seconds: float


def build_ramdisk(request: RamdiskRequest, monitor: Monitor, *, log: Path) -> RamdiskResult:
    """Make the ramdisk that was asked for and put it, with its kernel, in place.

    ``log`` is the file that holds the full log, for error messages; whoever calls writes it through ``monitor``.
    Raises ImagewrightError; then there is no output, earlier outputs are as they were, and the work folder is gone.
    """
    begun = time.monotonic()
    planned = plan_ramdisk(request)
    check_given(planned, request)
    output = request.image.output
    undo_killed(request.image.cache_dir)
    check_writable(output, ("",))
    request.image.beside.check(request.image.environment)
    suffixes = (".kernel", ".manifest.json", ".sha256", *request.image.beside.suffixes)
    check_writable(output.with_name(_stem(output)), suffixes)
    beside = [output.with_name(f"{_stem(output)}{suffix}") for suffix in suffixes]
    check_lock_apart(request.image.lock, [output, *beside])
    with _shop(request, planned, monitor, log) as shop:
        phases = phase_counts(planned.tree.prepared) if planned.tree else []
        monitor.handle(BuildStarted(image=planned.name, phases=(*phases, ("ramdisk", 1)), log=log))
        report, listed = _made(shop)
        paths, manifest = _published(shop, report, listed)
    result = RamdiskResult(paths=paths, manifest=manifest, seconds=time.monotonic() - begun)
    monitor.handle(BuildFinished(paths=result.paths, seconds=result.seconds))
    return result


@dataclass(slots=True, kw_only=True)
class _Shop:
    """Where a ramdisk is made: the work folder of its tree's build, or a folder alone."""

    request: RamdiskRequest
    planned: PlannedRamdisk
    monitor: Monitor
    log: Path
    folder: Path
    umask: int
    epoch: int
    building: Building | None = None
    facts: dict[str, str] = field(default_factory=dict)

    def inside(self, name: str) -> str:
        """The path of something in the work folder, for who makes the ramdisk."""
        return f"{WORK}/{name}" if self.building else str(self.folder / name)

    def ready(self, name: str) -> None:
        """Let the sandbox read what was laid ready."""
        if self.building:
            self.building.sandbox.own(self.folder / name)

    def make(self, recipe: Recipe) -> dict[str, Any]:
        """Make the ramdisk."""
        if self.building is None:
            return making.make(recipe=recipe.document())
        job = PythonJob(
            function="imagewright.ramdisk.making:make",
            arguments={"recipe": recipe.document()},
            stack=self.building.stack(tools=False),
            network=False,
        )
        result = self.building.sandbox.call(job, self.building.output)
        assert isinstance(result, dict)
        return result


@contextmanager
def _shop(request: RamdiskRequest, planned: PlannedRamdisk, monitor: Monitor, log: Path) -> Iterator[_Shop]:
    if planned.tree is not None:
        with _opened(planned.tree, monitor, log) as building:
            yield _Shop(
                request=request,
                planned=planned,
                monitor=monitor,
                log=log,
                folder=building.folder,
                umask=building.umask,
                epoch=building.epoch,
                building=building,
            )
        return
    epoch = source_date_epoch(request.image.environment)
    umask = os.umask(0o022)
    try:
        with plain_folder(work_parent(request.image)) as folder:
            yield _Shop(
                request=request,
                planned=planned,
                monitor=monitor,
                log=log,
                folder=folder,
                umask=umask,
                epoch=EARLIEST if epoch is None else epoch,
            )
    finally:
        os.umask(umask)


@contextmanager
def _opened(tree: PlannedTree, monitor: Monitor, log: Path) -> Iterator[Building]:
    request = asking(tree.request, tree.prepared)
    check_host(request, tree.prepared, work_parent(request))
    with opened(request, tree.prepared, monitor, log=log, preload=PRELOAD) as building:
        yield building


def _made(shop: _Shop) -> tuple[dict[str, Any], tuple[Package, ...]]:
    """Make the ramdisk and its kernel in the folder ``out``; return the report and the packages of the tree."""
    listed: tuple[Package, ...] = ()
    if shop.building is not None:
        grow(shop.building)
        listed = transaction.installed(shop.building, shop.building.prepared.plan.steps[0])
        finish_lock(shop.building, listed)
        shop.epoch, shop.facts = shop.building.epoch, shop.building.facts
    given_by = stage_given(shop.planned, shop.folder / "given", init_timeout=shop.request.init_timeout)
    shop.ready("given")
    (shop.folder / "out").mkdir(mode=0o755)
    shop.ready("out")
    recipe = _recipe(shop, given_by, _kernel(shop))
    if shop.building is None:
        return _run(shop, recipe), listed
    with shop.building.step("ramdisk", "contents", CORE, 1, 1, "executables, libraries, modules, archive"):
        return _run(shop, recipe), listed


def _recipe(shop: _Shop, given_by: Mapping[str, str], kernel: _Kernel) -> Recipe:
    request = shop.request
    wanted = _wanted(shop.planned)
    return Recipe(
        roots=_roots(shop, wanted),
        executables=wanted,
        given=shop.inside("given"),
        given_by=given_by,
        modules=_modules(shop),
        kernel_root=kernel.place,
        kernel_version=kernel.version,
        kernel_image=kernel.image,
        known=kernel.known or noted(request.image.cache_dir, kernel.version),
        marks=ramdisk_marks(request, shop.planned, shop.building).document(),
        compress=request.compress,
        moment=shop.epoch,
        ramdisk=shop.inside(f"out/{request.image.output.name}"),
        kernel_file=shop.inside(f"out/{_stem(request.image.output)}.kernel"),
        busybox=str(request.busybox) if request.busybox else "",
    )


def _wanted(planned: PlannedRamdisk) -> tuple[Wanted, ...]:
    """Each executable once, with all who ask for it."""
    wanted: dict[str, Wanted] = {}
    for one, who in planned.executables:
        before = wanted.get(one.name, Wanted(name=one.name, asked=()))
        wanted[one.name] = replace(before, asked=(*before.asked, who), package=before.package or one.package)
    return tuple(wanted.values())


def _roots(shop: _Shop, wanted: tuple[Wanted, ...]) -> tuple[RootPlace, ...]:
    """Where executables come from; a busybox that the caller names is in the last root."""
    request = shop.request
    folders = host_folders(request.image.environment)
    own = (Wanted(name=str(request.busybox), asked=(CORE.flavour,)),) if request.busybox else ()
    if request.binaries_from == "tree":
        return (RootPlace(folder=TARGET, name=TREE), *((_staged_host(shop, own, "busybox"),) if own else ()))
    if shop.building is None:
        return (RootPlace(folder="", name=HOST, folders=folders),)
    return (_staged_host(shop, (*making.STANDARD, *udev.WANTED, *own, *wanted), "host"),)


def _staged_host(shop: _Shop, wanted: Sequence[Wanted], name: str) -> RootPlace:
    folders = host_folders(shop.request.image.environment)
    stage_host(wanted, shop.folder / name, folders)
    shop.ready(name)
    return RootPlace(folder=shop.inside(name), name=HOST, folders=staged_folders(folders))


def _modules(shop: _Shop) -> tuple[tuple[str, str, bool], ...]:
    return tuple((name, who, False) for name, who in shop.planned.modules)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kernel:
    """A kernel for the recipe; ``image`` is the path of its file in the root, empty for the usual one."""

    place: RootPlace
    version: str
    image: str = ""
    known: Mapping[str, Asked] = field(default_factory=dict)


def _kernel(shop: _Shop) -> _Kernel:
    """The kernel that was asked for, else the tree's newest."""
    request, version = shop.request, shop.request.kernel_version
    if request.module_root is not None:
        return _host_kernel(shop, Root(str(request.module_root), str(request.module_root)), version)
    if request.kernel_image is not None:
        # what reads images costs more than all of a ramdisk that needs none
        from imagewright.building.ramdisks.imageroots import image_kernel

        with image_kernel(request.kernel_image, version) as found:
            source = KernelSource(root=found.root, version=found.version, image=found.image)
            staged = stage_kernel(source, _modules(shop), shop.folder / "kernel")
        return _staged_kernel(shop, staged)
    if shop.planned.kernel_tree is not None:
        return _staged_kernel(shop, _kernel_of_tree(shop, shop.planned.kernel_tree))
    assert shop.building is not None
    newest_of_tree = shop.building.kernel
    if not (version or newest_of_tree):
        raise StepFailed(
            "kernel-missing",
            f"the root tree of {shop.planned.operating_system} has no kernel",
            hint="add the package of one with -p, or name a kernel with -m or --kernel-from",
        )
    return _Kernel(place=RootPlace(folder=TARGET, name=TREE), version=version or newest_of_tree)


def _host_kernel(shop: _Shop, root: Root, version: str) -> _Kernel:
    """A kernel of this machine's files; the one that runs, if it is among them and no other is named."""
    running = os.uname().release
    chosen = version or (running if running in versions(root) else newest(root))
    if not chosen:
        raise StepFailed(
            "modules-missing",
            f"there are no kernel modules in {root.folder or '/'}",
            where=(f"looked for: {root.folder}/lib/modules/VERSION/modules.dep",),
            hint="name with -m the folder that holds lib/modules",
        )
    if shop.building is None:
        return _Kernel(place=RootPlace(folder=root.folder, name=root.name), version=chosen)
    try:
        source = KernelSource(root=root, version=chosen, known=noted(shop.request.image.cache_dir, chosen))
        staged = stage_kernel(source, _modules(shop), shop.folder / "kernel")
    except PermissionError as error:
        raise HostError(
            "kernel-unreadable",
            f"the kernel {chosen} cannot be read",
            where=(f"file: {error.filename}",),
            cause="it belongs to root alone, as on some distributions",
            hint="leave out -m and -k to take the root tree's kernel, or let yourself read the file",
        ) from error
    return _staged_kernel(shop, staged)


def _staged_kernel(shop: _Shop, staged: StagedKernel) -> _Kernel:
    shop.ready("kernel")
    return _Kernel(
        place=RootPlace(folder=shop.inside("kernel"), name=staged.name),
        version=staged.version,
        image=f"boot/vmlinuz-{staged.version}",
        known=staged.asked,
    )


def _kernel_of_tree(shop: _Shop, tree: PlannedTree) -> StagedKernel:
    """Grow the tree of another operating system, and take its kernel over into our work folder."""
    name = tree.prepared.plan.operating_system
    with _opened(tree, shop.monitor, shop.log) as building:
        grow(building)
        result = building.sandbox.call(
            PythonJob(
                function="imagewright.ramdisk.staging:stage_kernel_of_tree",
                arguments={
                    "target": TARGET,
                    "name": f"{TREE} of {name}",
                    "version": shop.request.kernel_version,
                    "wanted": [list(one) for one in _modules(shop)],
                    "folder": f"{WORK}/kernel",
                },
                stack=building.stack(tools=False),
                network=False,
            ),
            building.output,
        )
        shutil.move(building.folder / "kernel", shop.folder / "kernel")
    assert isinstance(result, dict)
    return StagedKernel(version=result["version"], name=result["name"], asked=asked_of(result["asked"]))


def _run(shop: _Shop, recipe: Recipe) -> dict[str, Any]:
    """Make it; what the tree lacks is taken from the caller's ``$PATH``, which the manifest says."""
    try:
        report = shop.make(recipe)
    except StepFailed as error:
        given = shop.request.kernel_version
        if error.reference not in ("kernel-missing", "modules-missing") or recipe.kernel_root.folder != TARGET:
            raise
        if given not in versions(host := Root("", HOST)):
            raise
        kernel = _host_kernel(shop, host, given)
        return _run(shop, replace(recipe, kernel_root=kernel.place, kernel_image=kernel.image, known=kernel.known))
    absent = report.get("missing")
    if not absent:
        note(shop.request.image.cache_dir, recipe.kernel_version, report["asked"])
        return report
    wanted = {one.name: one for one in recipe.executables}
    if shop.request.binaries_from == "tree" and not any(place.folder.endswith("/host") for place in recipe.roots):
        place = _staged_host(shop, [wanted[name] for name in absent], "host")
        tree, *others = recipe.roots
        return _run(shop, replace(recipe, roots=(tree, place, *others)))
    raise missing(wanted[absent[0]], ", ".join(place.name for place in recipe.roots), PACKAGES)


def _published(
    shop: _Shop, report: Mapping[str, Any], listed: Sequence[Package]
) -> tuple[tuple[Path, ...], dict[str, Any]]:
    output, made = shop.request.image.output, shop.folder / "out"
    stem = _stem(output)
    for one in report["executables"]:
        if one["from"] == HOST and shop.request.binaries_from == "tree" and ".so" not in one["path"]:
            shop.monitor.handle(Notice(message=f"{one['path']} is this machine's own, since the root tree has none"))
    if not report["udev"]:
        shop.monitor.handle(Notice(message="the ramdisk has no udev, since there is none to take", level="warning"))
    slate = judged_ramdisk(report["slate"], shop.request, shop.planned, shop.building, shop.monitor, shop.log)
    artefacts = [finished(made / name) for name in (output.name, f"{stem}.kernel")]
    document = ramdisk_manifest(
        shop.planned,
        report,
        slate=slate,
        facts=shop.facts,
        moment=shop.epoch,
        compression=shop.request.compress,
        packages=listed,
        artefacts=artefacts,
        lock=shop.building.lock if shop.building else None,
    )
    files = write_beside(shop.request.image, made, stem, manifest=document, artefacts=artefacts, building=shop.building)
    moves = [(path, output.with_name(path.name)) for path in files]
    moves += write_lock(shop.building, made) if shop.building else ()
    stale = stale_beside(files, output, stem)
    publish(moves, 0o666 & ~shop.umask, shop.request.image.cache_dir)
    remove(stale)
    return tuple(output.with_name(path.name) for path in files), document


def _stem(output: Path) -> str:
    """What the names of the files beside the ramdisk begin with."""
    return output.name.removesuffix(SUFFIX) or output.name
