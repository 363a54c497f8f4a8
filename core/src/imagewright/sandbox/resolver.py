"""Where the host's names are resolved, as a job sees it: resolv.conf(5) for its own network."""

from __future__ import annotations

import ipaddress
import os

_HOSTS = "/etc/resolv.conf"
_BEHIND_STUB = "/run/systemd/resolve/resolv.conf"
"""What systemd-resolved asks itself, where /etc/resolv.conf names only its own address of the host's loopback."""


def resolver_file(*, separated: bool) -> str:
    """The file, links resolved, that tells a job how names are resolved; ``separated``: without the host's loopback."""
    path = os.path.realpath(_HOSTS)
    if separated and _only_loopback(_read(path)) and (behind := _read(_BEHIND_STUB)) and not _only_loopback(behind):
        return _BEHIND_STUB
    return path


def resolver_text(*, separated: bool) -> bytes:
    """Its content; empty if there is none."""
    return _read(resolver_file(separated=separated))


def local_servers(text: bytes) -> bool:
    """Whether a name server among those of ``text`` is reached by the host's loopback alone."""
    return any(address.is_loopback for address in _servers(text))


def _only_loopback(text: bytes) -> bool:
    servers = _servers(text)
    return bool(servers) and all(address.is_loopback for address in servers)


def _servers(text: bytes) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    found = []
    for line in text.decode(errors="replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                found.append(ipaddress.ip_address(words[1].partition("%")[0]))
            except ValueError:
                continue
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""
