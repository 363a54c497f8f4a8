"""Reads and writes a disk that a machine offers over iSCSI, from user space: qemu-img with its block driver for iSCSI.

The driver is in Debian's package ``qemu-block-extra``. Options: https://www.qemu.org/docs/master/system/invocation.html,
"iSCSI".
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagewright import hosttools
from imagewright.bootserver.errors import DeploymentFailed
from imagewright.bootserver.gpt import HEAD, TAIL
from imagewright.bootserver.placing import Ends, Piece, Range
from imagewright.bootserver.protocol import LUN, Endpoint
from imagewright.errors import HostError

_TIMEOUT = 60
"""Seconds in which a machine has to answer an iSCSI command; without a limit a machine that died is waited for."""

_QUICK = 180.0
"""Seconds for a look or a small write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chap:
    """A login: ``secret`` is a file that holds the password, without a newline at its end."""

    user: str
    secret: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A machine's disk: the target ``iqn`` at ``portal``."""

    portal: Endpoint
    iqn: str
    chap: Chap | None = None

    def options(self, window: Range | None = None) -> str:
        """A value of ``--image-opts``, for the whole disk or a part of it."""
        return _options(window, _prefixed(self._driver(), "file."), "raw")

    def _driver(self) -> dict[str, str]:
        values = {
            "driver": "iscsi",
            "transport": "tcp",
            "portal": str(self.portal),
            "target": self.iqn,
            "lun": str(LUN),
            "timeout": str(_TIMEOUT),
            "initiator-name": "iqn.2012-11.org.imagewright:boot-server",
        }
        if self.chap is not None:
            values |= {"user": self.chap.user, "password-secret": "chap"}
        return values

    def objects(self) -> tuple[str, ...]:
        """Options that come before the others: the password, by its file, never on a command line."""
        if self.chap is None:
            return ()
        return ("--object", f"secret,id=chap,file={_quoted(str(self.chap.secret))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image file as qemu-img sees it; ``size`` of the disk in it, in bytes."""

    path: Path
    format: str
    size: int

    def options(self, window: Range | None = None) -> str:
        """A value of ``--image-opts``."""
        name = str(self.path.resolve())
        if self.format == "raw":
            return _options(window, {"file.driver": "file", "file.filename": name}, "raw")
        inner = {"driver": self.format, "file.driver": "file", "file.filename": name}
        return _options(window, _prefixed(inner, "file."), "raw")


class Initiator:
    """Runs qemu-img, one at a time, until :meth:`stop` is called from another thread."""

    def __init__(self, folder: Path) -> None:
        """``folder`` takes small files for a moment. Raises HostError if qemu-img is missing."""
        self._folder = folder
        self._program = _find("qemu-img")
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def stop(self) -> None:
        """End what runs; every later call raises DeploymentFailed."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.terminate()

    def check_running(self) -> None:
        """Raise DeploymentFailed once :meth:`stop` was called."""
        if self._stopped:
            raise DeploymentFailed("stopped", "the boot server is stopping")

    def unpack(self, image: Image, into: Path) -> None:
        """Write the disk in an image to a raw file with holes. Raises DeploymentFailed."""
        self._run("convert", "-O", "raw", "-W", "--image-opts", image.options(), str(into), what="unpack the image")

    def image(self, path: Path) -> Image:
        """Look at an image file. Raises DeploymentFailed if qemu-img cannot read it."""
        told = self._json("info", "--output=json", str(path.resolve()), what=f"look at {path}")
        return Image(path=path, format=str(told["format"]), size=int(told["virtual-size"]))

    def size(self, target: Target) -> int:
        """The size of a machine's disk in bytes. Raises DeploymentFailed if the login fails."""
        options = ("--image-opts", target.options())
        told = self._json("info", *target.objects(), "--output=json", *options, what=f"log in to {target.portal}")
        return int(told["virtual-size"])

    def ends(self, source: Image | Target, size: int) -> Ends:
        """The first and the last bytes of an image or of a machine's disk. Raises DeploymentFailed."""
        at = size // 512 * 512
        head, tail = Range(offset=0, end=min(HEAD, at)), Range(offset=max(0, at - TAIL), end=at)
        return Ends(size=size, head=self.read(source, head), tail=self.read(source, tail))

    def read(self, source: Image | Target, window: Range) -> bytes:
        """Bytes of an image or of a machine's disk; ``window`` in whole sectors. Raises DeploymentFailed."""
        if not window.length:
            return b""
        with tempfile.TemporaryDirectory(dir=self._folder) as place:
            into = Path(place) / "read"
            objects = source.objects() if isinstance(source, Target) else ()
            self._run(
                "convert", *objects, "--image-opts", "-O", "raw", source.options(window), str(into),
                what="read the disk", timeout=_QUICK,
            )  # fmt: skip
            return into.read_bytes()

    def write(self, target: Target, piece: Piece) -> None:
        """Write a few bytes, whole sectors, to a machine's disk. Raises DeploymentFailed."""
        with tempfile.TemporaryDirectory(dir=self._folder) as place:
            source = Path(place) / "write"
            source.write_bytes(piece.data)
            image = Image(path=source, format="raw", size=len(piece.data))
            window = Range(offset=piece.offset, end=piece.offset + len(piece.data))
            # -S 0: a piece of zeros is there to be written.
            self._convert(target, image.options(), window, ("-S", "0"), timeout=_QUICK)

    def copy(self, target: Target, image: Image, part: Range, *, blank: bool = False) -> None:
        """Copy a part of an image to the same place of a machine's disk; holes too, unless the disk is ``blank``.

        Raises DeploymentFailed.
        """
        more = ("--target-is-zero",) if blank else ()
        self._convert(target, image.options(part), part, ("-m", "8", "-W", *more), timeout=None)

    def _convert(
        self, target: Target, source: str, window: Range, options: Sequence[str], *, timeout: float | None
    ) -> None:
        self._run(
            "convert", *target.objects(), "-n", *options, "--image-opts", "--target-image-opts",
            source, target.options(window), what="write the disk", timeout=timeout,
        )  # fmt: skip

    def _json(self, *words: str, what: str) -> Any:
        return json.loads(self._run(*words, what=what, timeout=_QUICK))

    def _run(self, *words: str, what: str, timeout: float | None = None) -> str:
        with self._lock:
            self.check_running()
            process = subprocess.Popen(
                (self._program, *words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            )
            self._process = process
        try:
            out, complaint = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise DeploymentFailed("no-answer", f"the boot server could not {what} within {timeout:.0f} s") from None
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            with self._lock:
                self._process = None
        if process.returncode != 0:
            raise DeploymentFailed("cannot-write", f"the boot server could not {what}", cause=_why(complaint))
        return out


def _why(complaint: str) -> str:
    lines = [line.removeprefix("qemu-img: ") for line in complaint.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def check_host() -> None:
    """Raise HostError if this host cannot write over iSCSI."""
    program = _find("qemu-img")
    asked = ("info", "--image-opts", "driver=iscsi,transport=tcp,portal=,target=,lun=1")
    done = subprocess.run((program, *asked), capture_output=True, text=True, check=False, timeout=60)
    if "Unknown driver" in done.stderr:
        raise HostError(
            "missing-tool",
            "this host's qemu-img cannot speak iSCSI",
            cause=_why(done.stderr),
            hint=f"sudo apt-get install {hosttools.tool('qemu-block-extra').package}",
        )


def _find(program: str) -> str:
    path = hosttools.find(program)
    if path is None:
        raise HostError(
            "missing-tool",
            f"writing disks needs `{program}`, which is not installed",
            hint=f"sudo apt-get install {hosttools.tool(program).package}",
        )
    return str(path)


def _options(window: Range | None, inner: Mapping[str, str], driver: str) -> str:
    values = {"driver": driver}
    if window is not None:
        values |= {"offset": str(window.offset), "size": str(window.length)}
    return ",".join(f"{name}={_quoted(value)}" for name, value in {**values, **inner}.items())


def _prefixed(values: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {f"{prefix}{name}": value for name, value in values.items()}


def _quoted(value: str) -> str:
    """A value within an option of QEMU: commas are doubled."""
    return value.replace(",", ",,")
