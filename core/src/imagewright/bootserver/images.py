"""The images that the boot server offers over HTTP: the file as it is, and the disk in it as raw bytes under zstd.

A deployment by HTTP wants the raw disk. It is made in the background, once, since the digest has to be known before
the first byte is trusted.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import zstandard

from imagewright.bootserver.errors import DeploymentFailed
from imagewright.bootserver.initiator import Image, Initiator

SUFFIX = ".raw.zst"
DIGEST = ".sha256"
_LEVEL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A file that can be fetched: ``name`` is the last part of its address, ``digest`` its SHA-256 in hexadecimal."""

    name: str
    path: Path
    digest: str


class Images:
    """What is offered; complete once :meth:`prepare` has run, until when readers wait."""

    def __init__(self, image: Path | None, folder: Path) -> None:
        """``folder`` takes the compressed disk."""
        self._image = image
        self._folder = folder
        self._ready = threading.Event()
        self._offered: dict[str, Offered] = {}
        if image is None:
            self._ready.set()

    @property
    def names(self) -> tuple[str, ...]:
        """The names that will be there."""
        if self._image is None:
            return ()
        return tuple(dict.fromkeys((self._image.name, self._compressed_name())))

    def prepare(self, initiator: Initiator) -> Mapping[str, Offered]:
        """Make what has to be made. Raises DeploymentFailed or OSError; readers then find nothing."""
        try:
            if self._image is not None:
                self._add(self._image.name, self._image)
                if self._compressed_name() != self._image.name:
                    self._add(self._compressed_name(), self._compress(initiator.image(self._image), initiator))
        finally:
            self._ready.set()
        return dict(self._offered)

    def find(self, name: str, patience: float) -> Offered | None:
        """The file of that name; waits for it up to ``patience`` seconds while it is made."""
        if name not in self.names:
            return None
        self._ready.wait(patience)
        return self._offered.get(name)

    def _compressed_name(self) -> str:
        assert self._image is not None
        name = self._image.name
        if name.endswith((".zst", SUFFIX)):
            return name
        return name.removesuffix(".qcow2").removesuffix(".raw").removesuffix(".img") + SUFFIX

    def _add(self, name: str, path: Path) -> None:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        self._offered[name] = Offered(name=name, path=path, digest=digest)

    def _compress(self, image: Image, initiator: Initiator) -> Path:
        """Write the disk in an image to a file under zstd. Raises DeploymentFailed."""
        raw, into = image.path, self._folder / "disk.raw.zst"
        if image.format != "raw":
            raw = self._folder / "disk.raw"
            initiator.unpack(image, raw)
        compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, threads=-1).compressobj(
            size=image.size
        )
        try:
            with raw.open("rb") as stream, into.open("wb") as out:
                while piece := stream.read(2**20):
                    initiator.check_running()
                    out.write(compressor.compress(piece))
                out.write(compressor.flush())
        except zstandard.ZstdError as error:
            # It says so where fewer or more bytes came than were announced.
            raise DeploymentFailed("image-changed", f"{image.path} changed while it was read") from error
        if raw != image.path:
            raw.unlink()
        return into
