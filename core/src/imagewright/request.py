"""What a user asked for, as one value: the start of the way of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
    skip_base: bool = False
    default_operating_system: str = "ubuntu"
    for_publishing: bool = False
    cache_dir: Path = Path()
    work_dir: Path | None = None
    ca_certificate: Path | None = None
    offline: bool = False
    no_cache: bool = False
    trace: bool = False
    ramdisk: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)  # the caller's, for parameters and proxies
