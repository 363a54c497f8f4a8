"""Debian as an operating system for images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from imagewright.api import (
    GIB,
    OPERATING_SYSTEM,
    BuildContext,
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

from imagewright_debian.apt import Apt
from imagewright_debian.sources import Archive, archive_of, one_line_sources, sources_file

RELEASES = ("bookworm", "trixie")

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

PACKAGES = (
    "ca-certificates",
    "dbus",
    "initramfs-tools",
    "iproute2",
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


class Debian(Flavour):
    """Debian: bookworm and trixie, minimal, with systemd and a kernel."""

    summary = "Debian, minimal, with systemd and a kernel"
    provides = (OPERATING_SYSTEM,)
    default_release = "bookworm"
    programs = ("mmdebstrap", "apt-get", "dpkg", "debian-archive-keyring")
    disk_space = 5 * GIB // 2
    folder = Path(__file__).parent / "debian"
    parameters = (
        Parameter(
            name="security-mirror",
            help="where security updates come from; none does without them",
        ),
        Parameter(
            name="components",
            default="main non-free-firmware",
            help="the archive's components, separated by spaces",
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
            )
        argv = [
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            "--variant=apt",
            f"--architectures={ctx.arch}",
            f"--components={','.join(str(ctx.parameters['components']).split())}",
            "--skip=cleanup/apt/lists",
            "--include=ca-certificates",
            "--dpkgopt=force-unsafe-io",
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=Acquire::Retries "3"',
            *(f"--aptopt={line}" for line in _access(ctx)),
            # copied from the host; taken away in the same layer, or its absence would hide the build's own files
            '--customize-hook=rm -f "$1/etc/resolv.conf" "$1/etc/hostname"',
            ctx.release,
            "/run/imagewright/target",
            *one_line_sources(_archive(ctx), ctx.release),
        ]
        return [Step(id="10-mmdebstrap", action=Command(argv=tuple(argv)), summary="makes the first tree")]

    @hookimpl
    def pre_install(self, ctx: BuildContext) -> Iterable[Step]:
        """Name the package sources as they are for the build."""
        archive = _archive(ctx)
        if not archive.main:  # mmdebstrap's default stands in the tree already
            return []
        # the one-line form that mmdebstrap wrote would name everything twice
        tidy = Command(argv=("rm", "-f", "/etc/apt/sources.list", "/etc/apt/sources.list.d/0000debian.list"))
        return [
            Step(id="15-debian-sources", action=tidy, summary="takes away the sources of the first tree"),
            _put_sources("20-debian-sources", archive, ctx.release),
        ]

    @hookimpl
    def packages(self, ctx: BuildContext) -> Iterable[Step]:
        """Name what makes the tree a machine."""
        return [Step(id="10-debian", action=Packages(names=PACKAGES))]

    @hookimpl
    def finalise(self, ctx: BuildContext) -> Iterable[Step]:
        """Name the package sources as they are for the machine that runs the image."""
        if not ctx.image_mirror:
            return []
        archive = _archive(ctx)
        image = Archive(main=ctx.image_mirror, security=archive.security, components=archive.components)
        return [_put_sources("95-debian-sources", image, ctx.release)]

    @hookimpl
    def package_manager(self, ctx: BuildContext) -> Apt:
        """Drive apt."""
        return Apt(access=tuple(_access(ctx)))


def _archive(ctx: BuildContext) -> Archive:
    return archive_of(
        mirror=ctx.mirror,
        security=str(ctx.parameters["security-mirror"] or ""),
        components=tuple(str(ctx.parameters["components"]).split()),
    )


def _put_sources(step: str, archive: Archive, release: str) -> Step:
    path = "etc/apt/sources.list.d/debian.sources"
    content = sources_file(archive, release, KEYRING).encode()
    return Step(
        id=step, action=Put(tree=Tree((Entry(path=path, content=content),))), summary="names the package sources"
    )


def _access(ctx: BuildContext) -> Iterable[str]:
    """apt's options for a mirror whose certificate only the given authority vouches for."""
    if ctx.ca_certificate is not None:
        yield f'Acquire::https::CAInfo "{ctx.ca_certificate}"'
