"""One build: from a prepared plan to artefacts in their places."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from imagewright.building import preloads
from imagewright.building.artefacts.beside import remove, stale_beside, write_beside
from imagewright.building.artefacts.manifest import manifest_of
from imagewright.building.artefacts.publishing import publish, undo_killed
from imagewright.building.artefacts.writing import write_artefacts
from imagewright.building.host.checks import check_host, layout_of, source_date_epoch
from imagewright.building.host.workfolder import clear_abandoned
from imagewright.building.images.identifiers import identifiers_known
from imagewright.building.images.unchanged import again, image_key, keep_image
from imagewright.building.packages import transaction
from imagewright.building.packages.locked import asking, finish_lock, write_lock, writes_lock
from imagewright.building.results import BuildResult
from imagewright.building.state import Building
from imagewright.building.steps.hostside import extra_data, size_bounds
from imagewright.building.steps.running import run_on_disk
from imagewright.building.tree import slate
from imagewright.building.tree.forecast import remember_plan
from imagewright.building.tree.growing import grow, opened, phase_counts, work_parent
from imagewright.discovery import load_output
from imagewright.disk.assembly import layout_json
from imagewright.disk.sizes import Bound, fold, layout_overhead, parse_block_device, partition_number
from imagewright.drivers import BuiltImage
from imagewright.events import BuildFinished, BuildStarted, Monitor, Notice
from imagewright.hosttools import search_path
from imagewright.plan import CORE, PlannedStep
from imagewright.planning import prepare
from imagewright.request import Request
from imagewright.sandbox.jobs import TARGET, WORK, PythonJob
from imagewright.types import Phase, Script


def build(request: Request, monitor: Monitor, *, log: Path) -> BuildResult:
    """Build what was asked for and put the artefacts in place.

    ``log`` is the file that holds the full log, for error messages; whoever calls writes it through ``monitor``.
    Raises ImagewrightError; then there is no output, earlier outputs are as they were, and the work folder is gone.
    """
    begun = time.monotonic()
    prepared = prepare(request)
    source_date_epoch(request.environment)
    undo_killed(request.cache_dir)
    with suppress(OSError):  # where nothing has changed, no work folder is opened that would do it
        clear_abandoned(work_parent(request))
    request = asking(request, prepared)
    check_host(request, prepared, work_parent(request))
    if paths := again(request, prepared, monitor, log=log):
        manifest = next(path for path in paths if path.name.endswith(".manifest.json"))
        document = json.loads(manifest.read_text())
    else:
        with opened(request, prepared, monitor, log=log, preload=preloads.IMAGE) as building:
            paths, document = _build(building)
    result = BuildResult(paths=paths, manifest=document, seconds=time.monotonic() - begun)
    monitor.handle(BuildFinished(paths=result.paths, seconds=result.seconds))
    return result


def _build(building: Building) -> tuple[tuple[Path, ...], Mapping[str, Any]]:
    plan = building.prepared.plan
    counts = phase_counts(building.prepared)
    counts += [(Phase.BLOCK_DEVICE.value, len(scripts))] if (scripts := _disk_scripts(building)) else []
    counts += [("disk", 1)] if _needs(building, "raw") else []
    counts += [("artefacts", len(building.request.types))]
    building.monitor.handle(
        BuildStarted(image=building.prepared.context.image_name, phases=tuple(counts), log=building.log)
    )
    bounds = size_bounds(building)
    # a request that no build can meet is refused before the work starts
    fold(bounds, None, building.request.image_size)
    extra_data(building)
    grow(building)
    with suppress(OSError):
        remember_plan(building.request.cache_dir, building.prepared, building.facts)
    key = image_key(building.request, building.prepared, building.top)
    found = slate.checked(building)
    version, opened_up = _name(building)
    listed = transaction.installed(building, plan.steps[0])
    finish_lock(building, listed)
    disk, size = _lay_disk(building, bounds)
    paths, manifest = _write_artefacts(building, version=version, size=size, found=found, disk=disk, listed=listed)
    # what was warned of is to be warned of again
    if key and not opened_up and not writes_lock(building.request, building.prepared):
        keep_image(building.request.cache_dir, key, paths, manifest)
    return paths, manifest


def _name(building: Building) -> tuple[str, list[str]]:
    """Give the image its name and version.

    Returns the version and what was warned of: accounts that a password opens.
    """
    version = time.strftime("%Y%m%d", time.gmtime(building.epoch)) + "-" + building.prepared.plan.digest[:8]
    layer = f"{len(building.layers):03}"
    building.sandbox.call(
        PythonJob(
            function="imagewright.building.steps.inside:name_image",
            arguments={"target": TARGET, "image": building.prepared.context.image_name, "version": version},
            stack=building.stack(upper=layer, tools=False),
        ),
        building.output,
    )
    building.layers.append(layer)
    open_accounts = _open_accounts(building)
    for sentence in open_accounts:
        building.monitor.handle(Notice(message=f"in the image, {sentence}", level="warning"))
    return version, open_accounts


def _open_accounts(building: Building) -> list[str]:
    found = building.sandbox.call(
        PythonJob(
            function="imagewright.building.steps.inside:open_accounts",
            arguments={"target": TARGET},
            stack=building.stack(tools=False),
        ),
        building.output,
    )
    return [str(sentence) for sentence in found] if isinstance(found, list) else []


def _needs(building: Building, kind: str) -> bool:
    return any(load_output(name).needs == kind for name in building.request.types)


def _lay_disk(building: Building, bounds: Sequence[Bound]) -> tuple[dict[str, Any], int]:
    """Lay the tree out as a raw disk, if a type needs one; return what the manifest says of it, and its size."""
    if not _needs(building, "raw"):
        return {}, 0
    content = building.sandbox.call(
        PythonJob(
            function="imagewright.disk.assembly:measure",
            arguments={"target": TARGET},
            stack=building.stack(tools=False),
        ),
        building.output,
    )
    layout = layout_of(building.prepared)
    size = fold(bounds, int(str(content)) + layout_overhead(layout), building.request.image_size)
    building.sandbox.call(
        PythonJob(
            function="imagewright.disk.assembly:make_blank", arguments={"disk": f"{WORK}/disk.raw", "size": size}
        ),
        building.output,
    )
    arguments: dict[str, object] = {
        "target": TARGET,
        "disk": f"{WORK}/disk.raw",
        "root_uuid": building.prepared.plan.root_uuid,
        "seeds": {"disk": building.prepared.plan.seeded_uuid("disk")},
        "root_label": building.request.root_label,
        "epoch": building.epoch,
    }
    scripts = _disk_scripts(building)
    if scripts:
        arguments["partition"] = _run_scripts(building, scripts)
        arguments["given"] = sorted({one for planned in scripts for one in identifiers_known(building, planned)})
        function = "imagewright.disk.assembly:make_filesystem_at"
    else:
        arguments["size"] = size
        arguments["layout"] = layout_json(layout) if layout else None
        arguments["boot_loader"] = layout.boot_loader if layout else ""
        function = "imagewright.disk.assembly:assemble"
    with building.step("disk", "layout", CORE, 1, 1, "partitions, filesystem, boot loader"):
        result = building.sandbox.call(
            PythonJob(
                function=function,
                arguments=arguments,
                # the programs that the host was asked for before the work, and no others
                environment={"PATH": search_path(building.request.environment)},
                stack=building.stack(tools=False),
            ),
            building.output,
        )
    return (result if isinstance(result, dict) else {}), size


def _disk_scripts(building: Building) -> list[PlannedStep]:
    """The scripts that will lay out the disk: none if no type needs one, or if a flavour declares the layout."""
    if not _needs(building, "raw"):
        return []
    return [step for step in building.prepared.plan.of(Phase.BLOCK_DEVICE) if isinstance(step.step.action, Script)]


def _run_scripts(building: Building, scripts: list[PlannedStep]) -> int | None:
    """Let each script see what the one before printed; return the partition that gets the root filesystem."""
    device = disk = f"{WORK}/disk.raw"
    for number, planned in enumerate(scripts, start=1):
        with building.step(planned.phase, planned.step.id, planned.origin, number, len(scripts), planned.step.summary):
            printed = run_on_disk(building, planned, device)
        device = parse_block_device(printed) or device
    last = scripts[-1]
    return partition_number(device, disk, where=(f"flavour: {last.origin}", f"step: {last.name}"))


def _write_artefacts(
    building: Building,
    *,
    version: str,
    size: int,
    found: Mapping[str, Any],
    disk: dict[str, Any],
    listed: Any,
) -> tuple[tuple[Path, ...], Mapping[str, Any]]:
    output = building.request.output
    image = BuiltImage(
        name=building.prepared.context.image_name,
        raw=building.folder / "disk.raw" if disk else None,
        tar=building.folder / "tree.tar" if _needs(building, "tar") else None,
        epoch=building.epoch,
    )
    folder = building.folder / "out"
    folder.mkdir()
    artefacts = write_artefacts(building, image, folder)
    document = manifest_of(
        building, version=version, size=size, slate=found, disk=disk, packages=listed, artefacts=artefacts
    )
    files = write_beside(
        building.request, folder, output.name, manifest=document, artefacts=artefacts, building=building
    )
    moves = [(path, output.with_name(path.name)) for path in files]
    moves += write_lock(building, folder)
    stale = stale_beside(files, output, output.name)
    publish(moves, 0o666 & ~building.umask, building.request.cache_dir)
    remove(stale)
    return tuple(output.with_name(path.name) for path in files), document
