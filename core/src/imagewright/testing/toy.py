"""The toy operating system: busybox and a package manager of its own, so that a whole build takes a second.

It goes through every phase like a real one, without network and without root. It does not boot.
Only the testing kit puts it on the flavour path; ordinary users never see it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from imagewright.api import (
    OPERATING_SYSTEM,
    BuildContext,
    Command,
    Entry,
    Flavour,
    Package,
    PackageManager,
    Script,
    Step,
    Tree,
    hookimpl,
)
from imagewright.testing.repository import repository

APPLETS = (
    "ash awk basename cat chgrp chmod chown chroot cmp cp cut date dd df diff dirname du echo egrep env expr "
    "false find free grep groups gzip head hostname id install ip kill ln ls md5sum mkdir mknod mktemp more "
    "mount mv nc nslookup od paste ping printf ps pwd readlink realpath rm rmdir sed seq sh sha256sum sleep "
    "sort stat stty su sync tail tar tee test timeout touch tr true tty umount uname uniq vi wc wget which "
    "whoami xargs yes"
)
"""The commands of the toy operating system, as words: what Debian's and Ubuntu's busybox-static both have."""

FOLDERS = {
    "boot": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "home/toy": 0o755,
    "mnt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/lib": 0o755,
    "usr/local": 0o755,
    "usr/local/bin": 0o755,
    "usr/sbin": 0o755,
    "usr/share": 0o755,
    "var": 0o755,
    "var/cache": 0o755,
    "var/cache/toypm": 0o755,
    "var/lib": 0o755,
    "var/lib/toypm": 0o755,
    "var/log": 0o755,
    "var/tmp": 0o1777,
}

FILES = {
    "etc/group": "root:x:0:\ntoy:x:1000:\n",
    "etc/hostname": "toy\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ntoy:x:1000:1000:Toy:/home/toy:/bin/sh\n",
    "usr/lib/os-release": 'ID=toy\nNAME="Toy"\nVERSION_ID=1\n',
}

LINKS = {"bin": "usr/bin", "lib": "usr/lib", "sbin": "usr/sbin", "etc/os-release": "../usr/lib/os-release"}

TOYPM = "/usr/bin/toypm"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyPackageManager:
    """Drives ``toypm``; ``mirror`` is an http address or empty for the repository that lies in the build files.

    ``bound`` are the packages of a lock: their versions count, whatever the repository's index says.
    """

    mirror: str = ""
    bound: tuple[Package, ...] = ()

    @property
    def name(self) -> str:
        """What a plan shows."""
        return "toypm"

    def build_files(self, environment: Mapping[str, str]) -> Tree:
        """The script, its settings and the repository."""
        script = resources.files("imagewright.testing").joinpath("toypm").read_bytes()
        settings = f"repository='{self.mirror}'\n" if self.mirror else ""
        proxy = environment.get("http_proxy", "")
        settings += f"http_proxy='{proxy}'\nexport http_proxy\n" if proxy else ""
        entries = [
            # empty: a build shows the host's in its place, and the image has none
            Entry(path="etc/resolv.conf"),
            Entry(path="etc/toypm.conf", content=settings.encode()),
            Entry(path=TOYPM.lstrip("/"), mode=0o755, content=script),
        ]
        if self.bound:
            lines = "".join(f"{one.name} {one.version} {one.digest}\n" for one in self.bound)
            entries.append(Entry(path="etc/toypm.lock", content=lines.encode()))
        if not self.mirror:
            for name, content in repository().items():
                entries.append(Entry(path=f"usr/lib/toypm/repository/{name}", content=content))
        return Tree(tuple(sorted(entries, key=lambda entry: entry.path)))

    def cache_folders(self) -> Mapping[str, str]:
        """Where archives are kept from build to build."""
        return {"/var/cache/toypm": "toypm"}

    def refresh(self) -> Command:
        """Fetch the index."""
        return Command(argv=(TOYPM, "refresh"))

    def resolve(self, names: Sequence[str]) -> Command:
        """Print the closure of ``names``."""
        return Command(argv=(TOYPM, "resolve", *names))

    def parse_resolution(self, output: str) -> tuple[Package, ...]:
        """Read lines of name, version and digest."""
        rows = [line.split() for line in output.splitlines() if line]
        return tuple(Package(name=name, version=version, digest=digest) for name, version, digest in rows)

    def install(self, names: Sequence[str]) -> Command:
        """Install ``names`` and what they need."""
        return Command(argv=(TOYPM, "install", *names))

    def listing(self) -> Command:
        """Print what is installed."""
        return Command(argv=(TOYPM, "list"))

    def parse_listing(self, output: str) -> tuple[Package, ...]:
        """Read lines of name and version."""
        rows = [line.split() for line in output.splitlines() if line]
        return tuple(Package(name=name, version=version) for name, version in rows)

    def moment(self) -> Command:
        """Print the date of the index."""
        return Command(argv=(TOYPM, "moment"))

    @property
    def index(self) -> str:
        """None: archives come from the package cache."""
        return ""

    def bound_to(self, packages: Sequence[Package]) -> ToyPackageManager:
        """The same with these versions."""
        return replace(self, bound=tuple(packages))

    def archive_name(self, package: Package) -> str:
        """NAME_VERSION.tar."""
        return f"{package.name}_{package.version}.tar"

    def provenance(self, packages: Sequence[Package]) -> Command:
        """What the index says of them."""
        return Command(argv=(TOYPM, "resolve", *(one.name for one in packages)))


class Toy(Flavour):
    """The operating-system flavour ``toy``."""

    api_version = 1
    summary = "a toy operating system for tests: busybox and a package manager of its own"
    provides = (OPERATING_SYSTEM,)
    packages_wanted = ("kernel",)
    programs = ("busybox",)

    @hookimpl
    def root(self, ctx: BuildContext) -> Iterable[Step]:
        """Lay down busybox, its links and a handful of files."""
        script = b'#!/bin/sh\nset -eu\ncp -a "$(dirname "$0")/busybox/." "$TARGET_ROOT"\n'
        data = Tree(tuple(_below(entry, "busybox") for entry in root_tree().entries))
        return (Step(id="10-busybox", action=Script(content=script, data=data), summary="busybox and its links"),)

    @hookimpl
    def cleanup(self, ctx: BuildContext) -> Iterable[Step]:
        """Remove what the package manager fetched."""
        script = b'#!/bin/sh\nrm -rf "$TARGET_ROOT"/var/lib/toypm/lists "$TARGET_ROOT"/var/cache/toypm/*\n'
        return (Step(id="90-toypm", action=Script(content=script), summary="package indexes and archives"),)

    @hookimpl
    def package_manager(self, ctx: BuildContext) -> PackageManager:
        """``toypm``, with the mirror of the request if it names one."""
        return ToyPackageManager(mirror=ctx.mirror)


def root_tree() -> Tree:
    """The first root tree, with the host's busybox, which must be a static one."""
    entries = [
        Entry(path="usr/bin/busybox", mode=0o755, source=Path(shutil.which("busybox") or "/bin/busybox").resolve()),
        *(Entry(path=path, kind="folder", mode=mode) for path, mode in FOLDERS.items()),
        *(Entry(path=path, content=content.encode()) for path, content in FILES.items()),
        *(Entry(path=path, kind="link", target=target) for path, target in LINKS.items()),
        *(Entry(path=f"usr/bin/{applet}", kind="link", target="busybox") for applet in APPLETS.split()),
    ]
    return Tree(tuple(sorted(entries, key=lambda entry: entry.path)))


def _below(entry: Entry, folder: str) -> Entry:
    return replace(entry, path=f"{folder}/{entry.path}")
