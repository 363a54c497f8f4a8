"""What can be known before any work: tools, namespaces, places to write, room."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, getrlimit
from tempfile import TemporaryFile

from imagewright.building.artefacts.publishing import earlier_name
from imagewright.discovery import load_output
from imagewright.disk import ext4
from imagewright.disk.assembly import tools_needed
from imagewright.disk.sizes import check_requested, layout_overhead, show
from imagewright.disk.tools import file_too_large
from imagewright.errors import HostError, ImagewrightError, UsageError
from imagewright.hosttools import missing
from imagewright.planning import Prepared
from imagewright.request import Request
from imagewright.types import Layout, Partition, Phase

LATEST = 2**33
"""The first moment, in seconds since 1970, that filesystems of images cannot name: the year 2242."""

RESERVE = 64 * 2**20
"""Bytes that must be free for any build at all."""


def check_host(request: Request, prepared: Prepared, work: Path) -> None:
    """Raise HostError for the first thing that this host lacks for this plan, PlanError for one that no disk can be."""
    layout = layout_of(prepared)
    if any(load_output(kind).needs == "raw" for kind in request.types):
        ext4.check_label(request.root_label)
        smallest = layout_overhead(layout) + ext4.SMALLEST
        if request.image_size is not None:
            check_requested(request.image_size, smallest)
        _check_limit(request.image_size or smallest)
    absent = missing(programs_needed(request, prepared))
    if absent:
        packages = " ".join(sorted({tool.package for tool in absent if tool.package}))
        raise HostError(
            "missing-tool",
            f"the host lacks {', '.join(tool.program for tool in absent)}",
            cause="the build needs it; nothing has been done yet",
            hint=f"sudo apt-get install {packages}" if packages else "imagewright doctor says what brings it",
        )
    check_usable(work, "work folder", "work-dir" if request.work_dir else "cache-dir")
    check_usable(request.cache_dir, "cache folder", "cache-dir")
    check_room(prepared, work)
    suffixes = [load_output(kind).suffix for kind in request.types]
    request.beside.check(request.environment)
    suffixes += [".manifest.json", ".sha256", *request.beside.suffixes]
    check_writable(request.output, suffixes)
    check_lock_apart(request.lock, [request.output.with_name(f"{request.output.name}{suffix}") for suffix in suffixes])


def _check_limit(size: int) -> None:
    """Raise HostError if no file may have the size of the disk, in bytes: a hole counts as what it spans."""
    limit, _ = getrlimit(RLIMIT_FSIZE)
    if limit != RLIM_INFINITY and limit < size:
        raise file_too_large(f"the disk has at least {show(size)}, and files may have {limit} bytes")


def programs_needed(request: Request, prepared: Prepared) -> tuple[str, ...]:
    """The host's programs that the build needs, each once."""
    needed: list[str] = ["tar", "cp"]
    for kind in request.types:
        needed.extend(load_output(kind).tools)
    if any(load_output(kind).needs == "raw" for kind in request.types):
        layout = layout_of(prepared)
        needed.extend(tools_needed(layout, layout.boot_loader if layout else ""))
    for flavour in prepared.plan.flavours:
        needed.extend(flavour.programs)
    return tuple(dict.fromkeys(needed))


def layout_of(prepared: Prepared) -> Layout | None:
    """The layout that a flavour declares, if one does, with the partitions that others add in front of the root."""
    actions = [planned.step.action for planned in prepared.plan.of(Phase.BLOCK_DEVICE)]
    layout = next((action for action in actions if isinstance(action, Layout)), None)
    if layout is None:
        return None
    added = [action for action in actions if isinstance(action, Partition)]
    root = next(number for number, partition in enumerate(layout.partitions) if partition.role == "root")
    return replace(layout, partitions=(*layout.partitions[:root], *added, *layout.partitions[root:]))


def check_usable(folder: Path, what: str, option: str) -> None:
    """Raise HostError if nothing can be made in ``folder``, or in the nearest one above it that is there.

    A file without a name is made, which a killed builder does not leave behind: permission bits say nothing of a
    read-only filesystem, or of one like ``/proc``.
    """
    existing = _existing(folder)
    cause = ""
    if not existing.is_dir():
        cause = f"{existing} is no folder"
    elif not os.access(existing, os.R_OK | os.X_OK):
        cause = f"you may not look into {existing}"
    else:
        try:
            with TemporaryFile(dir=existing):
                pass
        except OSError as error:
            cause = f"no folder can be made in {existing}: {(error.strerror or str(error)).lower()}"
    if cause:
        raise HostError(
            f"{what.split()[0]}-folder",
            f"the {what} cannot be used",
            where=(f"folder: {folder}",),
            cause=cause,
            hint=f"name another one with --{option}",
            option=option,
        )


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it of which there is something."""
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder


def check_room(prepared: Prepared, work: Path) -> None:
    """Raise HostError if the work folder's filesystem has too little room for what the flavours say they need."""
    needed = RESERVE + sum(flavour.disk_space for flavour in prepared.plan.flavours)
    free = shutil.disk_usage(_existing(work)).free
    if free < needed:
        raise HostError(
            "too-little-space",
            f"the build needs {show(needed)} in the work folder, and {show(free)} are free",
            where=(f"folder: {work}",),
            hint="free some room, or name another place with --work-dir or --cache-dir",
        )


def check_lock_apart(lock: Path | None, places: Sequence[Path]) -> None:
    """Raise UsageError if the lock file has the place of an artefact, which it would replace."""
    if lock is None:
        return
    for place in places:
        if (lock.name, lock.parent.resolve()) == (place.name, place.parent.resolve()):
            raise UsageError(
                "lock-is-output",
                f"the lock file {lock} would be a file of the image too",
                hint="name another file with --lock, such as `web.lock`",
                option="lock",
            )


def check_writable(output: Path, suffixes: Sequence[str], *, what: str = "image", option: str = "output") -> None:
    """Raise HostError if a file could not be put where it goes, UsageError for a name that no file may have.

    ``what`` it is, and the ``option`` that names it, are for the message.
    """
    name = output.name
    if not name.isprintable():
        raise UsageError(
            "bad-output-name",
            f"no {what} can be called {name!r}",
            cause="the name has characters that cannot be printed",
            hint=f"name another file with --{option}",
            option=option,
        )
    folder = output.parent
    cause = _obstacle(folder, [earlier_name(folder / f"{name}{suffix}") for suffix in suffixes])
    for suffix in suffixes:
        if not cause and os.path.isdir(folder / f"{name}{suffix}"):
            cause = f"{name}{suffix} is a folder there"
    if cause:
        raise HostError(
            "unwritable-output",
            f"the {what} cannot be written to {folder}",
            cause=cause,
            hint=f"name another file with --{option}, or make the folder",
            option=option,
        )


def _obstacle(folder: Path, names: Sequence[Path]) -> str:
    """What keeps files of these names from being made in the folder; empty if nothing does."""
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            return "that is no folder"
        if not os.access(folder, os.W_OK | os.X_OK):
            return "you may not write there"
        for name in names:
            with suppress(FileNotFoundError):
                name.lstat()
    except FileNotFoundError:
        return "there is no such folder"
    except PermissionError:
        return "you may not look into it"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    try:
        # permission bits say nothing of a read-only filesystem, or of one like /proc
        with TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"no file can be made there: {(error.strerror or str(error)).lower()}"


def source_date_epoch(environment: Mapping[str, str]) -> int | None:
    """The caller's SOURCE_DATE_EPOCH (reproducible-builds.org), None if it is not set. Raises UsageError."""
    text = environment.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or int(text) >= LATEST:
        raise UsageError(
            "bad-source-date-epoch",
            f"SOURCE_DATE_EPOCH={text} is no number of seconds since 1970",
            hint="set it to a whole number such as 1700000000, or unset it",
        )
    return int(text)


def explain_full_disk(error: OSError, places: Sequence[Path]) -> ImagewrightError | None:
    """The clear message for a full disk or a file that is too large, or None if ``error`` is something else.

    ``places`` are looked at in turn.
    """
    import errno

    if error.errno == errno.EFBIG:
        name = error.filename2 or error.filename  # the second one is that of a copy
        return file_too_large(f"Cannot write {name}" if name else "a file cannot be written")
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    where = tuple(
        f"{place}: {shutil.disk_usage(place).free / 2**20:.0f} MiB free" for place in places if place.exists()
    )
    return HostError(
        "disk-full",
        "the disk is full",
        where=where,
        hint="free some room, or name other places with --work-dir, --cache-dir and --output",
    )
