"""Debian as an operating system for images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from imagewright.api import (
    GIB,
    OPERATING_SYSTEM,
    BuildContext,
    Call,
    Command,
    Entry,
    Flavour,
    Packages,
    Parameter,
    Put,
    Step,
    Tree,
    hookimpl,
)
from imagewright.errors import PlanError

from imagewright_debian.access import certificate_of
from imagewright_debian.apt import FAST, SLOW, Apt
from imagewright_debian.sources import Archive, archive_of, image_archive_of, one_line_sources, sources_file

RELEASES = ("trixie", "bookworm")
"""The releases that can be built, the default first."""

PACKAGES = (
    "ca-certificates",
    "dbus",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "libpam-systemd",
    "linux-image-amd64",
    "netbase",
    "procps",
    "sudo",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
    "zstd",
)
"""What makes a tree a machine: it starts, has a network, resolves names and knows the time."""


RAMDISK_PACKAGES = ("busybox", "kmod", "linux-image-amd64", "udev")
"""What a tree has from which ramdisks are made: it never starts itself."""


class Debian(Flavour):
    """Debian: trixie and bookworm, minimal, with systemd and a kernel."""

    api_version = 1
    summary = "Debian, minimal, with systemd and a kernel"
    provides = (OPERATING_SYSTEM,)
    default_release = RELEASES[0]
    programs = ("mmdebstrap", "apt-get", "dpkg-deb", "debian-archive-keyring")
    disk_space = 5 * GIB // 2
    folder = Path(__file__).parent / "debian"
    parameters = (
        Parameter(
            name="security-mirror",
            help="where security updates come from, for the build; none does without them",
        ),
        Parameter(
            name="security-mirror-of-image",
            help="where the running machine gets security updates from; none does without them",
        ),
        Parameter(
            name="components",
            default="main non-free-firmware",
            help="the archive's components, separated by spaces",
        ),
        Parameter(
            name="documentation",
            type="boolean",
            default=False,
            help="whether manual pages, documents and translations are in the image (copyright files always are)",
        ),
        Parameter(
            name="unpack",
            default=FAST,
            help="from what packages are unpacked, with the same result: `fast`, uncompressed forms that the cache "
            "keeps, or `plain`, the archives",
        ),
    )

    @hookimpl
    def root(self, ctx: BuildContext) -> Iterable[Step]:
        """Make the smallest tree that apt can go on from."""
        if ctx.release not in RELEASES:
            raise PlanError(
                "unknown-release",
                f"the flavour debian has no release {ctx.release!r}",
                hint=f"releases: {', '.join(RELEASES)}",
                option="release",
            )
        if ctx.parameters["unpack"] not in (FAST, SLOW):
            raise PlanError(
                "unknown-way-to-unpack",
                f"debian.unpack is {FAST} or {SLOW}, not {ctx.parameters['unpack']!r}",
                hint=f"--set debian.unpack={SLOW}",
                option="set",
            )
        archive = _archive(ctx)
        call = Call(
            function="imagewright_debian.bootstrap:bootstrap",
            arguments={
                "release": ctx.release,
                "architecture": ctx.arch,
                "sources": "\n".join(one_line_sources(archive, ctx.release)),
                "sources_file": sources_file(archive, ctx.release),
                "components": ",".join(archive.components),
                "documentation": bool(ctx.parameters["documentation"]),
                "authority": certificate_of(ctx),
            },
            asks="imagewright_debian.state:archive_state",
            fetches="imagewright_debian.bootstrap:fetch_packages" if ctx.parameters["unpack"] == FAST else "",
        )
        return [Step(id="10-mmdebstrap", action=call, summary="makes the first tree")]

    @hookimpl
    def packages(self, ctx: BuildContext) -> Iterable[Step]:
        """Name what makes the tree a machine, or what ramdisks are made of."""
        return [Step(id="10-debian", action=Packages(names=RAMDISK_PACKAGES if ctx.ramdisk else PACKAGES))]

    @hookimpl
    def finalise(self, ctx: BuildContext) -> Iterable[Step]:
        """Name the package sources as they are for the machine that runs the image."""
        built_from = _archive(ctx)
        image = image_archive_of(
            built_from, mirror=ctx.image_mirror, security=str(ctx.parameters["security-mirror-of-image"] or "")
        )
        if image == built_from or not image.main:
            return []
        entry = Entry(path="etc/apt/sources.list.d/debian.sources", content=sources_file(image, ctx.release).encode())
        named = Step(id="95-debian-sources", action=Put(tree=Tree((entry,))), summary="names the package sources")
        if built_from.main:
            return [named]
        forget = Command(argv=("rm", "-f", "/etc/apt/sources.list"))
        return [Step(id="94-debian-sources", action=forget, summary="takes away mmdebstrap's own list"), named]

    @hookimpl
    def package_manager(self, ctx: BuildContext) -> Apt:
        """Drive apt."""
        return Apt(authority=certificate_of(ctx), repositories=ctx.repositories, unpack=str(ctx.parameters["unpack"]))


def _archive(ctx: BuildContext) -> Archive:
    return archive_of(
        mirror=ctx.mirror,
        security=str(ctx.parameters["security-mirror"] or ""),
        components=tuple(str(ctx.parameters["components"]).split()),
    )
