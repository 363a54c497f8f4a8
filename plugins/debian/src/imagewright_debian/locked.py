"""The versions of a lock file, as apt takes them: preferences that pin, and a repository of the archives that are here.

The repository is trusted without a signature: an archive lies in it only under the digest that the lock names.
"""

from __future__ import annotations

import hashlib
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from imagewright.api import LOCKED, Package

PREFERENCES = "preferences"
"""The file of :func:`index` that pins, for where no build file does it."""

PINNED = "etc/apt/preferences.d/00imagewright-lock"
SOURCE = "etc/apt/sources.list.d/00imagewright-lock.list"
SOURCE_LINE = f"deb [trusted=yes] copy:{LOCKED} ./\n"

_ABOVE_ALL = 1001  # apt_preferences(5): even what is newer and installed gives way
_DATE = "Sat, 01 Jan 2000 00:00:00 UTC"


def preferences(packages: Sequence[Package]) -> str:
    """A file of apt_preferences(5): these versions and no others."""
    lines = {f"Package: {one.name}\nPin: version {one.version}\nPin-Priority: {_ABOVE_ALL}\n" for one in packages}
    return "\n".join(sorted(lines))


def index(folder: Path, packages: Sequence[Package]) -> None:
    """Make a repository of the archives in ``folder``, named as apt names them. Raises OSError, CalledProcessError."""
    paragraphs = []
    for one in packages:
        archive = folder / archive_name(one)
        control = subprocess.run(
            ["dpkg-deb", "--field", str(archive)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        ).stdout
        size = archive.stat().st_size
        paragraphs.append(f"{control.rstrip()}\nFilename: ./{archive.name}\nSize: {size}\nSHA256: {one.digest}\n")
    content = "\n".join(paragraphs).encode()
    (folder / "Packages").write_bytes(content)
    # apt then asks for this form of the list and no other
    digest = hashlib.sha256(content).hexdigest()
    (folder / "Release").write_text(f"Date: {_DATE}\nSHA256:\n {digest} {len(content)} Packages\n")
    (folder / PREFERENCES).write_text(preferences(packages))


def archive_name(package: Package) -> str:
    """NAME_VERSION_ARCHITECTURE.deb, as apt names it."""
    return f"{package.name}_{package.version.replace(':', '%3a')}_{package.architecture}.deb"


def first_tree(locked: Path | None, sources: str) -> tuple[list[str], list[str]]:
    """Options for mmdebstrap, and the source to add to its own, so that it takes the locked versions."""
    if locked is None:
        return [], []
    place = shlex.quote(f"{locked}/{PREFERENCES}")
    hook = f'mkdir -p "$1"/etc/apt/preferences.d && cp {place} "$1"/{PINNED}'
    # a source that is named takes the place of mmdebstrap's default
    return [f"--setup-hook={hook}"], [f"deb [trusted=yes] copy:{locked} ./"] if sources else []
