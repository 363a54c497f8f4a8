"""The entry points of the commands. What needs no typer is answered before it is imported."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagewright.cli.screen import Screen


def disk_image_create() -> None:
    """``disk-image-create``: build a machine image."""
    sys.exit(_run("disk-image-create", sys.argv[1:]))


def disk_image_get_kernel() -> None:
    """``disk-image-get-kernel``: take the kernel and the ramdisk out of an image."""
    sys.exit(_run("disk-image-get-kernel", sys.argv[1:]))


def ramdisk_image_create() -> None:
    """``ramdisk-image-create``: make a ramdisk for bare metal."""
    sys.exit(_run("ramdisk-image-create", sys.argv[1:]))


def imagewright() -> None:
    """``imagewright``: everything else."""
    sys.exit(_run("imagewright", sys.argv[1:] or ["--help"]))


def _run(program: str, argv: list[str]) -> int:
    # Modules are no garbage: with Python's threshold of 700 objects the collector looks at them dozens of times while
    # they are imported, for a tenth of what a short command takes.
    gc.set_threshold(50_000, 20, 20)
    try:
        return _answered(program, argv)
    finally:
        # nor is what is left at the end, which Python would look through three times more
        gc.freeze()


def _answered(program: str, argv: list[str]) -> int:
    from imagewright.cli import boundary, completion

    def command() -> Any:
        from imagewright.cli import app

        return app.command_of(program)

    def answered(screen: Screen) -> bool:
        from imagewright.cli import plainwords

        return plainwords.answered(program, argv, screen)

    if argv == ["--version"]:
        from imagewright import __version__

        return boundary.say(f"{program} {__version__}\n")
    if completion.requested(program):
        return completion.answer(program, command)
    return boundary.run(program, command, argv, answered=answered)
