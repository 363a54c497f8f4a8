"""Where Debian's packages come from: the options, the host's own apt, or nothing (then mmdebstrap knows a place)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOST = Path("/etc/apt")

SUITES = re.compile(r"(stable|oldstable|testing|bullseye|bookworm|trixie)(-updates)?")
SECURITY_SUITES = re.compile(r"(stable|oldstable|bullseye|bookworm|trixie)-security")


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Addresses of Debian's archive and of its security updates; empty where nobody names one."""

    main: str
    security: str
    components: tuple[str, ...]


def archive_of(*, mirror: str, security: str, components: tuple[str, ...], host: Path = HOST) -> Archive:
    """The archive to build from. ``security`` ``none`` does without security updates."""
    host_main, host_security = host_mirrors(host)
    chosen = security or host_security
    return Archive(
        main=(mirror or host_main).rstrip("/"),
        security="" if chosen == "none" else chosen.rstrip("/"),
        components=components,
    )


def host_mirrors(folder: Path = HOST) -> tuple[str, str]:
    """Where the host's apt gets Debian and its security updates, from both forms of sources.list(5)."""
    main = security = ""
    for address, suite in (*_deb822(folder), *_one_line(folder)):
        if not address.startswith(("http://", "https://")):
            continue
        if SECURITY_SUITES.fullmatch(suite):
            security = security or address
        elif SUITES.fullmatch(suite):
            main = main or address
    return main, security


def one_line_sources(archive: Archive, release: str) -> tuple[str, ...]:
    """The archive as lines of sources.list(5), for mmdebstrap; none if it is to choose itself."""
    return tuple(
        f"deb {address} {suite} {' '.join(archive.components)}" for address, suite in _entries(archive, release)
    )


def sources_file(archive: Archive, release: str, keyring: str) -> str:
    """The archive as a deb822 file of sources.list(5)."""
    paragraphs = {}
    for address, suite in _entries(archive, release):
        paragraphs.setdefault(address, []).append(suite)
    return "\n".join(
        f"Types: deb\nURIs: {address}\nSuites: {' '.join(suites)}\n"
        f"Components: {' '.join(archive.components)}\nSigned-By: {keyring}\n"
        for address, suites in paragraphs.items()
    )


def _entries(archive: Archive, release: str) -> Iterator[tuple[str, str]]:
    if not archive.main:
        return
    yield archive.main, release
    yield archive.main, f"{release}-updates"
    if archive.security:
        yield archive.security, f"{release}-security"


def _deb822(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.glob("sources.list.d/*.sources")):
        for paragraph in re.split(r"\n\s*\n", _read(file)):
            fields = dict(
                re.findall(
                    r"^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)$", re.sub(r"^#.*\n?", "", paragraph, flags=re.MULTILINE), re.MULTILINE
                )
            )
            fields = {name.lower(): value for name, value in fields.items()}
            if fields.get("enabled", "yes").strip().lower() in ("no", "false", "0"):
                continue
            if "deb" not in fields.get("types", "").split():
                continue
            for address in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    yield address, suite


def _one_line(folder: Path) -> Iterator[tuple[str, str]]:
    for file in (folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))):
        for line in _read(file).splitlines():
            match = re.match(r"\s*deb\s+(?:\[[^]]*\]\s*)?(\S+)\s+(\S+)", line)
            if match:
                yield match[1], match[2]


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
