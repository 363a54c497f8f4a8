"""Reads ext2, ext3 and ext4. The format is in the kernel's ``Documentation/filesystems/ext4/``.

The journal is not replayed; a filesystem that needs it is read as it lies, with a note.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from imagewright.reading.blocks import Blocks
from imagewright.reading.errors import Damaged, Unsupported
from imagewright.reading.identifiers import uuid_of
from imagewright.reading.trees import LARGEST_FOLDER, Kind, Node, Piece, Status, Tree, assembled, name_of

_RECOVER, _META_BG, _64BIT = 0x4, 0x10, 0x80
_KNOWN = (
    0x2 | _RECOVER | _META_BG | 0x40 | _64BIT | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
)
_SPARSE_SUPER = 0x1
_SPARSE_SUPER2 = 0x200
_ENCRYPTED, _EXTENTS, _EA_INODE, _INLINE = 0x800, 0x80000, 0x200000, 0x10000000
_ROOT = 2
_ATTRIBUTES = 0xEA020000
_PREFIXES = {
    1: "user.",
    2: "system.posix_acl_access",
    3: "system.posix_acl_default",
    4: "trusted.",
    6: "security.",
}
_USER, _GROUP = 0x02, 0x08  # entries of an access control list that name an id


class Ext4Tree(Tree):
    """The files of an ext2, ext3 or ext4 filesystem. A reference is the number of an inode."""

    type = "ext4"
    owners = True

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self._blocks = blocks
        sb = blocks.read(1024, 1024)
        self._inodes, count = struct.unpack_from("<II", sb)
        self._first, log = struct.unpack_from("<II", sb, 20)
        (self._per_group,) = struct.unpack_from("<I", sb, 32)
        (self._inodes_per_group,) = struct.unpack_from("<I", sb, 40)
        (revision,) = struct.unpack_from("<I", sb, 76)
        compat, incompat, ro_compat = struct.unpack_from("<III", sb, 92) if revision else (0, 0, 0)
        self._inode_size = struct.unpack_from("<H", sb, 88)[0] if revision else 128
        if log > 6 or not self._per_group or not self._inodes_per_group:
            raise Damaged("the ext4 superblock is damaged")
        if incompat & 0x8:
            raise Unsupported("the filesystem is only the journal of another")
        if incompat & ~_KNOWN:
            raise Unsupported(f"the ext4 filesystem uses features that are not read ({incompat & ~_KNOWN:#x})")
        self._block: int = 1024 << log
        if self._inode_size < 128 or self._inode_size > self._block or self._inode_size & (self._inode_size - 1):
            raise Damaged("the ext4 superblock is damaged")
        # With bigalloc and blocks of 1024 bytes the first block is 0, but the superblock is still in block 1.
        self._super_block = 1024 // self._block
        self._descriptor = 32
        if incompat & _64BIT:
            count |= struct.unpack_from("<I", sb, 336)[0] << 32
            (self._descriptor,) = struct.unpack_from("<H", sb, 254)
            if not 32 <= self._descriptor <= 1024 or self._descriptor & (self._descriptor - 1):
                raise Damaged("the ext4 superblock is damaged")
        self._meta_group = struct.unpack_from("<I", sb, 260)[0] if incompat & _META_BG else None
        self._sparse = bool(ro_compat & _SPARSE_SUPER)
        self._copies = struct.unpack_from("<II", sb, 588) if compat & _SPARSE_SUPER2 else None
        self.capacity = min(count * self._block, blocks.size)
        self.uuid = uuid_of(sb[104:120]) if sb[104:120] != bytes(16) else ""
        self.label = sb[120:136].partition(b"\0")[0].decode("utf-8", "replace")
        if incompat & _RECOVER:
            self.notes = ("the journal of the ext4 filesystem was not replayed, since it was not unmounted cleanly",)

    def root(self) -> int:
        """Inode 2."""
        return _ROOT

    def node(self, reference: int) -> Node:
        """The inode of that number."""
        if not 1 <= reference <= self._inodes:
            raise Damaged(f"inode {reference} is not in the ext4 filesystem")
        group, index = divmod(reference - 1, self._inodes_per_group)
        raw = self._blocks.read(self._inode_table(group) + index * self._inode_size, self._inode_size)
        mode, low = struct.unpack_from("<H2xI", raw)
        (high,) = struct.unpack_from("<I", raw, 108)
        return Node(kind=Kind.of(mode), size=low | high << 32, reference=reference, detail=raw)

    def entries(self, node: Node) -> dict[str, int]:
        """The names in a folder; an index of hashes looks like unused entries."""
        flags = self._flags(node)
        if flags & _ENCRYPTED:
            raise Unsupported("a folder is encrypted")
        found: dict[str, int] = {}
        if flags & _INLINE:
            inline = self._inline(node)
            # The first four bytes are the parent; each of the two places is a block of its own.
            self._parse(inline[4:60], found)
            self._parse(inline[60:], found)
            return found
        if node.size > LARGEST_FOLDER:
            raise Damaged(f"a folder of {node.size} bytes is damaged")
        data = b"".join(self.content(node))
        for at in range(0, len(data), self._block):
            self._parse(data[at : at + self._block], found)
        return found

    def target(self, node: Node) -> str:
        """Where a link leads: short targets are in the inode."""
        if node.size > 4096:
            raise Damaged("the target of a link is too long")
        if node.size < 60 and not self._flags(node) & (_EXTENTS | _INLINE):
            return name_of(node.detail[40 : 40 + node.size])
        return name_of(b"".join(self.content(node)))

    def content(self, node: Node) -> Iterator[bytes]:
        """The bytes of a file, a folder or a long link."""
        flags = self._flags(node)
        if flags & _ENCRYPTED and node.kind is Kind.FILE:
            raise Unsupported("a file is encrypted")
        if flags & _INLINE:
            return iter([self._inline(node)[: node.size].ljust(node.size, b"\0")])
        pieces = self._extents(node) if flags & _EXTENTS else self._mapped(node)
        return assembled(self._blocks, pieces, node.size)

    def status(self, node: Node) -> Status:
        """From the inode; its upper halves lie apart, and nanoseconds behind the first 128 bytes."""
        raw = node.detail
        mode, uid_low = struct.unpack_from("<HH", raw)
        seconds = struct.unpack_from("<i", raw, 16)[0]
        gid_low, links = struct.unpack_from("<HH", raw, 24)
        uid_high, gid_high = struct.unpack_from("<HH", raw, 120)
        fraction = 0
        if len(raw) > 140 and struct.unpack_from("<H", raw, 128)[0] >= 12:
            (extra,) = struct.unpack_from("<I", raw, 136)
            seconds += (extra & 3) << 32
            fraction = extra >> 2
        return Status(
            mode=mode & 0o7777,
            uid=uid_low | uid_high << 16,
            gid=gid_low | gid_high << 16,
            links=links,
            time=seconds * 10**9 + fraction,
        )

    def attributes(self, node: Node) -> dict[str, bytes]:
        """Those in the inode, then those in its block."""
        raw = node.detail
        found: dict[str, bytes] = {}
        if len(raw) > 132:
            at = 128 + struct.unpack_from("<H", raw, 128)[0]
            if at + 4 <= len(raw) and struct.unpack_from("<I", raw, at)[0] == _ATTRIBUTES:
                self._entries_of(raw, at + 4, at + 4, found)
        low, high = struct.unpack_from("<I", raw, 104)[0], struct.unpack_from("<H", raw, 118)[0]
        block = low | high << 32
        if block:
            data = self._blocks.read(block * self._block, self._block)
            if struct.unpack_from("<I", data)[0] != _ATTRIBUTES:
                raise Damaged("the attributes of a file are damaged")
            self._entries_of(data, 32, 0, found)
        return found

    def _entries_of(self, data: bytes, at: int, base: int, found: dict[str, bytes]) -> None:
        """Entries from ``at`` on; the offsets of their values count from ``base``."""
        while at + 16 <= len(data) and data[at : at + 4] != bytes(4):
            length, index, offset, inode, size = struct.unpack_from("<BBHII", data, at)
            name = data[at + 16 : at + 16 + length].decode("utf-8", "surrogateescape")
            at += 16 + (length + 3) // 4 * 4
            if index == 7:  # the data of a small file
                continue
            if index not in _PREFIXES:
                raise Unsupported(f"an attribute of kind {index} is not read")
            if size > 65536 or (not inode and base + offset + size > len(data)):
                raise Damaged("the attributes of a file are damaged")
            if inode:
                value = b"".join(self.content(self.node(inode)))[:size]
            else:
                value = bytes(data[base + offset : base + offset + size])
            found[_PREFIXES[index] + name] = acl_of(value) if index in (2, 3) else value

    @staticmethod
    def _flags(node: Node) -> int:
        return int(struct.unpack_from("<I", node.detail, 32)[0])

    def _parse(self, data: bytes, found: dict[str, int]) -> None:
        at = 0
        while at + 8 <= len(data):
            inode, length, name_length = struct.unpack_from("<IHB", data, at)
            if length in (0, 65535) and self._block == 65536:
                length = len(data) - at
            if length < 8 or at + length > len(data) or (inode and 8 + name_length > length):
                raise Damaged("a folder of the ext4 filesystem is damaged")
            name = data[at + 8 : at + 8 + name_length]
            if inode and name not in (b"", b".", b".."):
                found[name_of(name)] = inode
            at += length

    def _inode_table(self, group: int) -> int:
        per_block = self._block // self._descriptor
        table, index = divmod(group, per_block)
        if self._meta_group is not None and table >= self._meta_group:
            first = table * per_block
            block = self._first + first * self._per_group + self._has_super(first)
            if first == 0:
                block = self._super_block + 1
        else:
            block = self._super_block + 1 + table
        at = block * self._block + index * self._descriptor
        raw = self._blocks.read(at, self._descriptor)
        (low,) = struct.unpack_from("<I", raw, 8)
        high = struct.unpack_from("<I", raw, 40)[0] if self._descriptor >= 64 else 0
        return int(low | high << 32) * self._block

    def _has_super(self, group: int) -> bool:
        if group == 0:
            return True
        if self._copies is not None:
            return bool(group in self._copies)
        if not self._sparse or group == 1:
            return True
        for base in (3, 5, 7):
            power = base
            while power < group:
                power *= base
            if power == group:
                return True
        return False

    def _extents(self, node: Node) -> Iterator[Piece]:
        seen: set[int] = set()

        def walk(data: bytes, expected: int | None) -> Iterator[Piece]:
            magic, count, _, depth = struct.unpack_from("<HHHH", data)
            if magic != 0xF30A or depth > 5 or (expected is not None and depth != expected):
                raise Damaged("the extents of a file are damaged")
            for at in range(12, 12 + 12 * count, 12):
                if depth:
                    low, high = struct.unpack_from("<4xIH", data, at)
                    block = low | high << 32
                    if block in seen:
                        raise Damaged("the extents of a file form a loop")
                    seen.add(block)
                    yield from walk(self._blocks.read(block * self._block, self._block), depth - 1)
                    continue
                start, length, high, low = struct.unpack_from("<IHHI", data, at)
                unwritten = length > 32768
                length -= 32768 if unwritten else 0
                place = None if unwritten else (low | high << 32) * self._block
                yield start * self._block, length * self._block, place

        return walk(node.detail[40:100], None)

    def _mapped(self, node: Node) -> Iterator[Piece]:
        """The block map of ext2 and ext3: twelve blocks, then one, two and three levels of tables."""
        pointers = struct.unpack_from("<15I", node.detail, 40)
        per_block = self._block // 4
        last = -(-node.size // self._block)
        seen: set[int] = set()

        def walk(block: int, level: int, start: int) -> Iterator[Piece]:
            if not block or start >= last:
                return
            if level == 0:
                yield start * self._block, self._block, block * self._block
                return
            if block in seen:
                raise Damaged("the block map of a file forms a loop")
            seen.add(block)
            span = per_block ** (level - 1)
            table = struct.unpack(f"<{per_block}I", self._blocks.read(block * self._block, self._block))
            for index, pointer in enumerate(table):
                yield from walk(pointer, level - 1, start + index * span)

        start = 0
        for index, pointer in enumerate(pointers):
            level = max(0, index - 11)
            yield from walk(pointer, level, start)
            start += per_block**level

    def _inline(self, node: Node) -> bytes:
        """Data in the inode: sixty bytes, and an extended attribute ``system.data`` for the rest."""
        raw = node.detail
        data = raw[40:100]
        if len(raw) <= 132:
            return bytes(data)
        at = 128 + struct.unpack_from("<H", raw, 128)[0]
        if at + 4 > len(raw) or struct.unpack_from("<I", raw, at)[0] != 0xEA020000:
            return bytes(data)
        first = at = at + 4
        while at + 16 <= len(raw) and raw[at : at + 4] != bytes(4):
            name_length, index, offset, inode, size = struct.unpack_from("<BBHII", raw, at)
            if index == 7 and raw[at + 16 : at + 16 + name_length] == b"data":
                if inode or first + offset + size > len(raw):
                    raise Damaged("the data in an inode is damaged")
                return bytes(data + raw[first + offset : first + offset + size])
            at += 16 + (name_length + 3) // 4 * 4
        return bytes(data)


def acl_of(value: bytes) -> bytes:
    """An access control list as setxattr(2) takes it, from the filesystem's own form (``fs/ext4/acl.h``)."""
    if len(value) < 4 or struct.unpack_from("<I", value)[0] != 1:
        raise Damaged("an access control list is damaged")
    out = bytearray(struct.pack("<I", 2))
    at = 4
    while at + 4 <= len(value):
        tag, permissions = struct.unpack_from("<HH", value, at)
        at += 4
        number = 0xFFFFFFFF
        if tag in (_USER, _GROUP):
            (number,) = struct.unpack_from("<I", value, at)
            at += 4
        out += struct.pack("<HHI", tag, permissions, number)
    return bytes(out)
