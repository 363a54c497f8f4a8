"""``disk-image-create``: from options to a request, and from its result to lines on stdout."""

from __future__ import annotations

import os
from pathlib import Path

from imagewright.cli.commands.building import run_build, shared_request
from imagewright.cli.commands.plans import print_plan
from imagewright.cli.invocation import Invocation
from imagewright.discovery import load_output
from imagewright.errors import UsageError
from imagewright.request import Request


def run(invocation: Invocation) -> None:
    """Build the image, or print its plan. Raises ImagewrightError."""
    request = request_of(invocation)
    for kind in request.types:
        load_output(kind)
    if invocation.values["plan"]:
        print_plan(request, as_json=invocation.values["json"])
        return
    _build(request, invocation)


def request_of(invocation: Invocation) -> Request:
    """What the options ask for. Raises UsageError."""
    values = invocation.values
    flavours = tuple(invocation.arguments["flavours"] or ())
    if not flavours:
        raise UsageError(
            "no-flavour",
            "no flavour was named",
            hint=f"for example `{invocation.program} -o demo debian vm`; `imagewright flavours list` shows them all",
        )
    types = values["type"]
    if not types:
        raise UsageError("no-type", "no type of image was named", hint="for example `--type qcow2`", option="type")
    return Request(
        flavours=flavours,
        output=output_name(values["output"], types),
        types=types,
        image_mirror=values["image-mirror"],
        image_size=values["image-size"],
        root_label=values["root-label"],
        fs_type=values["fs-type"],
        kernel_arguments=values["kernel-args"],
        skips=values["skip"],
        skip_base=values["skip-base"],
        for_publishing=values["for-publishing"],
        **shared_request(invocation),
    )


def output_name(path: Path, types: tuple[str, ...]) -> Path:
    """The image's name without the suffix of one of its types. Raises UsageError if no name is left."""
    stem = path.name
    for kind in types:
        if stem.endswith(f".{kind}"):
            stem = stem.removesuffix(f".{kind}")
            break
    folder = os.path.isdir(path)
    if not stem or stem in (".", "..") or folder:
        problem = "names a folder" if folder else "leaves no name for the image"
        hint = f"name a file in it, such as `--output {path / 'demo'}`" if folder else "name a file, such as `demo`"
        raise UsageError("bad-output", f"`--output {path}` {problem}", hint=hint, option="output")
    return path.with_name(stem)


def _build(request: Request, invocation: Invocation) -> None:
    from imagewright.building.images.build import build

    run_build(
        "image",
        request.output,
        request.cache_dir,
        lambda monitor, log: build(request, monitor, log=log),
        invocation,
    )
