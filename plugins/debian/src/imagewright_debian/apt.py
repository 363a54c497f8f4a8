"""apt as a package manager of root trees."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imagewright.api import Command, Entry, Package, Tree

QUIET = ("-q", "-y", "-o", "Dpkg::Use-Pty=0")

_MOMENT = r"""
for file in /var/lib/apt/lists/*Release; do
    [ -f "$file" ] || continue
    date --date "$(sed -n 's/^Date: //p' "$file" | head -n 1)" +%s
done | sort -n | tail -n 1
"""

_POLICY = b"""#!/bin/sh
# Nothing is started in a tree that is being built (invoke-rc.d(8)).
exit 101
"""

_DPKG = b"""# A tree that is being built is thrown away if the machine fails, so nothing is written twice to be safe.
force-unsafe-io
"""

_INSTALLED = re.compile(r"^Inst (\S+) (?:\[[^]]*\] )?\((\S+) .*?\[(\S+)\]\)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apt:
    """apt and dpkg inside the tree; ``access`` are lines of apt.conf(5) that serve the build."""

    access: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``apt``."""
        return "apt"

    def build_files(self, environment: Mapping[str, str]) -> Tree:
        """Start no services, lose no time on safety, use the proxies of the caller and of the host's apt."""
        lines = [
            'Acquire::Languages "none";',
            'Acquire::Retries "3";',
            'APT::Sandbox::User "root";',
            'Dpkg::Options { "--force-confdef"; "--force-confold"; };',
            'DPkg::Lock::Timeout "120";',
            *(f"{line};" for line in self.access),
            *(f'{name} "{value}";' for name, value in _proxies(environment).items()),
        ]
        return Tree(
            (
                Entry(path="etc/apt/apt.conf.d/00imagewright-build", content="".join(f"{x}\n" for x in lines).encode()),
                Entry(path="etc/dpkg/dpkg.cfg.d/00imagewright-build", content=_DPKG),
                Entry(path="usr/sbin/policy-rc.d", mode=0o755, content=_POLICY),
            )
        )

    def cache_folders(self) -> Mapping[str, str]:
        """Archives are shared by all builds of the caller."""
        return {"/var/cache/apt/archives": "apt"}

    def refresh(self) -> Command:
        """Bring the indexes up to date."""
        return Command(argv=("apt-get", "-q", "-y", "update"))

    def resolve(self, names: Sequence[str]) -> Command:
        """Simulate the transaction."""
        return Command(argv=("apt-get", *QUIET, "--no-install-recommends", "--simulate", "install", "--", *names))

    def parse_resolution(self, output: str) -> tuple[Package, ...]:
        """Read the lines ``Inst NAME (VERSION ARCHIVE [ARCH])``."""
        return tuple(
            Package(name=name, version=version, architecture=architecture)
            for name, version, architecture in _INSTALLED.findall(output)
        )

    def install(self, names: Sequence[str]) -> Command:
        """Install without recommendations; the initramfs is made once, at the end (INITRD, kernel-img.conf(5))."""
        argv = ("apt-get", *QUIET, "--no-install-recommends", "install", "--", *names)
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
        """The newest date of the indexes' Release files."""
        return Command(argv=("sh", "-c", _MOMENT))


def _proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """apt.conf lines for the proxies: the caller's variables reach apt by themselves; the host's apt has its own."""
    found = {}
    if not environment or not shutil.which("apt-config"):
        return found
    for kind in ("http", "https"):
        if environment.get(f"{kind}_proxy") or environment.get(f"{kind.upper()}_PROXY"):
            continue
        done = subprocess.run(
            ["apt-config", "shell", "PROXY", f"Acquire::{kind}::Proxy"], capture_output=True, text=True, check=False
        )
        match = re.match(r"PROXY='(.*)'", done.stdout)
        if match and match[1]:
            found[f"Acquire::{kind}::Proxy"] = match[1]
    return found
