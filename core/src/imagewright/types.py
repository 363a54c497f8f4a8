"""The values that cross borders: what flavours declare and what the core reads. Standard library only.

Everything here is frozen. A step is data: it can be printed, hashed, sent to another machine, and blamed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

API_VERSION = 1
"""The contract that a flavour is written against; a removal from the contract raises it."""

GIB = 2**30
MIB = 2**20

Plain = str | int | float | bool | None
"""An argument of a :class:`Call`: what JSON can carry and a plan can print."""


class Place(StrEnum):
    """Who runs the steps of a phase, and where."""

    HOST = "host"  # the caller, on the host, with their own home and uid
    OUTSIDE = "outside"  # mapped root, outside the target; TARGET_ROOT names the tree
    TARGET = "target"  # inside the target, as its root
    DISK = "disk"  # mapped root, on the disk file; IMAGE_BLOCK_DEVICE names it
    BOOTED = "booted"  # inside the booted image, once per copy


class Phase(StrEnum):
    """The fixed points of a disk image build, in the order in which they run."""

    BLOCK_DEVICE_SIZE = "block-device-size"
    EXTRA_DATA = "extra-data"
    ROOT = "root"
    PRE_INSTALL = "pre-install"
    PACKAGES = "packages"
    INSTALL = "install"
    POST_INSTALL = "post-install"
    FINALISE = "finalise"
    CLEANUP = "cleanup"
    BLOCK_DEVICE = "block-device"
    FIRST_BOOT = "first-boot"

    @property
    def hook(self) -> str:
        """The name of its pluggy hook."""
        return self.value.replace("-", "_")

    @property
    def folder(self) -> str:
        """The name of its folder in a directory flavour."""
        return f"{self.value}.d"

    @property
    def place(self) -> Place:
        """Who runs its steps, and where."""
        return _PLACES[self]


_PLACES = {
    Phase.BLOCK_DEVICE_SIZE: Place.HOST,
    Phase.EXTRA_DATA: Place.HOST,
    Phase.ROOT: Place.OUTSIDE,
    Phase.PRE_INSTALL: Place.TARGET,
    Phase.PACKAGES: Place.TARGET,
    Phase.INSTALL: Place.TARGET,
    Phase.POST_INSTALL: Place.TARGET,
    Phase.FINALISE: Place.TARGET,
    Phase.CLEANUP: Place.OUTSIDE,
    Phase.BLOCK_DEVICE: Place.DISK,
    Phase.FIRST_BOOT: Place.BOOTED,
}


KEPT_BY_READS = (Phase.INSTALL, Phase.POST_INSTALL, Phase.FINALISE)
"""The phases whose steps :attr:`Step.keep` serves: the image's date, which no time in it exceeds, is known by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file, folder or symbolic link of a :class:`Tree`; owned by root in the image.

    ``path`` is relative, with ``/``. The content of a file is ``content``, or that of the host's file ``source``.
    ``mode`` holds the permission bits; ``target`` is where a link points.
    """

    path: str
    kind: Literal["file", "folder", "link"] = "file"
    mode: int = 0o644
    content: bytes = b""
    source: Path | None = None
    target: str = ""

    def read(self) -> bytes:
        """The content of a file. Raises OSError if its source cannot be read."""
        return self.content if self.source is None else self.source.read_bytes()

    def fingerprint(self) -> str:
        """The SHA-256 hex digest of everything that the entry is."""
        content = hashlib.sha256(self.read() if self.kind == "file" else self.target.encode())
        line = f"{self.kind} {self.mode:o} {content.hexdigest()} {self.path}"
        return hashlib.sha256(line.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Tree:
    """Files, folders and links, sorted by path; no path twice."""

    entries: tuple[Entry, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 hex digest of all entries."""
        return hashlib.sha256("\n".join(entry.fingerprint() for entry in self.entries).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """An executable of the flavour; its data files lie beside it in the phase's folder.

    In the target it is found at ``/tmp/in_target.d/PHASE.d/ID``, ``data`` relative to ``/tmp/in_target.d/PHASE.d``.
    """

    content: bytes
    data: Tree = field(default_factory=Tree)
    source: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program with its arguments, run where the phase runs."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """Names of packages for the one transaction of the phase ``packages``."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A tree that is laid into the root tree, at ``at``."""

    tree: Tree
    at: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A Python function ``module:function`` with plain keyword arguments, for the phases outside the target.

    It is called with a first argument, the :class:`CallContext`, in a process of its own.
    ``fingerprint`` is the digest of the files of the distribution that brings it.
    ``finds`` names the facts that it returns, as a mapping from name to text: what only the world knows, such as the
    digest of a file that it fetched. ``needs`` names facts that earlier steps found; they are part of the step's key
    and reach the function as ``CallContext.facts``.
    ``asks`` names a function that is called in the same way, without a tree, and returns a text: the state of the
    source that the result depends on, such as the dates of a package archive. Its answer is part of the step's key;
    while it is young enough, or nothing can be asked (``--offline``), nobody asks again.
    ``fetches`` names a function that is called in the same way, without a tree, right before the call of the phase
    ``root`` is made, and brings the package archives that it needs: see :class:`CallContext`.
    """

    function: str
    arguments: Mapping[str, Plain] = field(default_factory=dict)
    fingerprint: str = ""
    finds: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    asks: str = ""
    fetches: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A bound of the image's size, in bytes, with the reason that an error shows."""

    minimum: int = 0
    maximum: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition of a GPT; ``size`` in bytes, 0 for all the room that is left (one only).

    ``type`` is the GPT type GUID. ``role`` says what the core puts there. As a step of its own it is one more partition
    of another flavour's :class:`Layout`, in front of the root, so that the root can still grow; it has a size.
    """

    name: str
    type: str
    size: int = 0
    role: Literal["root", "esp", "bios-boot", "data"] = "data"
    filesystem: Literal["", "ext4", "vfat"] = ""
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Partitions in their order on the disk; exactly one has the role ``root``.

    ``boot_loader`` ``grub`` makes the disk start under BIOS and UEFI.
    """

    partitions: tuple[Partition, ...]
    boot_loader: Literal["", "grub"] = ""


Action = Script | Command | Packages | Put | Call | Size | Layout | Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One contribution to a phase. ``id`` is ``NN-name``: two digits, a dash, lower-case letters, digits, dashes.

    ``before`` and ``after`` hold ids of steps of the same phase; one that is not there is ignored.
    ``keep`` says of a script or a command of ``install``, ``post-install`` or ``finalise`` that it need not run again
    while nothing that it read in the tree has changed, although steps before it have run again. It is told no
    ``IMAGE_ROOT_UUID``, which changes with them, and makes no mounts.
    """

    id: str
    action: Action
    summary: str = ""
    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    keep: Literal["", "while-read-unchanged"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a user may set of a flavour: by ``--set flavour.name=value`` or in the environment as ``NAME``."""

    name: str
    type: Literal["string", "integer", "boolean", "path"] = "string"
    default: Plain = None
    help: str = ""
    required: bool = False
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that sets it and that scripts see."""
        return self.name.upper().replace("-", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A package repository that serves the build alone: no file of the image names it.

    ``address`` is of http or https and carries no login. An empty ``suite`` is the release that is built; one that ends
    in ``/`` has no ``components``. ``keys`` are the contents of OpenPGP key files that its index may be signed with;
    without any, those count that the tree trusts. ``login`` is ``USER:PASSWORD``, the value of a secret parameter.
    """

    address: str
    suite: str = ""
    components: tuple[str, ...] = ()
    keys: tuple[bytes, ...] = ()
    login: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """What a hook may know: the request, never the machine. One is made per flavour, with its own parameters."""

    arch: str
    release: str
    operating_system: str
    flavours: tuple[str, ...]
    image_name: str
    image_size: int | None = None  # bytes
    root_label: str = "cloudimg-rootfs"
    fs_type: str = "ext4"
    kernel_arguments: str = ""
    mirror: str = ""  # "" means: what the operating-system flavour takes by default
    image_mirror: str = ""  # "" means: the mirror built from
    cloud_images: str = ""  # the server of cloud images
    base_image_file: str = ""  # "" means: what the operating-system flavour takes by default
    ca_certificate: Path | None = None
    offline: bool = False
    ramdisk: bool = False
    parameters: Mapping[str, Plain] = field(default_factory=dict)
    repositories: tuple[Repository, ...] = ()  # for the hook package_manager alone: those of the user and all flavours


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What a :class:`Call` is given: where the tree is, its environment, and where to report.

    ``target_root`` is None in phases that have no tree yet. ``cache`` is a folder that outlives the build: the caller's
    steps on the host may write there, mapped root can only read. ``facts`` holds those that the call needs, ``report``
    takes a line for the log. ``offline``: nothing may be fetched. ``locked`` is the folder with the archives that a
    lock file names and the package manager's index of them (:attr:`imagewright.drivers.ExactVersions.index`).

    The function of :attr:`Call.fetches` finds in ``packages`` the store of archives (``DIGEST.package``), lays what it
    fetches itself into ``fetched/archives``, and returns the digest (SHA-256) of each archive that the call needs, by
    file name. What is fetched goes into the store. The call then finds them all in ``packages/archives``, those that
    have a form without compression in ``packages/plain`` too, and ``fetched`` as it was left.
    """

    target_root: Path | None
    environment: Mapping[str, str]
    cache: Path | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    report: Callable[[str], None] = print
    offline: bool = False
    packages: Path | None = None
    fetched: Path | None = None
    locked: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package of the image, as its package manager names it."""

    name: str
    version: str
    architecture: str = ""
    digest: str = ""  # SHA-256 of the archive, where it is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who gave something: a flavour, the distribution and version that brought it, and where it lies.

    ``distribution`` and ``version`` are empty for a folder of a search path.
    """

    flavour: str
    distribution: str = ""
    version: str = ""
    location: str = ""

    def __str__(self) -> str:
        """``mellanox (imagewright-flavours-mellanox 1.2)``, or the flavour and its folder."""
        if self.distribution:
            return f"{self.flavour} ({self.distribution} {self.version})"
        return f"{self.flavour} ({self.location})" if self.location else self.flavour


# -- ramdisks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryDependency:
    """An executable that a ramdisk holds, by its name on ``$PATH``; ``package`` is what would bring it."""

    name: str
    package: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitFragment:
    """A piece of POSIX shell that is joined to ``/init``."""

    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UdevRules:
    """A rules file for ``/usr/lib/udev/rules.d`` of a ramdisk; ``name`` ends in ``.rules``."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelModules:
    """Names of kernel modules that a ramdisk holds, with everything they need."""

    names: tuple[str, ...]
