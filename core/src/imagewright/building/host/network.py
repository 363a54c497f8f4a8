"""Which network a build gets, and what of the host's loopback it was given: the ports of local mirrors and proxies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from imagewright.building.staging.environment import proxies
from imagewright.events import Monitor, Notice
from imagewright.planning import Prepared
from imagewright.planning.variables import as_text
from imagewright.request import Request
from imagewright.sandbox.link import Network
from imagewright.types import Call, Tree

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>|\\]+", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443, "ftp": 21, "socks5": 1080, "socks5h": 1080}


def network_of(request: Request, prepared: Prepared) -> Network | None:
    """The network that a build wants of its own; None if it is to have the host's."""
    if request.offline:
        return Network(connected=False)
    if request.network == "host":
        return None
    here = _names_of_loopback()
    ports = {port for host, port in _endpoints(_given(request, prepared)) if host in here or host.startswith("127.")}
    return Network(ports=tuple(sorted(ports)), must=request.network == "own")


def tell_of_network(shared: str, monitor: Monitor) -> None:
    """Say why a build has the host's network although the host seemed to be able to give it its own; else empty."""
    if shared:
        message = f"the build shares the host's network, its loopback too: {shared}"
        monitor.handle(Notice(message=message, level="warning"))


def _given(request: Request, prepared: Prepared) -> Iterator[str]:
    """Every text in which the user, the host's settings or an operating system in Python name an address."""
    yield from (request.mirror, request.image_mirror, request.cloud_images, request.base_image_file)
    yield from (repository.address for repository in request.repositories)
    # a proxy's address may come without its scheme
    yield from (text if "://" in text else f"http://{text}" for text in proxies(request.environment).values())
    for flavour in prepared.plan.flavours:
        values = prepared.parameters.get(flavour.name, {})
        # a value that a flavour itself presumes would let a stranger's flavour open what it likes
        yield from (as_text(values.get(one.name)) for one in flavour.parameters if values.get(one.name) != one.default)
    for step in prepared.plan.steps:
        if isinstance(step.step.action, Call):
            yield json.dumps(dict(step.step.action.arguments), default=str)
    manager = prepared.package_manager
    tree = manager.build_files(request.environment) if manager else Tree()
    yield from (entry.content.decode(errors="replace") for entry in tree.entries if entry.content)


def _endpoints(texts: Iterable[str]) -> Iterator[tuple[str, int]]:
    for text in texts:
        for found in _ADDRESS.findall(text):
            try:
                parts = urlsplit(found.rstrip("\\,;)]}"))
                port = parts.port or _PORTS.get(parts.scheme, 0)
            except ValueError:
                continue
            if parts.hostname and port:
                yield parts.hostname, port


def _names_of_loopback(file: Path = Path("/etc/hosts")) -> set[str]:
    """``localhost`` and what the host calls itself (hosts(5))."""
    found = {"localhost", "::1"}
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        words = line.partition("#")[0].split()
        if words and (words[0].startswith("127.") or words[0] == "::1"):
            found.update(word.lower() for word in words[1:])
    return found
