"""What a user asked for, as one value: the start of the way of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from imagewright.sandbox.limits import Limits
from imagewright.supplychain.request import Beside
from imagewright.types import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The request for a disk image; sizes in bytes. ``overrides`` and ``skips`` as on the command line."""

    flavours: tuple[str, ...]
    output: Path
    types: tuple[str, ...] = ("qcow2",)
    arch: str = "amd64"
    packages: tuple[str, ...] = ()
    release: str = ""
    mirror: str = ""
    image_mirror: str = ""
    cloud_images: str = ""  # address of the server
    base_image_file: str = ""  # a name on it, a path with a slash, or an address
    repositories: tuple[Repository, ...] = ()  # that serve the build alone
    image_size: int | None = None
    root_label: str = "cloudimg-rootfs"
    fs_type: str = "ext4"
    kernel_arguments: str = ""
    flavour_path: tuple[Path, ...] = ()
    settings: tuple[tuple[str, str, str], ...] = ()  # flavour, parameter, value
    overrides: tuple[tuple[str, Path], ...] = ()  # flavour, folder
    skips: tuple[str, ...] = ()  # FLAVOUR:PHASE/NN-name
    allow: tuple[str, ...] = ()  # rules of the blank slate that the user sets aside
    skip_base: bool = False
    default_operating_system: str = "ubuntu"
    for_publishing: bool = False
    cache_dir: Path = Path()
    work_dir: Path | None = None
    ca_certificate: Path | None = None
    offline: bool = False
    no_cache: bool = False  # no kept layers; what was fetched is used still
    refresh: bool = False  # ask the world again, however young its answer is
    lock: Path | None = None  # a lock file: obeyed if it is there, written if it is not or if the world is asked again
    start_from: str = ""  # a phase, or PHASE/NN-name: from there on everything runs
    shell_on_failure: bool = False  # at a terminal, a shell in the root tree where a step failed
    network: Literal["auto", "own", "host"] = "auto"  # of its steps: own where the host can give one
    limits: Limits = field(default_factory=Limits)  # of each step
    trace: bool = False
    beside: Beside = field(default_factory=Beside)  # bill of materials, statement, signatures
    ramdisk: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)  # the caller's, for parameters and proxies


@dataclass(frozen=True, slots=True, kw_only=True)
class RamdiskRequest:
    """The request for a ramdisk: ``image`` holds what it has in common with one for an image.

    ``module_root`` is the folder that holds ``lib/modules``; ``kernel_image`` is an image, and ``kernel_flavour`` an
    operating-system flavour, that gives the kernel; at most one of the three is set. ``init_timeout`` is in seconds.
    """

    image: Request
    kernel_version: str = ""
    module_root: Path | None = None
    kernel_image: Path | None = None
    kernel_flavour: str = ""
    binaries_from: Literal["tree", "host"] = "tree"
    busybox: Path | None = None
    compress: str = "zstd"
    init_timeout: int = 300

    @property
    def needs_tree(self) -> bool:
        """Whether executables or the kernel come from the root tree of an operating system."""
        own_kernel = self.module_root is not None or self.kernel_image is not None or bool(self.kernel_flavour)
        return self.binaries_from == "tree" or not own_kernel
