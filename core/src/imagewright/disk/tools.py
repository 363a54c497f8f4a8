"""Runs the programs of the host that make disks, with a fixed environment and one kind of error."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagewright.errors import HostError, StepFailed

PACKAGES: Mapping[str, str] = {
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "sfdisk": "fdisk",
    "mkfs.vfat": "dosfstools",
    "mmd": "mtools",
    "mcopy": "mtools",
    "grub-mkimage": "grub-common",
    "tar": "tar",
}
"""The Debian package of every program that this room runs."""

_VERSION_OPTION = {"mke2fs": "-V", "debugfs": "-V", "mkfs.vfat": "--help", "mmd": "--version", "mcopy": "--version"}
# tar says only that a write was cut short.
_NO_SPACE = ("No space left on device", "Disk quota exceeded", "Wrote only")
_FILE_TOO_LARGE = "File too large"

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The errors of the system by which the disk, or a limit of the host, takes no more."""


def search_path() -> str:
    """PATH with the folders of administration programs, which ordinary users often lack."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def find(program: str) -> str:
    """The path of a program of the host. Raises HostError if there is none."""
    path = shutil.which(program, path=search_path())
    if path is None:
        package = PACKAGES.get(program, "")
        raise HostError(
            "missing-program",
            f"The host has no program {program}",
            cause=f"the package {package} is not installed" if package else "",
            hint=f"sudo apt-get install {package}" if package else "",
        )
    return path


def environment(epoch: int | None = None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a program: nothing of the caller's but PATH and TMPDIR, no locale, UTC."""
    values = {"PATH": search_path(), "LC_ALL": "C", "TZ": "UTC", "HOME": "/nonexistent"}
    if "TMPDIR" in os.environ:
        values["TMPDIR"] = os.environ["TMPDIR"]
    if epoch is not None:
        values["SOURCE_DATE_EPOCH"] = str(epoch)
    return values | dict(extra or {})


def run(
    argv: Sequence[str],
    *,
    epoch: int | None = None,
    extra: Mapping[str, str] | None = None,
    data: bytes = b"",
    directory: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program of the host to its end, ``data`` on its standard input.

    Raises HostError if it is missing or the host's disk is full, StepFailed with its last lines if it fails.
    """
    program = find(argv[0])
    # it must not go on when the builder is killed
    command = [find("setpriv"), "--pdeathsig", "KILL", "--", program, *argv[1:]]
    done = subprocess.run(
        command, input=data, capture_output=True, check=False, env=environment(epoch, extra), cwd=directory
    )
    if done.returncode:
        text = (done.stderr + done.stdout).decode(errors="replace")
        raise failure(argv[0], done.returncode, text)
    return done


def failure(program: str, status: int, text: str) -> HostError | StepFailed:
    """The error for a program that failed: ``text`` is what it printed."""
    if any(sign in text for sign in _NO_SPACE):
        return disk_full(f"{program} could not write")
    if _FILE_TOO_LARGE in text or status == -signal.SIGXFSZ:
        return file_too_large(f"{program} could not write")
    lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    end = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return StepFailed("program-failed", f"{program} {end}", where=tuple(line.strip() for line in lines[-8:]))


def disk_full(what: str) -> HostError:
    """The error for a host without space."""
    return HostError(
        "disk-full",
        f"{what}: no space left on the host's disk",
        hint="free some space, or choose another place with --work-dir, --cache-dir or -o",
    )


def file_too_large(what: str) -> HostError:
    """The error for a host whose filesystem or limits allow no file of that size."""
    return HostError(
        "file-too-large",
        f"{what}: the host allows no file of that size",
        cause="the filesystem's largest file, or the limit of `ulimit -f`",
        hint="raise the limit, or choose a smaller --image-size or another place with --work-dir or -o",
    )


def version(program: str) -> str:
    """The first line of what a program says of its version; for manifests."""
    option = _VERSION_OPTION.get(program, "--version")
    done = subprocess.run(
        [find(program), option], capture_output=True, check=False, env=environment(), stdin=subprocess.DEVNULL
    )
    text = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
    return next(
        (
            line.strip().removeprefix(find(program)).strip()
            for line in text.splitlines()
            if any(c.isdigit() for c in line)
        ),
        "unknown",
    )


def versions(programs: Sequence[str]) -> dict[str, str]:
    """What each program says of its version, by name."""
    return {program: version(program) for program in programs}
