"""Making ramdisks in a test, and looking into them: what the kernel would unpack, read by code of its own."""

from __future__ import annotations

import lzma
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from imagewright.events import Event
from imagewright.request import RamdiskRequest
from imagewright.testing.built import RecordingMonitor
from imagewright.testing.kit import ImageKit, own_import_path

_OPTIONS = frozenset(RamdiskRequest.__slots__) - {"image"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A member of the archive: ``mode`` is that of stat(2), ``moment`` in seconds since 1970."""

    path: str
    mode: int
    uid: int
    gid: int
    moment: int
    content: bytes
    device: tuple[int, int]

    @property
    def target(self) -> str:
        """Where a link points; empty for anything else."""
        return self.content.decode() if stat.S_ISLNK(self.mode) else ""


@dataclass(frozen=True, kw_only=True)
class BuiltRamdisk:
    """A finished ramdisk: its files, its manifest, what was said, and what is in it."""

    path: Path
    kernel: Path
    manifest: Mapping[str, Any]
    log: str
    events: tuple[Event, ...] = field(default=(), repr=False)

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """Everything in the archive by path, without a leading slash."""
        return {node.path: node for node in unpacked(self.path.read_bytes())}

    def read(self, path: str) -> str:
        """The content of a text file. Raises KeyError."""
        return self.nodes[path.lstrip("/")].content.decode()


def make_ramdisk(kit: ImageKit, *flavours: str, output: str = "test.ramdisk", **options: Any) -> BuiltRamdisk:
    """Make a ramdisk with the kit's folders, from the toy operating system unless another one is named.

    Options are the fields of :class:`imagewright.request.RamdiskRequest` and those of
    :meth:`imagewright.testing.kit.ImageKit.request`. Raises ImagewrightError.
    """
    # late: a test that only plans does not pay for what builds
    from imagewright.building.ramdisks.build import build_ramdisk

    own = {name: options.pop(name) for name in tuple(options) if name in _OPTIONS}
    request = RamdiskRequest(image=kit.request(*flavours, output=output, types=(), **options), **own)
    log = kit.folder / f"{output}.log"
    monitor = RecordingMonitor(log)
    with own_import_path():
        result = build_ramdisk(request, monitor, log=log)
    return BuiltRamdisk(
        path=result.paths[0],
        kernel=result.paths[1],
        manifest=result.manifest,
        log=log.read_text(),
        events=tuple(monitor.events),
    )


def unpacked(data: bytes) -> Iterator[Node]:
    """The members of a ramdisk, of all its archives. Raises ValueError for what the kernel would not unpack."""
    there: dict[str, bool] = {}  # of each path whether files may lie below it
    for archive in archives(data):
        for node in _read(archive)[0]:
            above = node.path.rpartition("/")[0]
            if above and not there.get(above):
                raise ValueError(f"{node.path} comes before what it lies in")
            there[node.path] = stat.S_ISDIR(node.mode) or stat.S_ISLNK(node.mode)
            yield node


def archives(data: bytes) -> Iterator[bytes]:
    """The archives of a ramdisk, one after the other, decompressed. Raises ValueError as :func:`unpacked` does."""
    at = 0
    while True:
        archive, rest = _decompressed(data[at:])
        _members, end = _read(archive)
        yield archive[:end]
        if rest is None:
            rest = archive[end:]
        elif archive[end:].strip(b"\0"):
            raise ValueError("something follows the archive in its compressed form")
        left = rest.lstrip(b"\0")
        at = len(data) - len(left)
        if not left:
            return
        if left.startswith(b"070701") and at % 4:
            raise ValueError(f"an archive begins at byte {at}, where the kernel does not look for one")


def _read(archive: bytes) -> tuple[list[Node], int]:
    """The members of the archive that ``archive`` begins with, and where it ends."""
    found: list[Node] = []
    at = 0
    while True:
        head = archive[at : at + 110]
        if head[:6] != b"070701":
            raise ValueError(f"no header at byte {at}")
        fields = [int(head[6 + 8 * number : 14 + 8 * number], 16) for number in range(13)]
        _, mode, uid, gid, _, moment, size, _, _, major, minor, length, _ = fields
        path = archive[at + 110 : at + 110 + length - 1].decode()
        at += (110 + length + 3) & ~3
        if path == "TRAILER!!!":
            return found, at
        content = archive[at : at + size]
        found.append(
            Node(path=path, mode=mode, uid=uid, gid=gid, moment=moment, content=content, device=(major, minor))
        )
        at += (size + 3) & ~3


def decompressed(data: bytes) -> bytes:
    """The archive that a ramdisk begins with, whatever its compression; what is not known is taken for plain."""
    return _decompressed(data)[0]


def _decompressed(data: bytes) -> tuple[bytes, bytes | None]:
    """What ``data`` begins with, and what follows its compressed form; None if it has none."""
    if data[:4] == b"\x28\xb5\x2f\xfd":
        import zstandard

        unzstd = zstandard.ZstdDecompressor().decompressobj()
        return unzstd.decompress(data), unzstd.unused_data
    if data[:2] == b"\x1f\x8b":
        gunzip = zlib.decompressobj(wbits=31)
        return gunzip.decompress(data), gunzip.unused_data
    if data[:6] == b"\xfd7zXZ\0":
        unxz = lzma.LZMADecompressor()
        return unxz.decompress(data), unxz.unused_data
    if data[:4] == struct.pack("<I", 0x184C2102):
        return b"".join(_lz4_blocks(data)), b""
    return data, None


def _lz4_blocks(data: bytes) -> Iterator[bytes]:
    import lz4.block  # type: ignore[import-untyped]

    at = 4
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        yield lz4.block.decompress(data[at + 4 : at + 4 + size], uncompressed_size=8 << 20)
        at += 4 + size
