"""The disks of a machine, and overlays that leave an image as it was."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imagewright.boot.tools import find
from imagewright.errors import HostError, UsageError

Bus = Literal["virtio", "ahci", "nvme"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk image of a machine; the first disk is the one booted from.

    ``format`` is ``raw`` or ``qcow2``. What the machine writes is thrown away at its end unless ``keep`` is set.
    """

    path: Path
    format: Literal["raw", "qcow2"]
    bus: Bus = "virtio"
    keep: bool = False


def format_of(path: Path) -> Literal["raw", "qcow2"]:
    """The format of an image, by its magic number. Raises UsageError if it cannot be read or is empty."""
    try:
        with path.open("rb") as file:
            start = file.read(2048)
    except OSError as error:
        raise UsageError(
            "unreadable-image", f"the image {path} cannot be read", cause=error.strerror or str(error)
        ) from error
    if not start:
        raise UsageError("empty-image", f"the image {path} is empty")
    return "qcow2" if start.startswith(b"QFI\xfb") else "raw"


def check_startable(path: Path) -> None:
    """Raise UsageError for a file that no firmware could start from, before minutes are spent on it."""
    if format_of(path) == "qcow2":
        return
    with path.open("rb") as file:
        start = file.read(512)
    # a master boot record, the protective one of a GPT included, ends so
    if start[510:] != b"\x55\xaa":
        raise UsageError(
            "not-startable",
            f"{path} is no disk that a machine could start from",
            cause="it has no partition table; an image without the flavour vm has none",
            hint="name a qcow2 or raw image built with vm, such as demo.qcow2",
        )


def make_overlay(image: Path, overlay: Path, *, size: int = 0) -> None:
    """Write ``overlay``, a qcow2 file over ``image`` that takes every write; ``size`` in bytes, 0 for the image's.

    Raises HostError if qemu-img fails.
    """
    argv = [
        find("qemu-img"), "create", "-q", "-f", "qcow2",
        "-F", format_of(image), "-b", str(image.resolve()), str(overlay),
    ]  # fmt: skip
    if size:
        argv.append(str(size))
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise HostError("overlay-failed", f"no overlay could be made for {image}", cause=done.stderr.strip())
