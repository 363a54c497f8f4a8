"""``imagewright doctor``: what this host lacks, and the one command that mends it."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from imagewright import hosttools
from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import coloured, print_document
from imagewright.cli.places import cache_folder
from imagewright.errors import HostError, ImagewrightError
from imagewright.hosttools import Purpose
from imagewright.types import GIB

ROOM = 4 * GIB
"""Bytes that a first build with its caches needs comfortably."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer to one question. ``lacking``: no image can be built; ``note``: something works less well."""

    subject: str
    verdict: Literal["good", "note", "lacking"]
    detail: str
    mend: str = ""


def run(invocation: Invocation) -> None:
    """Print the findings; exit code 4 if images cannot be built here."""
    found = tuple(findings(invocation.environment, invocation.values["cache-dir"]))
    lacking = any(finding.verdict == "lacking" for finding in found)
    mend = the_command(found)
    if invocation.values["json"]:
        print_document({"findings": [dataclasses.asdict(one) for one in found], "able": not lacking, "mend": mend})
    else:
        colour = coloured(sys.stdout, invocation.environment)
        for finding in found:
            sys.stdout.write(_line(finding, colour))
        if mend:
            sys.stdout.write(f"\nto mend it: {mend}\n")
        else:
            sys.stdout.write(f"\n{'no image' if lacking else 'images'} can be built here\n")
    if lacking:
        raise typer.Exit(HostError.exit_code)


def findings(environment: Mapping[str, str], cache_dir: Path | None) -> Iterator[Finding]:
    """Ask all questions, the most important first."""
    for purpose in Purpose:
        yield _tools(purpose)
    yield from _namespaces()
    yield from _helper()
    yield _network()
    yield _room(cache_dir or cache_folder())
    yield _kvm()


def the_command(found: tuple[Finding, ...]) -> str:
    """The one command that mends what can be mended: the set-up of a checkout, else what apt-get can do.

    What is lacking comes first; only where nothing is, the command is for what is merely not so good.
    """
    lacking = [finding for finding in found if finding.verdict == "lacking"]
    mends = [_command_in(finding.mend) for finding in lacking or found]
    packages = {name for mend in mends if mend.startswith(_APT) for name in mend.removeprefix(_APT).split()}
    commands = [_APT + " ".join(sorted(packages))] if packages else []
    top = checkout()
    if lacking and top is not None and (packages or any(_SET_UP in finding.mend for finding in lacking)):
        commands = [_SET_UP if top == Path.cwd() else f"make -C {top} setup"]
        mends = [mend for mend, finding in zip(mends, lacking, strict=True) if _SET_UP not in finding.mend]
    commands += [mend for mend in mends if mend and not mend.startswith(_APT)]
    return " && ".join(dict.fromkeys(commands))


def _command_in(mend: str) -> str:
    """The command that a hint begins with, if it does."""
    return mend.removesuffix(f" (or: {_SET_UP})") if mend.startswith("sudo ") else ""


def checkout() -> Path | None:
    """The checkout that this very code lies in, if it does."""
    top = Path(__file__).resolve().parents[5]
    return top if (top / "Makefile").is_file() and (top / "scripts" / "setup").is_file() else None


_APT = "sudo apt-get install "
_SET_UP = "make setup"


def _tools(purpose: Purpose) -> Finding:
    absent = hosttools.missing_for(purpose)
    subject = f"tools for {purpose.value}"
    if not absent:
        return Finding(subject=subject, verdict="good", detail="all here")
    names = "; ".join(f"{tool.program} {tool.why}" for tool in absent)
    packages = hosttools.packages_of(absent)
    return Finding(
        subject=subject,
        verdict="lacking" if purpose is Purpose.BUILD else "note",
        detail=f"lacking: {names}",
        mend=_APT + " ".join(packages) if packages else "",
    )


def _namespaces() -> Iterator[Finding]:
    from imagewright.sandbox import probe

    problems = probe.problems()
    for problem in problems:
        detail = problem.message + (f" ({problem.cause})" if problem.cause else "")
        yield Finding(subject="user namespaces", verdict="lacking", detail=detail, mend=problem.hint)
    if not problems:
        yield Finding(subject="user namespaces", verdict="good", detail="builds run without root")


def _helper() -> Iterator[Finding]:
    """Nothing is said where there is no helper: most hosts need none."""
    from imagewright.sandbox import helper

    subject = "namespace helper"
    if not helper.installed():
        return
    faults = helper.faults()
    for fault in faults:
        detail = fault.message + (f" ({fault.cause})" if fault.cause else "")
        yield Finding(subject=subject, verdict="note", detail=detail, mend=fault.hint)
    if not faults:
        yield Finding(subject=subject, verdict="good", detail=f"{helper.PROGRAM} and its rule are as they should be")


def _network() -> Finding:
    from imagewright.sandbox.link import obstacle

    reason = obstacle()
    if reason:
        detail = f"builds share the host's, its loopback too: {reason}"
        return Finding(subject="network of builds", verdict="note", detail=detail)
    return Finding(subject="network of builds", verdict="good", detail="builds have one of their own")


def _room(folder: Path) -> Finding:
    from imagewright.building.host.checks import check_usable

    try:
        check_usable(folder.absolute(), "cache folder", "cache-dir")
    except HostError as error:
        return Finding(subject="cache folder", verdict="lacking", detail=error.cause, mend=error.hint)
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{free / GIB:.1f} GiB free in {folder}"
    if free < ROOM:
        return Finding(subject="cache folder", verdict="note", detail=f"{detail}; a build may need {ROOM // GIB} GiB")
    return Finding(subject="cache folder", verdict="good", detail=detail)


def _kvm() -> Finding:
    from imagewright.boot.accelerator import probe

    try:
        accelerator = probe()
    except ImagewrightError as error:
        return Finding(subject="KVM", verdict="note", detail=error.message)
    good = accelerator.name == "kvm"
    detail = accelerator.reason if good else f"images boot slowly, by emulation: {accelerator.reason}"
    return Finding(subject="KVM", verdict="good" if good else "note", detail=detail)


def _line(finding: Finding, colour: bool) -> str:
    code = {"good": "32", "note": "33", "lacking": "31"}[finding.verdict]
    word = finding.verdict.ljust(len("lacking"))
    shown = f"\x1b[{code}m{word}\x1b[0m" if colour else word
    # What is no command is advice, and stands where the trouble is.
    advice = f"\n{'':9}{finding.mend}" if finding.mend and not _command_in(finding.mend) else ""
    return f"{shown}  {finding.subject}: {finding.detail}{advice}\n"
