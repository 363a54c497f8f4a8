"""apt as a package manager of root trees."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources

from imagewright.api import Command, Entry, Package, Repository, Tree

from imagewright_debian import locked
from imagewright_debian.access import authorities, host_settings
from imagewright_debian.repositories import AUTH, auth_file, key_files, sources_of

ARCHIVES = "/var/cache/apt/archives"

DPKG = "/usr/sbin/imagewright-dpkg"
"""What apt calls in place of dpkg during the build, to have packages unpacked from their plain forms."""

INSTALL, LATER = "/usr/sbin/imagewright-install", "/usr/sbin/imagewright-later"
"""What runs a transaction, and what it has scripts of packages call in place of programs that can wait for its end."""

DEPMOD = "/usr/sbin/imagewright-depmod"
"""What makes the index of a kernel's modules at the end of a transaction."""

DPKG_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""The PATH that apt gives dpkg and thus the scripts of packages (``DPkg::Path``)."""

_LATER_PATH = f"/run/imagewright/later/bin:{DPKG_PATH}"

AUTHORITIES = "/etc/apt/imagewright-authorities.pem"
"""Where the apt of the tree finds the certificates that it trusts during the build."""

_ARCHIVE = re.compile(r"^'[^']*' ([^_ /]+)_([^_ /]+)_([^_ /]+)\.deb [0-9]+ (?:SHA256:)?(\w*)", re.MULTILINE)


FAST, SLOW = "fast", "plain"
"""The ways of unpacking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Apt:
    """apt and dpkg inside the tree; ``authority`` is one more certificate to trust during the build.

    ``repositories`` serve the build alone: their keys and logins are private files, their addresses build files.
    ``unpack`` ``fast`` has dpkg unpack packages from plain forms, ``plain`` from the archives themselves; both make
    the same tree. ``bound`` are the packages of a lock: their versions and no others are installed.
    """

    authority: str = ""
    repositories: tuple[Repository, ...] = ()
    unpack: str = FAST
    bound: tuple[Package, ...] = ()

    @property
    def name(self) -> str:
        """``apt``."""
        return "apt"

    def build_files(self, environment: Mapping[str, str]) -> Tree:
        """Start no services, lose no time on safety, reach the archive as the host's apt does.

        Only folders that every first tree has: one that came with these files would be missing in the image.
        """
        shipped = resources.files("imagewright_debian") / "build-files"
        settings = (shipped / "apt.conf").read_text()
        settings += "".join(f"{line}\n" for line in (host_settings(environment) if environment else ()))
        entries = [
            Entry(path="etc/dpkg/dpkg.cfg.d/00imagewright-build", content=(shipped / "dpkg.cfg").read_bytes()),
            Entry(path="usr/sbin/policy-rc.d", mode=0o755, content=(shipped / "policy-rc.d").read_bytes()),
        ]
        if self.plain_form:
            settings += f'Dir::Bin::dpkg "{DPKG}";\n'
            for path, name in ((DPKG, "dpkg"), (INSTALL, "install"), (LATER, "later"), (DEPMOD, "depmod")):
                entries.append(Entry(path=path.lstrip("/"), mode=0o755, content=(shipped / name).read_bytes()))
        if self.authority:
            settings += f'Acquire::https::CAInfo "{AUTHORITIES}";\n'
            entries.append(Entry(path=AUTHORITIES.lstrip("/"), content=authorities(self.authority).encode()))
        if auth_file(self.repositories):
            settings += f'Dir::Etc::netrc "{AUTH}";\n'
        if self.repositories:
            sources = sources_of(self.repositories).encode()
            entries.append(Entry(path="etc/apt/sources.list.d/00imagewright-build.sources", content=sources))
        if self.bound:
            entries.append(Entry(path=locked.PINNED, content=locked.preferences(self.bound).encode()))
            entries.append(Entry(path=locked.SOURCE, content=locked.SOURCE_LINE.encode()))
        entries.append(Entry(path="etc/apt/apt.conf.d/00imagewright-build", content=settings.encode()))
        return Tree(tuple(sorted(entries, key=lambda entry: entry.path)))

    def private_files(self) -> Tree:
        """Keys and logins of the repositories."""
        return key_files(self.repositories)

    def cache_folders(self) -> Mapping[str, str]:
        """None: archives come from the store."""
        return {}

    @property
    def archives(self) -> str:
        """apt's own folder of archives."""
        return ARCHIVES

    @property
    def plain_form(self) -> str:
        """What makes a .deb without compression, unless packages are to be unpacked from the archives."""
        return "imagewright_debian.plain:plain_form" if self.unpack == FAST else ""

    def archive_name(self, package: Package) -> str:
        """NAME_VERSION_ARCHITECTURE.deb, as apt names it."""
        return locked.archive_name(package)

    @property
    def index(self) -> str:
        """What makes a repository of the archives of a lock."""
        return "imagewright_debian.locked:index"

    def bound_to(self, packages: Sequence[Package]) -> Apt:
        """The same with these versions pinned above all others."""
        return replace(self, bound=tuple(packages))

    def provenance(self, packages: Sequence[Package]) -> Command:
        """Print what the indexes say of these packages; those that they do not have are left out."""
        script = (resources.files("imagewright_debian") / "build-files" / "provenance").read_text()
        return Command(argv=("sh", "-euc", script, "provenance", *(f"{one.name}={one.version}" for one in packages)))

    def fetch(self, names: Sequence[str]) -> Command:
        """Fetch without recommendations."""
        argv = ("apt-get", "-q", "-y", "--no-install-recommends", "--download-only", "install", "--", *names)
        return Command(argv=argv)

    def refresh(self) -> Command:
        """Bring the indexes up to date; an index that cannot be had is a failure, not a warning."""
        return Command(argv=("apt-get", "-q", "-y", "--error-on=any", "update"))

    def resolve(self, names: Sequence[str]) -> Command:
        """List what is to be fetched; with an empty cache, since what lies there already would not be listed."""
        options = ("--no-install-recommends", "-o", "Dir::Cache::archives=/tmp", "-o", "Acquire::ForceHash=SHA256")
        return Command(argv=("apt-get", "-q", "-y", *options, "--print-uris", "install", "--", *names))

    def parse_resolution(self, output: str) -> tuple[Package, ...]:
        """Read the lines ``'ADDRESS' NAME_VERSION_ARCHITECTURE.deb SIZE SHA256:DIGEST``."""
        return tuple(
            Package(name=name, version=version.replace("%3a", ":"), architecture=architecture, digest=digest)
            for name, version, architecture, digest in _ARCHIVE.findall(output)
        )

    def install(self, names: Sequence[str]) -> Command:
        """Install without recommendations; the initramfs is made once, at the end."""
        options = ("-o", "Dpkg::Use-Pty=0", "--no-install-recommends")
        argv = ("apt-get", "-q", "-y", *options, "install", "--", *names)
        if self.plain_form:
            argv = (
                INSTALL,
                "apt-get",
                "-q",
                "-y",
                "-o",
                f"DPkg::Path={_LATER_PATH}",
                *options,
                "install",
                "--",
                *names,
            )
        # read by the kernel hook of initramfs-tools
        return Command(argv=argv, environment={"INITRD": "No"})

    def listing(self) -> Command:
        """List what dpkg knows as installed."""
        form = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n"
        return Command(argv=("dpkg-query", "--show", f"--showformat={form}"))

    def parse_listing(self, output: str) -> tuple[Package, ...]:
        """Read what :meth:`listing` printed."""
        fields = [line.split("\t") for line in output.splitlines() if line.startswith("ii")]
        return tuple(Package(name=row[1], version=row[2], architecture=row[3]) for row in fields if len(row) == 4)

    def moment(self) -> Command:
        """Print the newest date of the indexes."""
        script = (resources.files("imagewright_debian") / "build-files" / "moment").read_text()
        return Command(argv=("sh", "-euc", script))
