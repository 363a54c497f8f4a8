"""Which options each command takes, out of the one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imagewright.cli.options import kinds, ramdisks
from imagewright.cli.options.settings import SETTINGS, Setting


def chosen(*names: str) -> tuple[Setting, ...]:
    """The options of those names, in that order."""
    return tuple(SETTINGS[name] for name in names)


FLAVOUR_SEARCH = chosen("flavour-path", "override")
DISPLAY = chosen("json", "debug")
BUILD = chosen(
    "arch",
    "release",
    "package",
    "kernel-args",
    "allow",
    "for-publishing",
    "flavour-path",
    "operating-system",
    "skip-base",
    "set",
    "override",
    "skip",
    "mirror",
    "image-mirror",
    "cloud-images",
    "base-image-file",
    "ca-certificate",
    "repository",
    "repository-key",
    "repository-login",
    "lock",
    "sbom",
    "provenance",
    "sign-key",
    "sign-gpg",
    "offline",
    "network",
    "step-timeout",
    "step-memory",
    "step-output",
    "no-cache",
    "refresh",
    "from",
    "shell-on-failure",
    "cache-dir",
    "work-dir",
    "plan",
    "json",
    "progress",
    "log-file",
    "trace",
    "debug",
)
"""What every build command takes."""

DISK_IMAGE = (*chosen("output", "type", "image-size", "root-label", "fs-type"), *BUILD)
"""The options of ``disk-image-create``."""

CHECK_FLAVOURS = (*chosen("strict"), *FLAVOUR_SEARCH, *DISPLAY)
"""The options of ``imagewright flavours check``."""

NEW_FLAVOUR = (*chosen("script", "python", "pack", "directory"), *DISPLAY)
"""The options of ``imagewright flavours new``."""

GET_KERNEL = (
    SETTINGS["output"]._replace(
        help="Prefix of the files: PREFIX.kernel and PREFIX.ramdisk.",
        metavar="PREFIX",
        # IMAGE_NAME names what is built, which need not be what is read.
        ancestor="",
        default=None,
        shown="the image's name, in the current folder",
        group="Kernel",
    ),
    *chosen("list", "kernel", "pxe", "json"),
    SETTINGS["trace"]._replace(help="Say on standard error what is found in the image."),
    *chosen("debug"),
)
"""The options of ``disk-image-get-kernel``."""

DOCTOR = (*chosen("cache-dir"), *DISPLAY)
"""The options of ``imagewright doctor``."""

BOOT = (*chosen("check", "uefi", "user", "timeout", "memory", "disk-bus", "junit", "cache-dir"), *DISPLAY)
"""The options of ``imagewright boot``."""

BOOT_SERVER = (
    *chosen("listen", "image", "reports", "once", "keys", "keep", "blank", "chap-user", "chap-password", "connect-to"),
    *chosen("cache-dir"),
    *DISPLAY,
)
"""The options of ``imagewright boot-server``."""

SHELL = (
    *chosen("after"),
    *(setting for setting in DISK_IMAGE if setting.name not in ("plan", "json")),
)
"""The options of ``imagewright shell``: those of the build whose tree it enters."""

VERIFY_SIGNATURE = (*chosen("verify-key"), *DISPLAY)
"""The options of ``imagewright verify-signature``."""

CACHE_LIST = (*chosen("cache-dir"), *DISPLAY)
"""The options of ``imagewright cache list`` and ``verify``."""

CACHE_PRUNE = (*chosen("max-size", "max-age"), *CACHE_LIST)
"""The options of ``imagewright cache prune``."""

RAMDISK_IMAGE = (
    SETTINGS["output"]._replace(
        help="Name of the ramdisk; its kernel lies beside it: deploy.ramdisk has deploy.kernel, x has x.kernel.",
        default=kinds.path("ramdisk"),
        group="Ramdisk",
    ),
    *chosen(*(setting.name for setting in ramdisks.OPTIONS)),
    *(
        setting._replace(default="", shown="that of this machine") if setting.name == "operating-system" else setting
        for setting in BUILD
        if setting.name not in ("kernel-args", "for-publishing", "skip-base", "skip", "image-mirror")
    ),
)
"""The options of ``ramdisk-image-create``."""

RUN_WIDE = ("plan", "json", "progress", "debug")
"""Options of a run as a whole: not of one image of several."""

ALONE = ("shell-on-failure",)
"""Options that an image has only if it is built alone: several cannot have the terminal at once."""

BUILD_IMAGES = (
    *chosen("jobs", "only", "fail-fast"),
    *chosen("flavour-path", "mirror", "ca-certificate", "offline", "no-cache", "refresh", "cache-dir", "work-dir"),
    *chosen("trace", *RUN_WIDE),
)
"""The options of ``imagewright build``; each of the second line is stronger than what the file says of it."""

COMMANDS: Mapping[str, Sequence[Setting]] = {
    "disk-image-create": DISK_IMAGE,
    "disk-image-get-kernel": GET_KERNEL,
    "imagewright boot": BOOT,
    "imagewright boot-server": BOOT_SERVER,
    "imagewright build": BUILD_IMAGES,
    "imagewright cache": CACHE_PRUNE,
    "imagewright doctor": DOCTOR,
    "imagewright flavours check": CHECK_FLAVOURS,
    "imagewright flavours new": NEW_FLAVOUR,
    "imagewright flavours": (*FLAVOUR_SEARCH, *DISPLAY),
    "imagewright shell": SHELL,
    "imagewright verify-signature": VERIFY_SIGNATURE,
    "ramdisk-image-create": RAMDISK_IMAGE,
}
"""The options of each command, by its name."""
