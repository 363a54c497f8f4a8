"""Images that boots share: each built once for one state of the sources, by the command that users call."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

TOP = Path(__file__).parents[3]
FLAVOURS = TOP / "tests/boots/flavours"
NAME = "boots"
CHOSEN = ("debian", "vm", "first-boot-probe")

# What goes into an image, or decides what does. The boot room does not.
_SOURCES = ("core/src", "plugins", "flavour-packs", "tests/boots/flavours")
_NOT_IN_AN_IMAGE = ("core/src/imagewright/boot/", "core/src/imagewright/cli/", "core/src/imagewright/testing/")
_VARIABLES = ("RELEASE", "DIB_RELEASE")


def build() -> Path:
    """The shared image; built if the sources changed. Raises RuntimeError with the command's words if it fails."""
    given = os.environ.get("IMAGEWRIGHT_TEST_IMAGE")
    if given:
        return Path(given)
    made = kept(digest(), lambda folder: run_the_command(folder / f"{NAME}.qcow2", *CHOSEN))
    return made / f"{NAME}.qcow2"


def kept(digest: str, make: Callable[[Path], None]) -> Path:
    """The folder that ``make`` filled for this digest, in this run or an earlier one."""
    images = TOP / "build" / "test-images"
    images.mkdir(parents=True, exist_ok=True)
    folder = images / digest
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            partial = Path(f"{folder}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(folder)
            _forget_old(images, folder)
    return folder


def _forget_old(images: Path, newest: Path) -> None:
    # Another run may still boot an image of today's; yesterday's serve nobody.
    for folder in images.iterdir():
        if folder.is_dir() and folder != newest and folder.stat().st_mtime < time.time() - 24 * 3600:
            shutil.rmtree(folder, ignore_errors=True)


def digest(*words: str) -> str:
    """A digest of everything that decides what an image is, and of ``words``, which tell two images apart."""
    found = hashlib.sha256("".join(f"{word}\0" for word in words).encode())
    for path in _files():
        relative = path.relative_to(TOP).as_posix()
        executable = os.access(path, os.X_OK)
        found.update(f"{relative}\0{executable}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    for name, value in sorted(os.environ.items()):
        if name.startswith("IMAGEWRIGHT_") or name in _VARIABLES:
            found.update(f"{name}={value}\0".encode())
    return found.hexdigest()[:16]


def _files() -> Iterator[Path]:
    for source in _SOURCES:
        for path in sorted((TOP / source).rglob("*")):
            relative = path.relative_to(TOP).as_posix()
            if path.is_file() and "__pycache__" not in path.parts and not relative.startswith(_NOT_IN_AN_IMAGE):
                yield path


def run_the_command(image: Path, *words: str, program: Path | None = None, **environment: str) -> None:
    """Build an image; the boots' own flavours can be named. ``environment`` is added to the caller's.

    ``program`` is the command of another environment than the tests'. Raises RuntimeError with its words if it fails.
    """
    argv = (
        str(program or Path(sys.executable).parent / "disk-image-create"),
        "--progress", "plain", "--flavour-path", str(FLAVOURS), "-o", str(image), *words,
    )  # fmt: skip
    done = subprocess.run(
        argv, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=3600,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}\nended with {done.returncode}:\n{done.stderr[-6000:]}")
