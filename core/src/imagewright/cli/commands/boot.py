"""``imagewright boot``: an image in QEMU, a login with a fresh key, checks over ssh."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imagewright.boot.disks import check_startable
from imagewright.boot.errors import BootFailed
from imagewright.boot.junit import write_junit
from imagewright.boot.logins import login_user
from imagewright.boot.trial import Result, Trial, try_image
from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.cli.places import cache_folder
from imagewright.errors import UsageError


def run(invocation: Invocation) -> None:
    """Boot the image and check it. Raises BootFailed if the login or a check failed."""
    values = invocation.values
    image = invocation.arguments["image"]
    if not image:
        raise UsageError("no-image", "no image was named", hint="imagewright boot IMAGE")
    junit: Path | None = values["junit"]
    if junit is not None and not os.path.isdir(junit.absolute().parent):
        raise UsageError("no-such-folder", f"the folder of the JUnit file {junit} does not exist", option="junit")
    check_startable(Path(image))
    trial = Trial(
        image=Path(image),
        checks=tuple(values["check"]),
        user=values["user"] or login_user(Path(image)),
        uefi=values["uefi"],
        disk_bus=values.get("disk-bus", "virtio"),
        memory=values["memory"],
        timeout=float(values["timeout"]),
    )
    work = values.get("cache-dir") or cache_folder()
    result = try_image(trial, Path(work) / "boots", report=_report)
    if junit is not None:
        try:
            write_junit(junit, result)
        except OSError as error:
            raise UsageError(
                "unwritable-file",
                f"the JUnit file {junit} cannot be written",
                cause=error.strerror or str(error),
                option="junit",
            ) from error
    if values["json"]:
        print_document(document(result))
    else:
        _print(result)
    if not result.passed:
        raise _failure(result)


def document(result: Result) -> dict[str, Any]:
    """The result as JSON shows it; times in seconds."""
    return {
        "image": str(result.image),
        "accelerator": result.accelerator,
        "passed": result.passed,
        "login_seconds": result.login_seconds,
        "outcomes": [asdict(outcome) for outcome in result.outcomes],
        "console_log": None if result.console_log is None else str(result.console_log),
    }


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _print(result: Result) -> None:
    for outcome in result.outcomes:
        sys.stdout.write(f"{'passed' if outcome.passed else 'FAILED'}  {outcome.seconds:6.1f} s  {outcome.name}\n")


def _failure(result: Result) -> BootFailed:
    failed = [outcome for outcome in result.outcomes if not outcome.passed]
    login = result.login_seconds is None
    where = []
    for outcome in failed:
        where += [f"{outcome.name}:", *(f"  {line}" for line in outcome.output.strip().splitlines()[-15:])]
    where += ["the console's last lines:", *(f"| {line}" for line in result.console_tail or ("(it is empty)",))]
    return BootFailed(
        "boot-failed" if login else "check-failed",
        f"no login to {result.image}"
        if login
        else f"{len(failed)} of {len(result.outcomes) - 1} checks failed in {result.image}",
        where=tuple(where),
        hint=f"read the console log {result.console_log}",
    )
