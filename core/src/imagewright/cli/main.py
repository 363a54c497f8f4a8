"""The entry points of the commands. ``--version`` is answered before typer is imported."""

from __future__ import annotations

import sys


def disk_image_create() -> None:
    """``disk-image-create``: build a machine image."""
    sys.exit(_run("disk-image-create", "disk_image_create", sys.argv[1:]))


def disk_image_get_kernel() -> None:
    """``disk-image-get-kernel``: take the kernel and the ramdisk out of an image."""
    sys.exit(_run("disk-image-get-kernel", "disk_image_get_kernel", sys.argv[1:]))


def ramdisk_image_create() -> None:
    """``ramdisk-image-create``: make a ramdisk for bare metal."""
    sys.exit(_run("ramdisk-image-create", "ramdisk_image_create", sys.argv[1:]))


def imagewright() -> None:
    """``imagewright``: everything else."""
    sys.exit(_run("imagewright", "imagewright", sys.argv[1:] or ["--help"]))


def _run(program: str, command: str, argv: list[str]) -> int:
    if argv == ["--version"]:
        from imagewright import __version__
        from imagewright.cli import boundary

        return boundary.say(f"{program} {__version__}\n")
    from imagewright.cli import app, boundary, completion

    make = getattr(app, command)
    if completion.requested(program):
        return completion.answer(program, make)
    return boundary.run(program, make, argv)
