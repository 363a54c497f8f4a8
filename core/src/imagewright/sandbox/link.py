"""A build's network of its own, which pasta(1) connects to the outside: the host's loopback and sockets are not in it.

Programs in the build reach what any machine beside the host would reach, and of the host's loopback only the ports that
the build was given, such as those of a local mirror or proxy.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, Self

from imagewright.sandbox import guard

PASTA = "pasta"
TUN = "/dev/net/tun"

_ADDRESS, _GATEWAY, _MASK = "198.51.100.2", "198.51.100.1", "30"
"""Of a range that no real network has (RFC 5737): the host's own address would lead back into the build's network."""

_PATIENCE = 20.0  # seconds for pasta to be ready, which takes it a few hundredths of one

DNS = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What a build wants of its network. ``ports`` are those of the host's loopback that it was given.

    ``must``: without a network of its own there is no build. Not ``connected``: it has nothing but its own loopback,
    which every host can give.
    """

    ports: tuple[int, ...] = ()
    must: bool = False
    connected: bool = True


class LinkFailed(Exception):
    """pasta does not connect the network; the text says why."""


def obstacle() -> str:
    """What keeps a build from having a network of its own here, as far as it shows without trying; else empty."""
    if shutil.which(PASTA) is None:
        return f"the host lacks {PASTA}"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"{TUN} is not there, or not for everybody as it is on most hosts"
    return ""


class Link:
    """A running pasta, which ends with whoever started it."""

    def __init__(self, process: subprocess.Popen[bytes], complaints: IO[bytes], leash: int) -> None:
        self._process = process
        self._complaints = complaints
        self._leash: int | None = leash

    @classmethod
    def start(cls, owner: int, network: Network, *, resolver: bool) -> Self:
        """Connect the network namespace of the process ``owner``; return once that is done.

        ``resolver``: the host's names are resolved at its loopback. Raises LinkFailed.
        """
        ports = sorted({*network.ports, *((DNS,) if resolver else ())})
        ready, tell = os.pipe()
        told, leash = os.pipe()
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the link
        try:
            process = subprocess.Popen(
                [
                    # what the kernel would send it at our end is lost when it changes its ids
                    *(sys.executable, "-I", "-S", guard.__file__, str(told)),
                    *(PASTA, "--foreground", "--quiet"),
                    *("--pid", f"/proc/self/fd/{tell}"),
                    # as root it would become nobody, who may not enter the namespaces of root's builds
                    *(("--runas", "0:0") if os.getuid() == 0 else ()),
                    *("--config-net", "--no-map-gw", "--ns-ifname", "net0"),
                    *("--address", _ADDRESS, "--netmask", _MASK, "--gateway", _GATEWAY),
                    *("--tcp-ports", "none", "--udp-ports", "none"),
                    *("--tcp-ns", ",".join(map(str, ports)) or "none", "--udp-ns", str(DNS) if resolver else "none"),
                    *("--userns", f"/proc/{owner}/ns/user", "--netns", f"/proc/{owner}/ns/net", "--no-netns-quit"),
                ],
                pass_fds=[tell, told],
                stdin=subprocess.DEVNULL,
                stdout=complaints,
                stderr=complaints,
                start_new_session=True,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            )
        except OSError as error:
            complaints.close()
            os.close(leash)
            raise LinkFailed(f"{error.filename or PASTA}: {error.strerror}") from error
        finally:
            os.close(tell)
            os.close(told)
        link = cls(process, complaints, leash)
        try:
            if not _says_something(ready):
                raise LinkFailed(link._complaint())
        except BaseException:
            link.close()
            raise
        finally:
            os.close(ready)
        return link

    def let_go(self) -> None:
        """Have it end, without waiting."""
        leash, self._leash = self._leash, None
        if leash is not None:
            os.close(leash)

    def close(self) -> None:
        """End it."""
        self.let_go()
        self._process.wait()
        self._complaints.close()

    def _complaint(self) -> str:
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip() and "syslog" not in line]
        return f"{PASTA}: {said[-1]}" if said else f"{PASTA} does not become ready"


def _says_something(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(_PATIENCE * 1000)) and bool(os.read(descriptor, 64))
