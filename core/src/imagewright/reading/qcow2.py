"""Reads qcow2, versions 2 and 3: compressed clusters, backing files, extended L2 entries.

The format is in QEMU's ``docs/interop/qcow2.txt``. Snapshots, bitmaps and reference counts do not matter to a reader.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from imagewright.reading.blocks import Blocks, FileBlocks
from imagewright.reading.codecs import inflate, unzstd
from imagewright.reading.errors import Damaged, Unsupported

MAGIC = b"QFI\xfb"

_OFFSET = 0x00FF_FFFF_FFFF_FE00
_COMPRESSED = 1 << 62
_LARGEST_DISK = 2**56
_EXTERNAL_DATA, _COMPRESSION_TYPE, _EXTENDED_L2 = 4, 8, 16
_BACKING_FORMAT = 0xE2792ACA
_KEPT_TABLES, _KEPT_CLUSTERS = 64, 16


class Qcow2Blocks:
    """The disk inside a qcow2 file."""

    def __init__(self, file: FileBlocks, backing: Callable[[str, str], Blocks]) -> None:
        """Read the header. ``backing`` opens a backing file by its name and format ('' if the image does not say it).

        Raises Damaged and Unsupported.
        """
        self._file = file
        header = file.read_some(0, 112).ljust(112, b"\0")
        (magic, version, name_at, name_length, bits, size, crypt, l1_size, l1_at) = struct.unpack_from(
            ">4sIQIIQIIQ", header
        )
        if magic != MAGIC or version not in (2, 3):
            raise Unsupported(f"qcow2 version {version} is not read")
        if not 9 <= bits <= 21 or size > _LARGEST_DISK:
            raise Damaged("the header of the qcow2 image is damaged")
        if crypt:
            raise Unsupported("the qcow2 image is encrypted")
        features, header_length, compression = 0, 72, 0
        if version == 3:
            (features,) = struct.unpack_from(">Q", header, 72)
            (header_length,) = struct.unpack_from(">I", header, 100)
            if not 104 <= header_length <= 1 << bits:
                raise Damaged("the header of the qcow2 image is damaged")
            compression = header[104] if header_length > 104 else 0
        if features & _EXTERNAL_DATA:
            raise Unsupported("the qcow2 image keeps its data in another file")
        if features & ~0x1F:
            raise Unsupported(f"the qcow2 image uses features that are not known ({features:#x})")
        if compression > 1 or (compression and not features & _COMPRESSION_TYPE):
            raise Unsupported(f"the qcow2 image uses compression {compression}, which is not known")
        self.size = size
        self._version = version
        self._bits = bits
        self._cluster = 1 << bits
        self._extended = bool(features & _EXTENDED_L2)
        self._entry = 16 if self._extended else 8
        self._zstd = compression == 1
        self._l2_bits = bits - (4 if self._extended else 3)
        needed = -(-size // (1 << (bits + self._l2_bits)))
        if needed > l1_size or needed > 2**22:
            raise Damaged("the first table of the qcow2 image is too short for the disk")
        self._l1 = struct.unpack(f">{needed}Q", file.read(l1_at, needed * 8))
        self._tables: OrderedDict[int, tuple[int, ...]] = OrderedDict()
        self._clusters: OrderedDict[int, bytes] = OrderedDict()
        self._backing: Blocks | None = None
        if name_at:
            if name_length > 1023:
                raise Damaged("the name of the backing file is damaged")
            name = file.read(name_at, name_length).decode("utf-8", "surrogateescape")
            self._backing = backing(name, self._backing_format(header_length))

    def _backing_format(self, at: int) -> str:
        for _ in range(64):
            kind, length = struct.unpack(">II", self._file.read(at, 8))
            if kind == 0 or length > self._cluster:
                break
            if kind == _BACKING_FORMAT:
                return self._file.read(at + 8, length).decode("ascii", "replace")
            at += 8 + (length + 7) // 8 * 8
        return ""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes of the disk. Raises Damaged."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise Damaged(f"byte {offset + length} is wanted of a disk of {self.size} bytes")
        parts: list[bytes] = []
        run_at = run_length = 0
        step = self._cluster // 32 if self._extended else self._cluster
        while length:
            count = min(length, step - offset % step)
            place = self._place(offset)
            if isinstance(place, int):
                if run_length and run_at + run_length == place:
                    run_length += count
                else:
                    if run_length:
                        parts.append(self._data(run_at, run_length))
                    run_at, run_length = place, count
            else:
                if run_length:
                    parts.append(self._data(run_at, run_length))
                    run_length = 0
                parts.append(self._other(place, offset, count))
            offset += count
            length -= count
        if run_length:
            parts.append(self._data(run_at, run_length))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _place(self, offset: int) -> int | tuple[str, int]:
        """Where the byte is: an offset in the file, else ("compressed", entry), ("zero", 0) or ("backing", 0)."""
        index = offset >> self._bits
        table = self._l1[index >> self._l2_bits] & _OFFSET
        if not table:
            return ("backing", 0)
        entries = self._tables.get(table)
        if entries is None:
            entries = struct.unpack(f">{self._cluster // 8}Q", self._file.read(table, self._cluster))
            self._tables[table] = entries
            if len(self._tables) > _KEPT_TABLES:
                self._tables.popitem(last=False)
        within = index & ((1 << self._l2_bits) - 1)
        entry = entries[within * self._entry // 8]
        if entry & _COMPRESSED:
            return ("compressed", entry)
        host = entry & _OFFSET
        if self._extended:
            bitmap = entries[within * 2 + 1]
            sub = offset % self._cluster // (self._cluster // 32)
            if bitmap >> (32 + sub) & 1:
                return ("zero", 0)
            if not bitmap >> sub & 1:
                return ("backing", 0)
        elif self._version == 3 and entry & 1:
            return ("zero", 0)
        if not host:
            return ("backing", 0)
        return int(host + offset % self._cluster)

    def _data(self, at: int, length: int) -> bytes:
        data = self._file.read_some(at, length)
        if len(data) < length:
            # QEMU leaves the last cluster of a file short where it holds zeros; a file that ends earlier was cut.
            if at + length > -(-self._file.size // self._cluster) * self._cluster:
                raise Damaged(f"the qcow2 file ends at byte {self._file.size}, but its data at {at + length}")
            data = data.ljust(length, b"\0")
        return data

    def _other(self, place: tuple[str, int], offset: int, count: int) -> bytes:
        kind, entry = place
        if kind == "compressed":
            start = offset % self._cluster
            return self._decompressed(entry)[start : start + count]
        if kind == "backing" and self._backing is not None:
            there = max(0, min(count, self._backing.size - offset))
            return (self._backing.read(offset, there) if there else b"").ljust(count, b"\0")
        return bytes(count)

    def _decompressed(self, entry: int) -> bytes:
        cluster = self._clusters.get(entry)
        if cluster is not None:
            return cluster
        split = 62 - (self._bits - 8)
        at = entry & ((1 << split) - 1)
        sectors = (entry & (_COMPRESSED - 1)) >> split
        packed = self._file.read_some(at, (sectors + 1) * 512 - at % 512)
        cluster = unzstd(packed, self._cluster) if self._zstd else inflate(packed, self._cluster, window=-12)
        if len(cluster) != self._cluster:
            raise Damaged(f"a compressed cluster at byte {at} of the qcow2 file ends too early")
        self._clusters[entry] = cluster
        if len(self._clusters) > _KEPT_CLUSTERS:
            self._clusters.popitem(last=False)
        return cluster


def backing_path(image: Path, name: str) -> Path:
    """The path of a backing file as QEMU finds it: relative to the image that names it. Raises Unsupported."""
    if name.startswith("file:"):
        name = name.removeprefix("file:")
    elif ":" in name.split("/", 1)[0]:
        raise Unsupported(f"the backing file {name!r} is not a plain file")
    if not name or "\0" in name:
        raise Damaged("the name of the backing file is damaged")
    return image.parent / name
