"""A ramdisk: from options to a request, and from its result, or its plan, to lines on stdout."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagewright.cli.commands.building import run_build, shared_request
from imagewright.cli.commands.plans import foretell
from imagewright.cli.commands.plans import page as tree_page
from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.cli.tables import table
from imagewright.errors import UsageError
from imagewright.request import RamdiskRequest, Request

if TYPE_CHECKING:
    from imagewright.planning.ramdisks import PlannedRamdisk
    from imagewright.sandbox.starting import Launcher


def build(invocation: Invocation, launcher: Launcher) -> None:
    """Make the ramdisk; ``launcher`` is that of its sandbox. Raises ImagewrightError."""
    request = request_of(invocation)
    from imagewright.building.ramdisks.build import build_ramdisk

    run_build(
        "ramdisk",
        request.image.output,
        request.image.cache_dir,
        lambda monitor, log: build_ramdisk(request, monitor, log=log, launcher=launcher),
        invocation,
    )


def show_plan(invocation: Invocation) -> None:
    """Print the plan. Raises ImagewrightError."""
    from imagewright.planning.ramdisks import plan_ramdisk

    document = plan_of(plan_ramdisk(request_of(invocation)))
    if invocation.values["json"]:
        print_document(document)
    else:
        sys.stdout.write(page(document))


def plan_of(planned: PlannedRamdisk) -> dict[str, Any]:
    """The plan's document, with what will become of the steps of its trees."""
    from imagewright.planning.ramdisks import ramdisk_plan

    document = ramdisk_plan(planned)
    for name, tree in (("tree", planned.tree), ("kernel_tree", planned.kernel_tree)):
        if tree is not None:
            foretell(document[name], tree.request, tree.prepared)
    return document


def request_of(invocation: Invocation) -> RamdiskRequest:
    """What the options ask for. Raises UsageError."""
    values = invocation.values
    flavours = tuple(invocation.arguments["flavours"] or ())
    if not flavours:
        raise UsageError(
            "no-flavour",
            "no flavour was named",
            hint=f"for example `{invocation.program} -o deploy.ramdisk deploy`; "
            "`imagewright flavours list` shows them all",
        )
    image, flavour = _kernel_from(values)
    return RamdiskRequest(
        image=Request(
            flavours=flavours,
            output=_output(values["output"]),
            types=(),
            ramdisk=True,
            **shared_request(invocation),
        ),
        kernel_version=_version(values["kernel-version"]),
        module_root=values["module-root"].absolute() if values["module-root"] else None,
        kernel_image=image,
        kernel_flavour=flavour,
        binaries_from=values["binaries-from"],
        busybox=values["busybox"].resolve() if values["busybox"] else None,
        compress=values["compress"],
        init_timeout=values["init-timeout"],
    )


def _output(path: Path) -> Path:
    if not path.name or path.name == ".." or os.path.isdir(path):
        raise UsageError(
            "bad-output",
            f"`--output {path}` names a folder",
            hint=f"name a file in it, such as `--output {path / 'deploy.ramdisk'}`",
            option="output",
        )
    return path


def _kernel_from(values: Mapping[str, Any]) -> tuple[Path | None, str]:
    """The image, or the flavour, that gives the kernel; a name without a slash that is no file is a flavour's."""
    given = values["kernel-from"]
    if not given:
        return None, ""
    if values["module-root"]:
        raise UsageError(
            "two-kernels",
            f"`--kernel-from {given}` and `--module-root {values['module-root']}` both say where the kernel is",
            hint="leave out one of them; MODULE_ROOT in the environment counts too",
            option="kernel-from",
        )
    path = Path(given).expanduser()
    if path.is_file():
        return path, ""
    if "/" not in given and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", given):
        return None, given
    raise UsageError(
        "no-such-image",
        f"`--kernel-from {given}` is neither an image that is there nor the name of a flavour",
        hint="name a qcow2, raw or tar image, or an operating-system flavour such as `debian`",
        option="kernel-from",
    )


def _version(text: str) -> str:
    if "/" in text or text in (".", ".."):
        raise UsageError(
            "bad-kernel-version",
            f"`--kernel-version {text}` is no version of a kernel",
            hint="name it as `uname -r` does, such as 6.12.38+deb13-amd64",
            option="kernel-version",
        )
    return text


def page(plan: Mapping[str, Any]) -> str:
    """The plan of a ramdisk for people."""
    tree = plan["tree"]
    facts = [
        ("ramdisk", plan["ramdisk"]),
        ("root tree", f"{tree['operating_system']} {tree['release']}".strip() if tree else "none"),
        ("flavours", ", ".join(flavour["name"] for flavour in plan["flavours"])),
        ("packages", ", ".join(package["name"] for package in plan["packages"])),
        ("/init", ", ".join(("start", *plan["init"], "end"))),
        ("digest", plan["digest"]),
    ]
    rows = [
        *(("executable", one["name"], one["flavour"]) for one in plan["executables"]),
        *(("module", one["name"], one["flavour"]) for one in plan["modules"]),
        *(("file", one["path"], one["flavour"]) for one in plan["files"]),
    ]
    text = table(("", ""), [fact for fact in facts if fact[1]])
    text += "\n" + table(("WHAT", "NAME", "FLAVOUR"), rows)
    for title, one in (("The root tree:", tree), ("The tree of the kernel:", plan["kernel_tree"])):
        if one:
            text += f"\n{title}\n\n{tree_page(one)}"
    return text
