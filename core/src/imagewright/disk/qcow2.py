"""Writes a raw disk as qcow2 with zstd, on all processors, the same bytes for the same disk however many there are.

qemu-img compresses in order on one processor, or out of order (``-W``) and then differently each time. Here the
clusters are compressed side by side and laid down in the order of the disk. The format is that of QEMU's
``docs/interop/qcow2.txt``:

::

    header, a cluster of its own │ L1 table │ clusters of the disk, packed │ L2 tables │ reference counts
"""

from __future__ import annotations

import os
import struct
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import local

import zstandard

from imagewright.disk.copying import clear_errors, data_ranges

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
LEVEL = 3
"""What qemu-img takes too: the level after which zstd gets slow rather than small."""

_MAGIC = b"QFI\xfb"
_HEADER = 112  # bytes of a header of version 3 with the type of compression
_ZSTD_FEATURE, _ZSTD = 8, 1  # incompatible feature "compression type", and the type
_REFCOUNT_ORDER = 4  # 16 bits each
_COPIED, _COMPRESSED = 1 << 63, 1 << 62
_ENTRIES = CLUSTER // 8  # of an L2 table
_COUNTS = CLUSTER // 2  # of a block of reference counts
_SECTOR = 512
_LENGTH_SHIFT = 62 - (CLUSTER_BITS - 8)  # where a compressed cluster's number of sectors stands in its entry
_ZEROS = bytes(CLUSTER)
_AT_ONCE = 32  # clusters of one task
_AHEAD = 4  # tasks for each processor that may be waiting to be written


def write(source: Path, destination: Path, *, threads: int | None = None) -> None:
    """Write the raw disk ``source`` as qcow2 to ``destination``; holes and zeros take no room.

    ``threads`` is the number of processors to use, all that there are if it is None; it plays no part in the bytes.
    Raises HostError if the host's disk is full.
    """
    count = threads or len(os.sched_getaffinity(0))
    with clear_errors(destination), source.open("rb") as disk, destination.open("wb") as file:
        size = -(-os.fstat(disk.fileno()).st_size // _SECTOR) * _SECTOR
        _Writer(file.fileno(), size).write(_packed_clusters(disk.fileno(), count))


def _packed_clusters(disk: int, threads: int) -> Iterator[tuple[int, bytes]]:
    """(number, content) of every cluster that is not all zeros, in order; one that got smaller is compressed."""
    compressors = local()

    def packed(first: int, count: int) -> list[tuple[int, bytes]]:
        if not hasattr(compressors, "own"):
            # one for each thread, as it may not be shared
            compressors.own = zstandard.ZstdCompressor(level=LEVEL)
        data = os.pread(disk, count * CLUSTER, first * CLUSTER)
        data += bytes(-len(data) % CLUSTER)
        parts = ((number, data[number * CLUSTER : (number + 1) * CLUSTER]) for number in range(len(data) // CLUSTER))
        return [(first + number, _smaller(part, compressors.own.compress)) for number, part in parts if part != _ZEROS]

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[tuple[int, bytes]]]] = deque()
        try:
            for first, count in _tasks(disk):
                waiting.append(pool.submit(packed, first, count))
                if len(waiting) > threads * _AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _smaller(cluster: bytes, compress: Callable[[bytes], bytes]) -> bytes:
    tight = compress(cluster)
    return tight if len(tight) < CLUSTER else cluster


def _tasks(disk: int) -> Iterator[tuple[int, int]]:
    """(first cluster, number of clusters) of what holds data, each cluster once."""
    done = 0
    for start, end in data_ranges(disk):
        first, last = max(done, start >> CLUSTER_BITS), -(-end // CLUSTER)
        for at in range(first, last, _AT_ONCE):
            yield at, min(_AT_ONCE, last - at)
        done = max(done, last)


class _Writer:
    """Lays a qcow2 file down; a header is the last thing that it writes, so that no half of a file is an image."""

    def __init__(self, file: int, size: int) -> None:
        self._file = file
        self._size = size
        tables = -(-size // (CLUSTER * _ENTRIES))
        self._l1 = array("Q", bytes(8 * max(1, tables)))
        self._counts = array("H")
        self._at = CLUSTER + -(-len(self._l1) * 8 // CLUSTER) * CLUSTER  # behind the header and the L1 table
        self._refer(0, self._at)

    def write(self, clusters: Iterator[tuple[int, bytes]]) -> None:
        tables: dict[int, array[int]] = {}
        gathered = bytearray()
        begin = self._at
        for number, content in clusters:
            if len(content) == CLUSTER:
                gathered += bytes(-(begin + len(gathered)) % CLUSTER)
            at = begin + len(gathered)
            self._refer(at, len(content))
            table = tables.setdefault(number // _ENTRIES, array("Q", bytes(CLUSTER)))
            table[number % _ENTRIES] = _entry(at, len(content))
            gathered += content
            if len(gathered) >= 1 << 20:
                self._put(begin, gathered)
                begin += len(gathered)
                gathered.clear()
        self._put(begin, gathered)
        self._at = -(-(begin + len(gathered)) // CLUSTER) * CLUSTER
        for index, table in sorted(tables.items()):
            self._l1[index] = self._at | _COPIED
            self._refer(self._at, CLUSTER)
            self._append(_big(table))
        self._put(CLUSTER, _big(self._l1))
        table_at, table_clusters = self._reference_counts()
        os.ftruncate(self._file, self._at)
        self._put(0, self._header(table_at, table_clusters))

    def _reference_counts(self) -> tuple[int, int]:
        """Write the blocks of counts and the table that finds them, which are counted too."""
        blocks = table = 0
        while True:
            covered = len(self._counts) + blocks + table
            wanted = -(-covered // _COUNTS), -(-blocks * 8 // CLUSTER)
            if wanted == (blocks, table):
                break
            blocks, table = wanted
        first = self._at
        self._refer(first, (blocks + table) * CLUSTER)
        self._counts.extend([0] * (blocks * _COUNTS - len(self._counts)))
        self._append(_big(self._counts))
        table_at = self._at
        places = array("Q", [first + block * CLUSTER for block in range(blocks)])
        self._put(table_at, _big(places))
        self._at += table * CLUSTER
        return table_at, table

    def _header(self, table_at: int, table_clusters: int) -> bytes:
        head = struct.pack(">4sIQIIQIIQ", _MAGIC, 3, 0, 0, CLUSTER_BITS, self._size, 0, len(self._l1), CLUSTER)
        head += struct.pack(">QIIQ", table_at, table_clusters, 0, 0)
        head += struct.pack(">QQQII", _ZSTD_FEATURE, 0, 0, _REFCOUNT_ORDER, _HEADER)
        return head + struct.pack(">B7x", _ZSTD) + struct.pack(">II", 0, 0)  # no extension

    def _refer(self, at: int, length: int) -> None:
        """Count one reference to each cluster of the file that these bytes touch."""
        first, last = at >> CLUSTER_BITS, (at + length - 1) >> CLUSTER_BITS
        if last >= len(self._counts):
            self._counts.extend([0] * (last + 1 - len(self._counts)))
        for number in range(first, last + 1):
            self._counts[number] += 1

    def _append(self, content: bytes) -> None:
        self._put(self._at, content)
        self._at += len(content)

    def _put(self, at: int, content: bytes | bytearray) -> None:
        view = memoryview(content)
        while view:
            written = os.pwrite(self._file, view, at)
            view, at = view[written:], at + written


def _entry(at: int, length: int) -> int:
    """What an L2 table says of a cluster that lies at byte ``at`` of the file."""
    if length == CLUSTER:
        return at | _COPIED
    # whole sectors besides the first that it touches
    sectors = ((at + length - 1) // _SECTOR) - at // _SECTOR
    return _COMPRESSED | sectors << _LENGTH_SHIFT | at


def _big(numbers: array[int]) -> bytes:
    """The numbers as the format has them: the most significant byte first."""
    turned = array(numbers.typecode, numbers)
    turned.byteswap()
    return turned.tobytes()
