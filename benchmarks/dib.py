"""diskimage-builder in an environment of its own: installed from PyPI below the cache, and called for the same image.

It needs root and ``debootstrap``. Where the kernel has neither device-mapper nor a parser of partition tables, its
element ``vm`` cannot work; so it makes what it makes by default without one: a filesystem on the whole disk, without
partition table and without boot loader, which is less than ours does.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LAST = "bench-last"
"""An element with one script, the last of its phase."""


def installed(folder: Path) -> Path:
    """Install it into ``folder`` if it is not there; the folder of its commands. SystemExit without debootstrap."""
    if shutil.which("debootstrap") is None:
        raise SystemExit("diskimage-builder needs debootstrap: sudo apt-get install debootstrap")
    binaries = folder / "venv" / "bin"
    if not (binaries / "disk-image-create").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder / "venv"], check=True)
        subprocess.run([binaries / "pip", "install", "--quiet", "diskimage-builder"], check=True)
    element = folder / "elements" / LAST / "install.d" / "99-last"
    element.parent.mkdir(parents=True, exist_ok=True)
    element.write_text("#!/bin/bash\nset -eu\nset -o pipefail\necho last > /etc/last\n")
    element.chmod(0o755)
    return binaries


def version(binaries: Path) -> str:
    """Its version."""
    shown = subprocess.run([binaries / "pip", "show", "diskimage-builder"], check=True, capture_output=True, text=True)
    return next(line.split()[1] for line in shown.stdout.splitlines() if line.startswith("Version:"))


def command(output: Path, packages: Sequence[str]) -> list[str]:
    """What makes the image ``output`` (without suffix) with these packages, as zstd-compressed qcow2 like ours."""
    return [
        "disk-image-create",
        *("-t", "qcow2", "--qemu-img-options", "compression_type=zstd", "-n"),
        *("-o", str(output), "-p", ",".join(packages), "debian-minimal", LAST),
    ]


def environment(
    base: Mapping[str, str], *, binaries: Path, folder: Path, mirror: str, release: str, cache: Path
) -> dict[str, str]:
    """Its variables: the same mirror and release, its caches below ``cache``."""
    components = "main non-free-firmware"
    sources = [f"{name}:deb {mirror} {release}{suffix} {components}" for name, suffix in (("a", ""), ("b", "-updates"))]
    return {
        **base,
        "PATH": f"{binaries}:{base['PATH']}",
        "ELEMENTS_PATH": str(folder / "elements"),
        "DIB_RELEASE": release,
        "DIB_DISTRIBUTION_MIRROR": mirror,
        "DIB_DEBIAN_COMPONENTS": components.replace(" ", ","),
        "DIB_APT_SOURCES_CONF": "\n".join(sources),
        "DIB_PYTHON_VERSION": "3",
        "DIB_IMAGE_CACHE": str(cache),
        "DIB_DEBUG_TRACE": "0",
    }
