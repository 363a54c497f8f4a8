"""Members of a tar archive, compressed or not, read once from front to back."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import zstandard
from imagewright.reading.errors import Damaged

from imagewright_cloud_images.members import Kind, Member

MAGICS = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"))

CHUNK = 2**20

_DAMAGE = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, zstandard.ZstdError, gzip.BadGzipFile, ValueError)


def compression(head: bytes) -> str:
    """How a file with that beginning is compressed; empty if it is not."""
    return next((name for magic, name in MAGICS if head.startswith(magic)), "")


def decompressed(file: IO[bytes], how: str) -> IO[bytes]:
    """What is in a compressed file, as a stream."""
    match how:
        case "gzip":
            return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
        case "xz":
            return cast("IO[bytes]", lzma.LZMAFile(file))
        case "zstd":
            reader = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file, read_across_frames=True)
            return cast("IO[bytes]", reader)
        case "bzip2":
            return cast("IO[bytes]", bz2.BZ2File(file))
    return file


def is_tar(head: bytes) -> bool:
    """Whether a file with that beginning (512 bytes) is an archive: the check sum of its first header is right."""
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


class _Begun:
    """A stream of which the beginning has been read already."""

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head = head
        self._stream = stream

    def read(self, count: int) -> bytes:
        """The next bytes, at most ``count``."""
        if self._head:
            data, self._head = self._head[:count], self._head[count:]
            return data
        return self._stream.read(count)


def opened(file: IO[bytes], how: str) -> IO[bytes]:
    """The archive in a compressed file. Raises Damaged if there is something else in it."""
    stream = decompressed(file, how)
    head = b""
    with _damage():
        while len(head) < tarfile.BLOCKSIZE and (part := stream.read(tarfile.BLOCKSIZE - len(head))):
            head += part
    if not is_tar(head):
        raise Damaged(f"what {how} has compressed in it is no tar archive; unpack it first")
    return cast("IO[bytes]", _Begun(head, stream))


def members(stream: IO[bytes]) -> Iterator[Member]:
    """The archive's members; the content of one is gone when the next is asked for. Raises Damaged."""
    with _damage(), tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK) as archive:
        for info in archive:
            yield _member(archive, info)
        # a compressed stream may be cut off behind the archive's end, and its check sum comes last
        while stream.read(CHUNK):
            pass


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise Damaged(f"the archive is damaged ({error})") from error


def _member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    kind: Kind = "socket"
    for candidate, holds in (
        ("file", info.isreg()),
        ("folder", info.isdir()),
        ("link", info.issym()),
        ("same", info.islnk()),
        ("fifo", info.isfifo()),
        ("device", info.isdev()),
    ):
        if holds:
            kind = cast("Kind", candidate)
            break
    return Member(
        path=clean(info.name),
        kind=kind,
        mode=info.mode & 0o7777,
        uid=info.uid,
        gid=info.gid,
        time=_nanoseconds(info),
        size=info.size if kind == "file" else 0,
        target=clean(info.linkname) if kind == "same" else info.linkname,
        attributes=_attributes(info.pax_headers),
        content=(lambda: _content(archive, info)) if kind == "file" else None,
    )


def clean(name: str) -> str:
    """A member's name as a path relative to the root. Raises Damaged for one that leads upwards."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Damaged(f"a name in it leads out of the tree: {name!r}")
    return "/".join(parts)


def _nanoseconds(info: tarfile.TarInfo) -> int:
    text = info.pax_headers.get("mtime", "")
    whole, _, fraction = text.partition(".")
    if whole.lstrip("-").isdigit() and fraction.isdigit():
        part = int(f"{fraction:0<9}"[:9])
        return int(whole) * 10**9 + (-part if whole.startswith("-") else part)
    return int(info.mtime * 10**9)


def _attributes(headers: Any) -> dict[str, bytes]:
    """As GNU tar and star write them, and as libarchive does."""
    found = {}
    for name, value in headers.items():
        if name.startswith("SCHILY.xattr."):
            found[name.removeprefix("SCHILY.xattr.")] = value.encode("utf-8", "surrogateescape")
        elif name.startswith("LIBARCHIVE.xattr."):
            key = name.removeprefix("LIBARCHIVE.xattr.")
            found.setdefault(key, base64.b64decode(value + "=" * (-len(value) % 4)))
        elif name in ("SCHILY.acl.access", "SCHILY.acl.default") and value:
            found[name] = value.encode("utf-8", "surrogateescape")
    return found


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    stream = archive.extractfile(info)
    left = info.size
    while left > 0:
        with _damage():
            data = stream.read(min(left, CHUNK)) if stream else b""
        if not data:
            raise Damaged("the archive ends in the middle of a file")
        left -= len(data)
        yield data
