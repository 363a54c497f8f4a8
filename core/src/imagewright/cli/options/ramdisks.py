"""The options of ``ramdisk-image-create`` that no other command has: a part of the one table."""

from __future__ import annotations

from imagewright.cli.options import kinds
from imagewright.cli.options.setting import Setting

_RAMDISK = "Ramdisk"

OPTIONS = (
    Setting(
        name="kernel-version",
        short="-k",
        help="Version of the kernel.",
        convert=kinds.text,
        metavar="VERSION",
        ancestor="KERNEL_VERSION",
        default="",
        shown="the newest",
        group=_RAMDISK,
    ),
    Setting(
        name="module-root",
        short="-m",
        help="Root that holds lib/modules, the kernel and its firmware.",
        convert=kinds.folder,
        of_path=True,
        metavar="PATH",
        ancestor="MODULE_ROOT",
        shown="the root tree",
        group=_RAMDISK,
    ),
    Setting(
        name="kernel-from",
        help="Image, or operating-system flavour, to take kernel, modules and firmware from.",
        convert=kinds.text,
        metavar="IMAGE|FLAVOUR",
        default="",
        shown="the root tree",
        group=_RAMDISK,
    ),
    Setting(
        name="binaries-from",
        help="Where executables come from: tree, or host for this machine's own.",
        convert=kinds.one_of("the source", "tree", "host"),
        metavar="WHERE",
        default="tree",
        group=_RAMDISK,
    ),
    Setting(
        name="busybox",
        help="The busybox to take.",
        convert=kinds.program,
        of_path=True,
        metavar="FILE",
        ancestor="BUSYBOX",
        shown="that of the root tree",
        group=_RAMDISK,
    ),
    Setting(
        name="compress",
        help="Compression: zstd, gzip, lz4, xz or none.",
        convert=kinds.one_of("the compression", "zstd", "gzip", "lz4", "xz", "none"),
        metavar="HOW",
        default="zstd",
        group=_RAMDISK,
    ),
    Setting(
        name="init-timeout",
        help="Seconds after which the machine starts again when a step of /init failed.",
        convert=kinds.count,
        metavar="S",
        default=300,
        group=_RAMDISK,
    ),
)
"""In the order of the help."""
