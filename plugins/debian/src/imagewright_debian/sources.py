"""Where Debian's packages come from: the options, the host's own apt, or what mmdebstrap itself names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOST = Path("/etc/apt")

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""Where the image finds the archive's keys."""

NONE = "none"
"""What a parameter says to do without."""

SUITES = re.compile(r"(stable|oldstable|bullseye|bookworm|trixie|forky|testing|sid|unstable)")
SECURITY_SUITES = re.compile(r"(stable|oldstable|bullseye|bookworm|trixie|forky|testing)-security")


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Addresses of Debian's archive and of its security updates (may be empty).

    Without an address of the archive mmdebstrap takes its own default, security updates included.
    """

    main: str
    security: str
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One line of sources.list(5), of one address and one suite."""

    address: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


def archive_of(*, mirror: str, security: str, components: tuple[str, ...], host: Path = HOST) -> Archive:
    """The archive to build from. ``security`` ``none`` does without security updates.

    Who names a mirror and has no other source of security updates gets none: a mirror rarely holds both.
    """
    host_main, host_security = host_mirrors(host)
    chosen = security or host_security
    return Archive(
        main=_bare(mirror or host_main),
        security="" if chosen == NONE else _bare(chosen),
        components=components,
    )


def image_archive_of(built_from: Archive, *, mirror: str, security: str) -> Archive:
    """The archive that the image's sources name; of a mirror ``…/debian`` also ``…/debian-security``.

    A login that an address of the build carries does not get into the image.
    """
    chosen = security or built_from.security
    has_security = built_from.security or not built_from.main  # mmdebstrap's default has them
    if mirror and not security and has_security and mirror.rstrip("/").endswith("/debian"):
        chosen = f"{mirror.rstrip('/')}-security"
    return Archive(
        main=_without_login(_bare(mirror or built_from.main)),
        security="" if chosen == NONE else _without_login(_bare(chosen)),
        components=built_from.components,
    )


def host_mirrors(folder: Path = HOST) -> tuple[str, str]:
    """Where the host's apt gets Debian and its security updates, from both forms of sources.list(5)."""
    main = security = ""
    for source in (*_deb822(folder), *_one_line(folder)):
        if not _is_debian(source):
            continue
        if SECURITY_SUITES.fullmatch(source.suite):
            security = security or source.address
        elif SUITES.fullmatch(source.suite):
            main = main or source.address
    return main, security


def one_line_sources(archive: Archive, release: str) -> tuple[str, ...]:
    """The archive as lines of sources.list(5), for mmdebstrap; none if it is to take its default."""
    return tuple(
        f"deb {address} {suite} {' '.join(archive.components)}" for address, suite in _entries(archive, release)
    )


def sources_file(archive: Archive, release: str) -> str:
    """The archive as a deb822 file of sources.list(5); empty if mmdebstrap's own list stays."""
    suites: dict[str, list[str]] = {}
    for address, suite in _entries(archive, release):
        suites.setdefault(address, []).append(suite)
    return "\n".join(
        f"Types: deb\nURIs: {address}\nSuites: {' '.join(names)}\n"
        f"Components: {' '.join(archive.components)}\nSigned-By: {KEYRING}\n"
        for address, names in suites.items()
    )


def _entries(archive: Archive, release: str) -> Iterator[tuple[str, str]]:
    if not archive.main:
        return
    yield archive.main, release
    yield archive.main, f"{release}-updates"
    if archive.security:
        yield archive.security, f"{release}-security"


def _is_debian(source: Source) -> bool:
    """Whether it is Debian's own archive: others have a suite "stable" with a component "main" too."""
    if not source.address.startswith(("http://", "https://")) or "@" in source.address:
        return False
    if "main" not in source.components:
        return False
    return "debian-archive" in source.signed_by or "debian" in source.address


def _bare(address: str) -> str:
    return address.rstrip("/")


def _without_login(address: str) -> str:
    return re.sub(r"^(https?://)[^/@]*@", r"\1", address)


def _deb822(folder: Path) -> Iterator[Source]:
    for file in sorted(folder.glob("sources.list.d/*.sources")):
        text = re.sub(r"^#.*\n?", "", _read(file), flags=re.MULTILINE)
        for paragraph in re.split(r"\n[ \t]*\n", text):
            fields = {
                name.lower(): value
                for name, value in re.findall(r"^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)$", paragraph, re.MULTILINE)
            }
            if fields.get("enabled", "yes").strip().lower() in ("no", "false", "0"):
                continue
            if "deb" not in fields.get("types", "").split():
                continue
            for address in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    yield Source(
                        address=address.rstrip("/"),
                        suite=suite,
                        components=tuple(fields.get("components", "").split()),
                        signed_by=fields.get("signed-by", ""),
                    )


def _one_line(folder: Path) -> Iterator[Source]:
    for file in (folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))):
        for line in _read(file).splitlines():
            match = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)([^#]*)", line)
            if match:
                yield Source(
                    address=match[2].rstrip("/"),
                    suite=match[3],
                    components=tuple(match[4].split()),
                    signed_by=match[1] or "",
                )


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
