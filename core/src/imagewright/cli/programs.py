"""The programs that do one thing, as data: their options, their arguments and what runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from imagewright.cli.options.sets import DISK_IMAGE, GET_KERNEL, RAMDISK_IMAGE
from imagewright.cli.options.setting import Setting


class Program(NamedTuple):
    """A program without sub-commands, which takes options and one argument, or ``several``.

    ``body`` is ``module:function``, imported when it runs; it takes one
    :class:`~imagewright.cli.invocation.Invocation`. ``argument`` is the name under which it finds the arguments.
    """

    name: str
    body: str
    settings: Sequence[Setting]
    argument: str
    metavar: str
    argument_help: str
    help: str
    several: bool = False


_FLAVOURS = "Flavours of the {}, in order; `imagewright flavours list` shows them."

DISK_IMAGE_CREATE = Program(
    name="disk-image-create",
    body="imagewright.cli.commands.disk_image:run",
    settings=DISK_IMAGE,
    argument="flavours",
    metavar="FLAVOUR...",
    argument_help=_FLAVOURS.format("image"),
    several=True,
    help="Build a machine image from flavours, without root. Prints the paths of what it wrote.",
)
DISK_IMAGE_GET_KERNEL = Program(
    name="disk-image-get-kernel",
    body="imagewright.cli.commands.get_kernel:run",
    settings=GET_KERNEL,
    argument="image",
    metavar="IMAGE",
    argument_help="Image to read: qcow2, raw or tar. It is not changed.",
    help="Take kernel and ramdisk out of an image, without root. Prints both paths and the command line.",
)
RAMDISK_IMAGE_CREATE = Program(
    name="ramdisk-image-create",
    body="imagewright.cli.commands.ramdisk_image:run",
    settings=RAMDISK_IMAGE,
    argument="flavours",
    metavar="FLAVOUR...",
    argument_help=_FLAVOURS.format("ramdisk"),
    several=True,
    help="Make a ramdisk and its kernel for bare metal, without root. Prints the paths of what it wrote.",
)

PROGRAMS = (DISK_IMAGE_CREATE, DISK_IMAGE_GET_KERNEL, RAMDISK_IMAGE_CREATE)
"""All of them; ``imagewright`` has sub-commands and is none."""
