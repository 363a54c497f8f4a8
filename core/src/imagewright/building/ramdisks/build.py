"""One ramdisk: from a request to a ramdisk and its kernel in their places.

Everything comes from a root tree that is grown like that of an image and made by one call inside the sandbox; what
comes from elsewhere is laid ready before. Without a tree there is no sandbox either.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from imagewright.building.artefacts.beside import remove, stale_beside, write_beside
from imagewright.building.artefacts.files import finished
from imagewright.building.artefacts.publishing import publish, undo_killed
from imagewright.building.host.checks import check_lock_apart, check_writable
from imagewright.building.packages import transaction
from imagewright.building.packages.locked import finish_lock, write_lock
from imagewright.building.ramdisks.kernel import chosen_kernel
from imagewright.building.ramdisks.manifest import ramdisk_manifest
from imagewright.building.ramdisks.recipe import carried_out, recipe_of
from imagewright.building.ramdisks.shop import Shop, open_shop, stem_of
from imagewright.building.ramdisks.slate import judged_ramdisk
from imagewright.building.ramdisks.staging import check_given, stage_given
from imagewright.building.results import BuildResult
from imagewright.building.tree.growing import grow, phase_counts
from imagewright.events import BuildFinished, BuildStarted, Monitor, Notice
from imagewright.plan import CORE
from imagewright.planning.ramdisks import plan_ramdisk
from imagewright.ramdisk.staging import HOST
from imagewright.request import RamdiskRequest
from imagewright.sandbox.starting import Launcher
from imagewright.types import Package


def build_ramdisk(
    request: RamdiskRequest, monitor: Monitor, *, log: Path, launcher: Launcher | None = None
) -> BuildResult:
    """Make the ramdisk that was asked for and put it, with its kernel, in place.

    ``log`` is the file that holds the full log, for error messages; whoever calls writes it through ``monitor``.
    ``launcher`` is the sandbox's, if it was started ahead; whoever started it closes it.
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
    check_writable(output.with_name(stem_of(output)), suffixes)
    beside = [output.with_name(f"{stem_of(output)}{suffix}") for suffix in suffixes]
    check_lock_apart(request.image.lock, [output, *beside])
    with open_shop(request, planned, monitor, log, launcher) as shop:
        phases = phase_counts(planned.tree.prepared) if planned.tree else []
        monitor.handle(BuildStarted(image=planned.name, phases=(*phases, ("ramdisk", 1)), log=log))
        report, listed = _made(shop)
        paths, manifest = _published(shop, report, listed)
    result = BuildResult(paths=paths, manifest=manifest, seconds=time.monotonic() - begun)
    monitor.handle(BuildFinished(paths=result.paths, seconds=result.seconds))
    return result


def _made(shop: Shop) -> tuple[dict[str, Any], tuple[Package, ...]]:
    """Make the ramdisk and its kernel in the folder ``out``; return the report and the packages of the tree."""
    listed: tuple[Package, ...] = ()
    if shop.building is not None:
        grow(shop.building)
        listed = transaction.installed(shop.building, shop.building.prepared.plan.steps[0])
        finish_lock(shop.building, listed)
        # what makes a ramdisk asks nobody
        shop.building.sandbox.disconnect()
        shop.epoch, shop.facts = shop.building.epoch, shop.building.facts
    given_by = stage_given(shop.planned, shop.folder / "given", init_timeout=shop.request.init_timeout)
    shop.ready("given")
    (shop.folder / "out").mkdir(mode=0o755)
    shop.ready("out")
    recipe = recipe_of(shop, given_by, chosen_kernel(shop))
    if shop.building is None:
        return carried_out(shop, recipe), listed
    with shop.building.step("ramdisk", "contents", CORE, 1, 1, "executables, libraries, modules, archive"):
        return carried_out(shop, recipe), listed


def _published(
    shop: Shop, report: Mapping[str, Any], listed: Sequence[Package]
) -> tuple[tuple[Path, ...], dict[str, Any]]:
    output, made = shop.request.image.output, shop.folder / "out"
    stem = stem_of(output)
    for one in report["executables"]:
        if one["from"] == HOST and shop.request.binaries_from == "tree" and ".so" not in one["path"]:
            shop.monitor.handle(Notice(message=f"{one['path']} is this machine's own, since the root tree has none"))
    if not report["udev"]:
        shop.monitor.handle(Notice(message="the ramdisk has no udev, since there is none to take", level="warning"))
    slate = judged_ramdisk(report["slate"], shop.request, shop.planned, shop.building, shop.monitor, shop.log)
    with ThreadPoolExecutor() as pool:
        artefacts = list(pool.map(finished, (made / output.name, made / f"{stem}.kernel")))
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
