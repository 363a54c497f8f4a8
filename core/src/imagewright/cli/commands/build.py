"""``imagewright build``: all images of a file in one run, over the layers that they share."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from imagewright.building.sidebyside import Ended, Finished, Work, run_side_by_side
from imagewright.cli import messages
from imagewright.cli.boundary import fault_of
from imagewright.cli.commands.building import build_logged
from imagewright.cli.commands.logs import LogFile
from imagewright.cli.commands.plannedimages import PlannedImage, plan_all
from imagewright.cli.imagesfile import ImageEntry, read_images
from imagewright.cli.invocation import Invocation
from imagewright.cli.options.origins import name_source
from imagewright.cli.options.resolve import read_files
from imagewright.cli.places import current_folder, user_file
from imagewright.cli.render.durations import seconds_of
from imagewright.cli.render.many import told, watching
from imagewright.cli.screen import Screen
from imagewright.cli.tables import table
from imagewright.errors import ImagewrightError, UsageError
from imagewright.events import Monitor


def run(invocation: Invocation) -> None:
    """Build the images, or print their plans. Raises ImagewrightError; what is done by then stays."""
    given = invocation.arguments["file"]
    if not given:
        raise UsageError("no-images-file", "no images file was named", hint=f"`{invocation.program} FILE` takes one")
    values = invocation.values
    entries = _chosen(read_images(Path(given)), values["only"], Path(given))
    images = plan_all(entries, invocation, read_files(current_folder(), user_file()))
    if values["plan"]:
        _print_plans(images, as_json=values["json"])
        return
    begun = time.monotonic()
    works = [Work(name=image.name, run=_builder(image), steps=image.steps) for image in images]
    with watching(values["progress"], invocation.environment, [image.name for image in images]) as watcher:
        ends = run_side_by_side(
            works, watcher, jobs=values["jobs"] or len(os.sched_getaffinity(0)), fail_fast=values["fail-fast"]
        )
    _report(ends, invocation, time.monotonic() - begun)


def _chosen(entries: Sequence[ImageEntry], only: Sequence[str], path: Path) -> tuple[ImageEntry, ...]:
    """The images that are wanted, in the order of the file. Raises UsageError."""
    names = [entry.name for entry in entries]
    for name in only:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            raise UsageError(
                "no-such-image",
                f"`{path}` has no image `{name}`",
                where=(f"images: {', '.join(names)}",),
                hint=f"did you mean `{near[0]}`?" if near else "",
                option="only",
            )
    return tuple(entry for entry in entries if not only or entry.name in only)


def _builder(image: PlannedImage) -> Any:
    """What the process of an image does."""

    def build(monitor: Monitor) -> Finished:
        log = LogFile.choose(image.invocation.values["log-file"], image.cache_dir, image.output.name)
        try:
            result = build_logged(image.build, monitor, log)
        except ImagewrightError as error:
            name_source(error, image.invocation.values)
            raise
        except Exception as error:
            raise fault_of(error, Screen(log=log.path)) from error
        return Finished(paths=result.paths, seconds=result.seconds, log=log.path)

    return build


def _report(ends: Sequence[Ended], invocation: Invocation, seconds: float) -> None:
    """Print what was written, and on stderr how each image ended. Raises ImagewrightError if one is not done."""
    as_json, screen = invocation.values["json"], invocation.screen
    failed = [end for end in ends if end.error is not None]
    undone = [end for end in ends if end.finished is None]
    screen.written = tuple(path for end in ends if end.finished for path in end.finished.paths)
    if as_json:
        messages.print_document(
            {"images": [_document(end) for end in ends], "seconds": round(seconds, 3)},
        )
    else:
        sys.stdout.write("".join(f"{path}\n" for path in screen.written))
        sys.stdout.flush()
    if not screen.json:
        for end in failed:
            assert end.error is not None
            end.error.where = (f"image: {end.name}", *end.error.where)
            messages.show(end.error, as_json=False)
        if len(ends) > 1 and invocation.values["progress"] != "none":
            messages.note(_summary(ends, seconds))
    if undone:
        # the exit code is that of the first image that failed
        kind = type(failed[0].error) if failed and failed[0].error else ImagewrightError
        raise kind(
            "images-failed",
            f"{len(undone)} of {len(ends)} images were not built",
            where=tuple(f"{end.name}: {told(end)}" for end in undone),
            hint="the next run builds the rest; layers that are made are kept",
        )


def _summary(ends: Sequence[Ended], seconds: float) -> str:
    rows = [
        (
            end.name,
            end.ending,
            seconds_of(end.finished.seconds) if end.finished else "",
            str(end.finished.paths[0]) if end.finished else (end.error.message if end.error else ""),
        )
        for end in ends
    ]
    done = sum(end.finished is not None for end in ends)
    return f"{table(('IMAGE', 'STATUS', 'TIME', 'FILE'), rows)}{done} of {len(ends)} images in {seconds_of(seconds)}\n"


def _document(end: Ended) -> dict[str, Any]:
    form: dict[str, Any] = {"image": end.name, "status": end.ending}
    if end.finished is not None:
        form |= {
            "paths": [str(path) for path in end.finished.paths],
            "seconds": round(end.finished.seconds, 3),
            "log": str(end.finished.log),
        }
    if end.error is not None:
        form["error"] = messages.document(end.error)["error"]
    return form


def _print_plans(images: Sequence[PlannedImage], *, as_json: bool) -> None:
    """Print the plans, with the steps that an image before makes for several."""
    made: set[str] = set()
    rows, documents, pages = [], [], []
    for image in images:
        plan = image.plan()
        shared = sum(key in made for _name, key in image.steps)
        made |= {key for _name, key in image.steps}
        rows.append((image.name, image.kind, str(len(image.steps)), str(shared), str(image.output)))
        documents.append({"name": image.name, "kind": image.kind, "output": str(image.output), "plan": plan})
        pages.append(f"\n{image.name}:\n\n{image.page(plan)}" if not as_json else "")
    if as_json:
        messages.print_document({"images": documents})
        return
    sys.stdout.write(table(("IMAGE", "KIND", "STEPS", "SHARED", "FILE"), rows) + "".join(pages))
