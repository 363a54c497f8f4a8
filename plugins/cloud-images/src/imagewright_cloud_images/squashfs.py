"""Unpacks squashfs with unsquashfs, which keeps owners, modes, attributes and hard links."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from imagewright.reading.errors import Damaged

MAGIC = b"hsqs"

_DEVICE = re.compile(r"^[bc][rwxsStT-]{9} +\S+ +\d+, *\d+ +\S+ +\S+ squashfs-root/(.+)$", re.MULTILINE)


def unpack(image: Path, target: Path) -> tuple[str, ...]:
    """Unpack into ``target``; the paths of the device nodes, which are left out.

    Runs as mapped root. Raises Damaged if unsquashfs ends badly.
    """
    devices = tuple(_DEVICE.findall(_run("-lln", str(image))))
    # an exclusion is a path like any other, since wildcards are off
    excluded = ("-excludes", "-no-wildcards") if devices else ()
    print(_run("-force", "-no-progress", "-dest", str(target), *excluded, str(image), *devices), end="", flush=True)
    return devices


def _run(*arguments: str) -> str:
    done = subprocess.run(
        ["unsquashfs", *arguments],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).rsplit("\n", 1)[-1]
        raise Damaged(f"unsquashfs ended with status {done.returncode}: {last}")
    return done.stdout
