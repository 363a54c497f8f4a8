"""Reads FAT12, FAT16 and FAT32 with long names. The format is in Microsoft's "FAT General Overview of On-Disk Format".

Linux tells the three apart as ``fs/fat/inode.c`` does, and this does too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from imagewright.reading.blocks import Blocks
from imagewright.reading.errors import Damaged
from imagewright.reading.trees import LARGEST_FOLDER, Kind, Node, Piece, Tree, assembled

_ENTRY = 32
_LONG, _VOLUME, _FOLDER = 0x0F, 0x08, 0x10
_LOWER_NAME, _LOWER_SUFFIX = 0x08, 0x10
_WINDOW = 2**16
_ROOT = (0, 0, True)

Reference = tuple[int, int, bool]
"""First cluster, size in bytes, whether it is a folder; the top folder is :data:`_ROOT`."""


class VfatTree(Tree):
    """The files of a FAT filesystem. Names are those that were given, in their case."""

    type = "vfat"

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self._blocks = blocks
        sector = blocks.read(0, 512)
        size, per_cluster, reserved, tables, root_entries, total16 = struct.unpack_from("<HBHBHH", sector, 11)
        (table16,) = struct.unpack_from("<H", sector, 22)
        total32, table32 = struct.unpack_from("<II", sector, 32)
        if (
            size not in (512, 1024, 2048, 4096)
            or not per_cluster
            or per_cluster & (per_cluster - 1)
            or not reserved
            or not tables
            or sector[510:] != b"\x55\xaa"
        ):
            raise Damaged("the boot sector of the FAT filesystem is damaged")
        self._cluster = size * per_cluster
        self._table = reserved * size
        self._table_size = (table16 or table32) * size
        self._root_at = self._table + tables * self._table_size
        self._root_size = root_entries * _ENTRY
        self._data = self._root_at + -(-self._root_size // size) * size
        self.capacity = min((total16 or total32) * size, blocks.size)
        self._clusters = (self.capacity - self._data) // self._cluster
        if not table16:
            self._bits, (self._root_cluster,) = 32, struct.unpack_from("<I", sector, 44)
        else:
            self._bits, self._root_cluster = 12 if self._clusters < 0xFF5 else 16, 0
        if self._clusters < 1 or self._table_size * 8 // self._bits < self._clusters + 2:
            raise Damaged("the boot sector of the FAT filesystem is damaged")
        at = 39 if table16 else 67
        serial = f"{struct.unpack_from('<I', sector, at)[0]:08x}"
        self.uuid = f"{serial[:4]}-{serial[4:]}"
        self.label = sector[at + 4 : at + 15].decode("ascii", "replace").rstrip()
        self._windows: dict[int, bytes] = {}

    def root(self) -> Reference:
        """The top folder."""
        return _ROOT

    def node(self, reference: Reference) -> Node:
        """What an entry of a folder, or the top folder, stands for."""
        _, size, folder = reference
        return Node(kind=Kind.FOLDER if folder else Kind.FILE, size=size, reference=reference)

    def target(self, node: Node) -> str:
        """There are no links."""
        raise Damaged("a FAT filesystem has no links")

    def content(self, node: Node) -> Iterator[bytes]:
        """The bytes of a file. Raises Damaged if its chain of clusters is too short or has a loop."""
        first, size, _ = node.reference
        return assembled(self._blocks, self._pieces(first, -(-size // self._cluster)), size)

    def entries(self, node: Node) -> dict[str, Reference]:
        """The names in a folder."""
        found: dict[str, Reference] = {}
        long: dict[int, bytes] = {}
        raw = self._folder(node.reference)
        for at in range(0, len(raw) - _ENTRY + 1, _ENTRY):
            entry = raw[at : at + _ENTRY]
            if entry[0] == 0:
                break
            if entry[0] == 0xE5:
                long = {}
            elif entry[11] == _LONG:
                if entry[0] & 0x40:
                    long = {}
                long[entry[0] & 0x1F] = entry[1:11] + entry[14:26] + entry[28:32]
            else:
                name = _long_name(long) or _short_name(entry)
                long = {}
                if not entry[11] & _VOLUME and name not in (".", ".."):
                    found[name] = self._reference(entry)
        return found

    def _reference(self, entry: bytes) -> Reference:
        high, _, _, low, size = struct.unpack_from("<HHHHI", entry, 20)
        first = low | (high << 16 if self._bits == 32 else 0)
        folder = bool(entry[11] & _FOLDER)
        return first, 0 if folder else size, folder

    def _folder(self, reference: Reference) -> bytes:
        if reference == _ROOT and self._bits != 32:
            return self._blocks.read(self._root_at, self._root_size)
        first = self._root_cluster if reference == _ROOT else reference[0]
        data = bytearray()
        for _, length, place in self._pieces(first, LARGEST_FOLDER // self._cluster, whole=True):
            assert place is not None
            data += self._blocks.read(place, length)
        return bytes(data)

    def _pieces(self, cluster: int, count: int, *, whole: bool = False) -> Iterator[Piece]:
        """Where ``count`` clusters of a chain lie; with ``whole`` all of the chain, which has at most that many."""
        at = 0
        for _ in range(count):
            if not 2 <= cluster < self._clusters + 2:
                if whole:
                    return
                raise Damaged("the chain of clusters of a file ends too early")
            yield at, self._cluster, self._data + (cluster - 2) * self._cluster
            at += self._cluster
            cluster = self._next(cluster)
        if whole and 2 <= cluster < self._clusters + 2:
            raise Damaged("the chain of clusters of a folder has no end")

    def _next(self, cluster: int) -> int:
        if self._bits == 12:
            value = int.from_bytes(self._entry(cluster + cluster // 2, 2), "little")
            return value >> 4 if cluster & 1 else value & 0xFFF
        width = self._bits // 8
        return int.from_bytes(self._entry(cluster * width, width), "little") & 0x0FFFFFFF

    def _entry(self, offset: int, width: int) -> bytes:
        """Bytes of the table, which is read in windows: a chain's neighbours lie beside it."""
        window, within = offset // _WINDOW * _WINDOW, offset % _WINDOW
        data = self._windows.get(window)
        if data is None:
            # One byte more: an entry of 12 bits may lie across the end of a window.
            length = min(_WINDOW + 1, self._table_size - window)
            data = self._windows[window] = self._blocks.read(self._table + window, length)
        return data[within : within + width]


def _long_name(parts: dict[int, bytes]) -> str:
    """The name in the entries before a short one; empty if there is none, or not all of it."""
    if not parts or sorted(parts) != list(range(1, len(parts) + 1)):
        return ""
    text = b"".join(parts[number] for number in sorted(parts)).decode("utf-16-le", "replace")
    name, _, _ = text.partition("\0")
    return name.rstrip("\uffff")


def _short_name(entry: bytes) -> str:
    """The name of eight and three characters; bits say which half was in lower case (as Windows NT and Linux write)."""
    base = (b"\xe5" + entry[1:8] if entry[0] == 5 else entry[:8]).decode("cp437").rstrip()
    suffix = entry[8:11].decode("cp437").rstrip()
    if entry[12] & _LOWER_NAME:
        base = base.lower()
    if entry[12] & _LOWER_SUFFIX:
        suffix = suffix.lower()
    return f"{base}.{suffix}" if suffix else base
