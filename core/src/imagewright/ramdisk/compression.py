"""Compression that the kernel can undo at its start (CONFIG_RD_*), the same bytes for the same content.

All processors are used where that changes no byte: each method cuts the content into pieces of a fixed size.
"""

from __future__ import annotations

import lzma
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

METHODS = ("zstd", "gzip", "lz4", "xz", "none")

Write = Callable[[bytes], object]

_ZSTD_LEVEL = 3
_ZSTD_JOB = 2 << 20
"""Bytes that one processor takes at a time: a quarter of zstd's own, so that none waits for the first or the last."""

_GZIP_PIECE = 1 << 20
_LZ4_PIECE = 8 << 20
"""Bytes of a block of the legacy frame, the only one that the kernel reads (lz4_Frame_format.md)."""

_LZ4_MAGIC = 0x184C2102
_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""RFC 1952: deflate, no name, no time, of an unknown system."""


@contextmanager
def compressing(method: str, write: Write) -> Iterator[Write]:
    """Give a function that takes the content in pieces; what it makes of them goes to ``write``.

    Raises ValueError for a method that is none of METHODS.
    """
    if method == "none":
        yield write
    elif method == "zstd":
        yield from _zstd(write)
    elif method == "xz":
        # the kernel knows no other check
        yield from _plainly(lzma.LZMACompressor(lzma.FORMAT_XZ, lzma.CHECK_CRC32, preset=6), write)
    elif method == "gzip":
        yield from _gzip(write)
    elif method == "lz4":
        yield from _lz4(write)
    else:
        raise ValueError(f"{method!r} is no compression")


def _zstd(write: Write) -> Iterator[Write]:
    import zstandard

    # one worker or many: the jobs are cut by size, so the bytes are the same; without workers they are others
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _ZSTD_LEVEL, threads=max(1, os.cpu_count() or 1), job_size=_ZSTD_JOB
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    yield lambda data: write(compressor.compress(data))
    write(compressor.flush())


def _plainly(compressor: lzma.LZMACompressor, write: Write) -> Iterator[Write]:
    yield lambda data: write(compressor.compress(data))
    write(compressor.flush())


def _gzip(write: Write) -> Iterator[Write]:
    total = checksum = 0
    write(_GZIP_HEAD)
    with _Pieces(_GZIP_PIECE, _deflated, write) as pieces:

        def take(data: bytes) -> None:
            nonlocal total, checksum
            total += len(data)
            checksum = zlib.crc32(data, checksum)
            pieces.take(data)

        yield take
    write(zlib.compressobj(6, zlib.DEFLATED, -15).flush())
    write(struct.pack("<II", checksum, total & 0xFFFFFFFF))


def _deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)


def _lz4(write: Write) -> Iterator[Write]:
    write(struct.pack("<I", _LZ4_MAGIC))
    with _Pieces(_LZ4_PIECE, _lz4_block, write) as pieces:
        yield pieces.take


def _lz4_block(data: bytes) -> bytes:
    import lz4.block  # type: ignore[import-untyped]

    block: bytes = lz4.block.compress(data, store_size=False)
    return struct.pack("<I", len(block)) + block


class _Pieces:
    """Cuts what it takes into pieces of one size, works on them in threads, and writes the results in order."""

    def __init__(self, size: int, work: Callable[[bytes], bytes], write: Write) -> None:
        self._size = size
        self._work = work
        self._write = write
        self._held = bytearray()
        self._threads = max(1, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self._threads)
        self._waiting: deque[Future[bytes]] = deque()

    def __enter__(self) -> _Pieces:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._pool:
            if error is None:
                if self._held:
                    self._send(bytes(self._held))
                self._drain(0)

    def take(self, data: bytes) -> None:
        """Take more content."""
        self._held += data
        while len(self._held) >= self._size:
            self._send(bytes(self._held[: self._size]))
            del self._held[: self._size]

    def _send(self, piece: bytes) -> None:
        self._waiting.append(self._pool.submit(self._work, piece))
        self._drain(2 * self._threads)

    def _drain(self, left: int) -> None:
        while len(self._waiting) > left:
            self._write(self._waiting.popleft().result())
