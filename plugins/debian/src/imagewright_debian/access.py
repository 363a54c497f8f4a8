"""How apt reaches the archive while an image is built: what the host's apt is told, and what the caller adds.

Used by the first tree's making, where the host's apt runs, and by the apt of the tree.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from imagewright.api import BuildContext
from imagewright.errors import UsageError

from imagewright_debian.sources import host_mirrors

HOST_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")

_POLICY = re.compile(r"Acquire::(Check-Valid-Until|Check-Date|ForceIPv4|ForceIPv6) ")
_PROXY = re.compile(r"Acquire::(http|https)::Proxy(::\S+)? ")
_DETECTION = re.compile(r'Acquire::(http|https)::Proxy-?Auto-?Detect "(.+)";', re.IGNORECASE)
_ADDRESS = re.compile(r"https?://\S+")


def host_settings(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Lines of apt.conf(5): the proxies of the host's apt, and how strictly it takes dates.

    The caller's own proxy variables (``environment``) count more than the host's; apt finds those by itself.
    """
    return settings_of(_dump(), environment)


def settings_of(dump: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The same from the output of ``apt-config dump``."""
    found: list[str] = []
    for line in dump.splitlines():
        proxy = _PROXY.match(line)
        if _POLICY.match(line) or (proxy and not line.endswith(' "";') and not _named(proxy[1], environment)):
            found.append(line)
    for scheme, program in _DETECTION.findall(dump):
        if not _named(scheme, environment) and not any(f"Acquire::{scheme}::Proxy " in line for line in found):
            found += [f'Acquire::{scheme}::Proxy "{address}";' for address in _detected(program, scheme)]
    return tuple(found)


def certificate_of(ctx: BuildContext) -> str:
    """The certificate of ``--ca-certificate``; mapped root could not read the caller's file. Raises UsageError."""
    if ctx.ca_certificate is None:
        return ""
    try:
        return ctx.ca_certificate.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "ca-certificate-unreadable",
            f"the certificate {ctx.ca_certificate} cannot be read",
            cause=str(error),
            hint="name a file in PEM form with --ca-certificate",
            option="ca-certificate",
        ) from error


def authorities(certificate: str) -> str:
    """The certificates that apt trusts when one more authority is named: the host's and that one."""
    try:
        known = HOST_AUTHORITIES.read_text()
    except (OSError, UnicodeDecodeError):
        known = ""
    return f"{known}\n{certificate}\n"


def _named(scheme: str, environment: Mapping[str, str]) -> bool:
    return any(environment.get(name) for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY"))


def _dump() -> str:
    try:
        done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout


def _detected(program: str, scheme: str) -> tuple[str, ...]:
    """Ask the host's program for the proxy, as apt would (apt-transport-http(1)), for where the host gets Debian."""
    host = urlsplit(host_mirrors()[0]).netloc or "debian"
    try:
        done = subprocess.run(
            [program, f"{scheme}://{host}/debian"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = _ADDRESS.match(done.stdout.strip())
    return (found[0],) if found else ()
