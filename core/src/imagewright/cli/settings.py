"""The one table of options: flags, variables, file keys, defaults and help all come from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from imagewright.cli import boot_server_settings as boot_server
from imagewright.cli import kinds, ramdisk_settings
from imagewright.cli.kinds import Kind
from imagewright.cli.setting import Setting as Setting
from imagewright.cli.setting import switch as _switch

_ALL = (
    # -- the image
    Setting(
        name="output",
        short="-o",
        help="Name of the image, with or without the suffix of its type.",
        metavar="FILE",
        convert=kinds.output,
        of_path=True,
        ancestor="IMAGE_NAME",
        default=kinds.path("image"),
    ),
    Setting(
        name="type",
        short="-t",
        help="Type of the image: qcow2, raw, tar or an installed driver's name. Several: repeat it or use commas.",
        kind=Kind.NAMES,
        convert=kinds.name,
        metavar="TYPE",
        ancestor="IMAGE_TYPE",
        default=("qcow2",),
    ),
    Setting(
        name="arch",
        short="-a",
        help="Architecture of the image; amd64 only.",
        convert=kinds.one_of("the architecture", "amd64", other="in this version"),
        metavar="ARCH",
        ancestor="ARCH",
        default="amd64",
    ),
    Setting(
        name="release",
        help="Release of the operating system, such as trixie.",
        convert=kinds.name,
        metavar="NAME",
        ancestor="RELEASE",
        default="",
        shown="the operating-system flavour's",
    ),
    Setting(
        name="package",
        short="-p",
        help="Install a package too. Several: repeat it or use commas.",
        kind=Kind.NAMES,
        convert=kinds.package,
        metavar="NAME",
        default=(),
    ),
    Setting(
        name="image-size",
        help="Size of the image in GiB, decimals allowed.",
        convert=kinds.gib,
        metavar="GIB",
        ancestor="IMAGE_SIZE",
        shown="what the content needs",
    ),
    Setting(
        name="root-label",
        help="Label of the root filesystem.",
        convert=kinds.label,
        metavar="LABEL",
        default="cloudimg-rootfs",
    ),
    Setting(
        name="fs-type",
        help="Type of the root filesystem; ext4 only.",
        convert=kinds.one_of("the filesystem", "ext4", other="in this version"),
        metavar="TYPE",
        ancestor="FS_TYPE",
        default="ext4",
    ),
    Setting(name="kernel-args", help="Arguments to add to the kernel's command line.", metavar="TEXT", default=""),
    _switch("for-publishing", "Refuse flavours that put data of yours into the image.", group="Image"),
    # -- flavours
    Setting(
        name="flavour-path",
        help="Folder of flavours, or one that pip installed packs into. Several: repeat it or use colons.",
        kind=Kind.PATHS,
        convert=kinds.path,
        of_path=True,
        metavar="DIR",
        ancestor="FLAVOURS_PATH",
        default=(),
        group="Flavours",
    ),
    Setting(
        name="operating-system",
        help="Operating-system flavour to take if none is named.",
        convert=kinds.name,
        metavar="NAME",
        default="ubuntu",
        group="Flavours",
    ),
    _switch("skip-base", "Leave the flavour base out.", group="Flavours"),
    Setting(
        name="set",
        help="Set a parameter of a flavour; `imagewright flavours show NAME` lists them.",
        kind=Kind.PAIRS,
        convert=kinds.parameter,
        metavar="FLAVOUR.NAME=VALUE",
        default=(),
        group="Flavours",
    ),
    Setting(
        name="override",
        help="Take the flavour NAME from a folder of your own.",
        kind=Kind.PAIRS,
        convert=kinds.override,
        metavar="NAME=DIR",
        default=(),
        group="Flavours",
    ),
    Setting(
        name="skip",
        help="Switch one step off.",
        kind=Kind.WORDS,
        convert=kinds.step,
        metavar="FLAVOUR:PHASE/NN-NAME",
        default=(),
        group="Flavours",
    ),
    # -- sources
    Setting(
        name="mirror",
        help="Package mirror to build from.",
        convert=kinds.address,
        metavar="URL",
        default="",
        shown="the operating-system flavour's",
        group="Sources",
    ),
    Setting(
        name="image-mirror",
        help="Package mirror that the image names.",
        convert=kinds.address,
        metavar="URL",
        default="",
        shown="the mirror built from",
        group="Sources",
    ),
    Setting(
        name="cloud-images",
        help="Server that Ubuntu's cloud images come from; RELEASE/current/ is added.",
        convert=kinds.address,
        metavar="URL",
        ancestor="CLOUD_IMAGES",
        default="",
        group="Sources",
    ),
    Setting(
        name="base-image-file",
        help="Cloud image to start from: its name on that server, a path with a slash, or an address.",
        convert=kinds.text,
        metavar="FILE",
        ancestor="BASE_IMAGE_FILE",
        default="",
        shown="the operating-system flavour's",
        group="Sources",
    ),
    Setting(
        name="ca-certificate",
        help="Certificate authority (PEM) to trust for downloads during the build.",
        convert=kinds.file,
        of_path=True,
        metavar="FILE",
        group="Sources",
    ),
    Setting(
        name="repository",
        help="Package repository for the build alone; the image does not name it. May be repeated.",
        kind=Kind.WORDS,
        convert=kinds.repository,
        metavar="'URL SUITE COMPONENT...'",
        default=(),
        group="Sources",
    ),
    Setting(
        name="repository-key",
        help="OpenPGP key that these repositories are signed with. Several: repeat it or use colons.",
        kind=Kind.PATHS,
        convert=kinds.file,
        of_path=True,
        metavar="FILE",
        default=(),
        group="Sources",
    ),
    Setting(
        name="repository-login",
        help="Logins for these repositories, in the form of netrc: `machine HOST login USER password PASSWORD`.",
        convert=kinds.file,
        of_path=True,
        metavar="FILE",
        group="Sources",
    ),
    _switch("offline", "Use the caches only; the build gets no network.", group="Sources"),
    _switch("no-cache", "Make everything anew.", group="Sources"),
    Setting(
        name="cache-dir",
        help="Folder of the caches and of the work folders.",
        convert=kinds.path,
        of_path=True,
        metavar="DIR",
        shown="~/.cache/imagewright",
        group="Sources",
    ),
    Setting(
        name="work-dir",
        help="Folder to make the work folder in.",
        convert=kinds.path,
        of_path=True,
        metavar="DIR",
        ancestor="TMPDIR",
        shown="the cache folder",
        group="Sources",
    ),
    # -- what is shown
    _switch("plan", "Print what would be done, and stop.", group="Display"),
    _switch("json", "Print one JSON document; errors are JSON too.", group="Display"),
    Setting(
        name="progress",
        help="How to show progress: auto, rich, plain, json or none.",
        convert=kinds.one_of("progress", "auto", "rich", "plain", "json", "none"),
        metavar="HOW",
        default="auto",
        group="Display",
    ),
    Setting(
        name="log-file",
        help="File for the full log.",
        convert=kinds.path,
        of_path=True,
        metavar="FILE",
        shown="in the cache folder",
        group="Display",
    ),
    _switch("trace", "Show each line of the hook scripts in the log as it runs.", short="-x", group="Display"),
    _switch("debug", "Show the traceback of an unexpected error.", group="Display"),
    # -- checking and writing flavours
    _switch("strict", "Fail on warnings too.", group="Check"),
    _switch("script", "Make a folder of scripts; this is the default.", group="New flavour"),
    _switch("python", "Make a Python class, in a pack.", group="New flavour"),
    _switch("pack", "Make a pack that pip can install, with tests.", group="New flavour"),
    Setting(
        name="directory",
        help="Folder to make it in.",
        convert=kinds.path,
        metavar="DIR",
        default=kinds.path("."),
        group="New flavour",
    ),
    # -- booting an image
    Setting(
        name="check",
        help="Command to run in the booted image over ssh; may be repeated. The first that fails sets the exit code.",
        kind=Kind.WORDS,
        metavar="CMD",
        default=(),
        group="Boot",
    ),
    _switch("uefi", "Boot with UEFI instead of BIOS.", group="Boot"),
    Setting(
        name="user",
        help="User to log in as.",
        convert=kinds.name,
        metavar="NAME",
        default="debian",
        group="Boot",
    ),
    Setting(
        name="timeout",
        help="Seconds that the login and each check may take.",
        convert=kinds.count,
        metavar="S",
        default=600,
        group="Boot",
    ),
    Setting(
        name="memory",
        help="Memory of the machine in MiB.",
        convert=kinds.count,
        metavar="MIB",
        default=1024,
        group="Boot",
    ),
    Setting(
        name="disk-bus",
        help="How the machine sees the image: virtio, ahci or nvme.",
        convert=kinds.one_of("the bus", "virtio", "ahci", "nvme"),
        metavar="BUS",
        default="virtio",
        group="Boot",
    ),
    Setting(
        name="junit",
        help="File for a JUnit report of the checks.",
        convert=kinds.path,
        of_path=True,
        metavar="FILE",
        group="Boot",
    ),
    # -- taking a kernel out of an image
    _switch("list", "List the kernels of the image with their ramdisks, the newest first, and stop.", group="Kernel"),
    Setting(
        name="kernel",
        help="Version of the kernel to take.",
        convert=kinds.text,
        metavar="VERSION",
        default="",
        shown="the newest",
        group="Kernel",
    ),
    Setting(
        name="pxe",
        help="Folder to make ready for network boot by pxelinux and iPXE too.",
        convert=kinds.path,
        of_path=True,
        metavar="DIR",
        group="Kernel",
    ),
    *boot_server.OPTIONS,
    *ramdisk_settings.OPTIONS,
)

SETTINGS: Mapping[str, Setting] = {setting.name: setting for setting in _ALL}
"""Every option by name."""


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
    "offline",
    "no-cache",
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
    replace(
        SETTINGS["output"],
        help="Prefix of the files: PREFIX.kernel and PREFIX.ramdisk.",
        metavar="PREFIX",
        # IMAGE_NAME names what is built, which need not be what is read.
        ancestor="",
        default=None,
        shown="the image's name, in the current folder",
        group="Kernel",
    ),
    *chosen("list", "kernel", "pxe", "json"),
    replace(SETTINGS["trace"], help="Say on standard error what is found in the image."),
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

RAMDISK_IMAGE = (
    replace(
        SETTINGS["output"],
        help="Name of the ramdisk; its kernel lies beside it: deploy.ramdisk has deploy.kernel, x has x.kernel.",
        default=kinds.path("ramdisk"),
        group="Ramdisk",
    ),
    *chosen(*(setting.name for setting in ramdisk_settings.OPTIONS)),
    *(
        replace(setting, default="", shown="that of this machine") if setting.name == "operating-system" else setting
        for setting in BUILD
        if setting.name not in ("kernel-args", "for-publishing", "skip-base", "skip", "image-mirror")
    ),
)
"""The options of ``ramdisk-image-create``."""
