"""What an archive says of itself, by which a first tree that was kept is still good or not."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from pathlib import Path

from imagewright.api import CallContext

from imagewright_debian.access import authorities, host_settings

_FETCH = "/usr/lib/apt/apt-helper"


def archive_state(ctx: CallContext, *, sources: str, authority: str, **_others: object) -> str:
    """The digests of the archive's signed indexes, one line for each line of ``sources`` (sources.list(5)).

    They change with every package of the suites. Where they cannot be had, or mmdebstrap takes its own default of an
    archive, the answer is a new one every time, so that the tree is made anew.
    """
    # what apt lays down for a while goes into the build's own work folder
    work = Path(ctx.environment["_LIB"]).parent
    found = []
    with tempfile.TemporaryDirectory(prefix="debian-", dir=work) as folder:
        options = ["APT::Sandbox::User=root", "Acquire::Retries=2"]
        options += [line.rstrip(";").replace(" ", "=", 1).replace('"', "") for line in host_settings(ctx.environment)]
        if authority:
            bundle = Path(folder, "authorities.pem")
            bundle.write_text(authorities(authority))
            options.append(f"Acquire::https::CAInfo={bundle}")
        for line in sources.splitlines():
            _deb, address, suite, *_components = line.split()
            digest = _digest(f"{address.rstrip('/')}/dists/{suite}", Path(folder, "index"), options)
            found.append(f"{suite} {digest or f'not known at {time.time()}'}")
    return "\n".join(found) if found else f"not known at {time.time()}"


def _digest(folder: str, place: Path, options: list[str]) -> str:
    """The SHA-256 hex digest of a suite's index; empty if there is none to be had."""
    settings = [word for option in options for word in ("-o", option)]
    for name in ("InRelease", "Release"):
        place.unlink(missing_ok=True)
        argv = [_FETCH, *settings, "download-file", f"{folder}/{name}", str(place)]
        try:
            done = subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        except OSError:
            return ""
        if done.returncode == 0 and place.is_file():
            return hashlib.sha256(place.read_bytes()).hexdigest()
    return ""
