"""The images of an images file, planned: what each asks for, and what is wrong with it before any work is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagewright.building.results import BuildResult
from imagewright.cli.commands import disk_image, plans, ramdisks
from imagewright.cli.imagesfile import RAMDISK, ImageEntry
from imagewright.cli.invocation import Invocation
from imagewright.cli.options.origins import name_source
from imagewright.cli.options.resolve import Resolved, SettingsFile, Values, resolve
from imagewright.cli.options.sets import ALONE, DISK_IMAGE, RAMDISK_IMAGE
from imagewright.cli.screen import Screen
from imagewright.errors import ImagewrightError, UsageError
from imagewright.events import Monitor
from imagewright.planning import Prepared
from imagewright.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedImage:
    """An image that can be made: ``build`` makes it, ``plan`` is the document of its plan and ``page`` that for people.

    ``steps`` holds (name, key) of every step of its tree, in order.
    """

    name: str
    kind: str
    invocation: Invocation
    output: Path
    cache_dir: Path
    steps: tuple[tuple[str, str], ...]
    plan: Callable[[], Mapping[str, Any]]
    page: Callable[[Mapping[str, Any]], str]
    build: Callable[[Monitor, Path], BuildResult]


def plan_all(
    entries: Sequence[ImageEntry], invocation: Invocation, files: Sequence[SettingsFile]
) -> tuple[PlannedImage, ...]:
    """Plan all images. Raises ImagewrightError that names everything that is wrong with any of them."""
    planned: list[PlannedImage] = []
    wrong: list[tuple[str, ImagewrightError]] = []
    for entry in entries:
        try:
            planned.append(_planned(entry, invocation, files))
        except ImagewrightError as error:
            wrong.append((entry.name, error))
    if not wrong:
        wrong = _collisions(planned)
    if not wrong:
        return tuple(planned)
    if len(wrong) == 1:
        [(name, only)] = wrong
        only.where = (f"image: {name}", *only.where)
        raise only
    where: list[str] = []
    for name, one in wrong:
        first, *rest = str(one).split("\n")
        where += [f"{name}: {first}", *(f"  {line}" for line in rest)]
    raise type(wrong[0][1])(
        "images-refused", f"{len(wrong)} of {len(entries)} images cannot be built", where=tuple(where)
    )


def _planned(entry: ImageEntry, run: Invocation, files: Sequence[SettingsFile]) -> PlannedImage:
    settings = RAMDISK_IMAGE if entry.kind == RAMDISK else DISK_IMAGE
    values = resolve(settings, flags={}, environment=run.environment, files=files, tables=entry.tables)
    invocation = Invocation(
        program=run.program,
        values=Values(_with_flags(values, run.values)),
        arguments={"flavours": entry.flavours},
        environment=run.environment,
        screen=Screen(),
    )
    try:
        return (_planned_ramdisk if entry.kind == RAMDISK else _planned_disk)(entry, invocation)
    except ImagewrightError as error:
        name_source(error, invocation.values)
        raise


def _with_flags(values: Values, run: Values) -> list[Resolved]:
    """The values of an image, with what stands on the command line of the run in the place of its own.

    What only an image that is built alone may have is left out, wherever it comes from.
    """
    given = {item.setting.name: item for item in run.resolved if item.source == item.setting.flag}
    for item in values.resolved:
        if item.setting.name in ALONE:
            given[item.setting.name] = item._replace(value=item.setting.default, source="default")
    return [given.get(item.setting.name, item) for item in values.resolved]


def _planned_disk(entry: ImageEntry, invocation: Invocation) -> PlannedImage:
    from imagewright.building.host.checks import check_host
    from imagewright.building.images.build import build
    from imagewright.building.tree.growing import work_parent
    from imagewright.discovery import load_output
    from imagewright.planning import prepare

    request = disk_image.request_of(invocation)
    for kind in request.types:
        load_output(kind)
    prepared = prepare(request)
    check_host(request, prepared, work_parent(request))
    return PlannedImage(
        name=entry.name,
        kind=entry.kind,
        invocation=invocation,
        output=request.output,
        cache_dir=request.cache_dir,
        steps=_steps(request, prepared),
        plan=lambda: plans.plan_of(request, prepared),
        page=plans.page,
        build=lambda monitor, log: build(request, monitor, log=log),
    )


def _planned_ramdisk(entry: ImageEntry, invocation: Invocation) -> PlannedImage:
    from imagewright.building.host.checks import check_host
    from imagewright.building.ramdisks.build import build_ramdisk
    from imagewright.building.tree.growing import work_parent
    from imagewright.planning.ramdisks import plan_ramdisk

    request = ramdisks.request_of(invocation)
    planned = plan_ramdisk(request)
    trees = [tree for tree in (planned.tree, planned.kernel_tree) if tree is not None]
    for tree in trees:
        check_host(tree.request, tree.prepared, work_parent(tree.request))
    return PlannedImage(
        name=entry.name,
        kind=entry.kind,
        invocation=invocation,
        output=request.image.output,
        cache_dir=request.image.cache_dir,
        steps=_steps(trees[0].request, trees[0].prepared) if trees else (),
        plan=lambda: ramdisks.plan_of(planned),
        page=ramdisks.page,
        build=lambda monitor, log: build_ramdisk(request, monitor, log=log),
    )


def _steps(request: Request, prepared: Prepared) -> tuple[tuple[str, str], ...]:
    """The steps whose layers other builds may share: none without layers."""
    from imagewright.building.tree.growing import TREE_PHASES

    if request.no_cache:
        return ()
    return tuple((step.name, step.key) for phase in TREE_PHASES for step in prepared.plan.of(phase))


def _collisions(planned: Sequence[PlannedImage]) -> list[tuple[str, ImagewrightError]]:
    first: dict[Path, str] = {}
    wrong: list[tuple[str, ImagewrightError]] = []
    for image in planned:
        place = image.output.absolute()
        other = first.setdefault(place, image.name)
        if other != image.name:
            error = UsageError(
                "same-output",
                f"`{image.output}` is what the image {other} writes too",
                hint='`output = "out/{name}"` gives each image a file of its own',
                option="output",
            )
            wrong.append((image.name, error))
        lock = image.invocation.values["lock"]
        other = first.setdefault(lock.absolute(), image.name) if lock else image.name
        if other != image.name:
            error = UsageError(
                "same-lock",
                f"the lock file `{lock}` is that of the image {other} already",
                hint='`lock = "{name}.lock"` gives each image one of its own',
                option="lock",
            )
            wrong.append((image.name, error))
    return wrong
