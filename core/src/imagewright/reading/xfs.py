"""Reads XFS, versions 4 and 5. The format is in "XFS Algorithms & Data Structures" and ``xfs_format.h``.

The log is not replayed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from imagewright.reading.blocks import Blocks
from imagewright.reading.errors import Damaged, Unsupported
from imagewright.reading.identifiers import uuid_of
from imagewright.reading.trees import LARGEST_FOLDER, Kind, Node, Piece, Status, Tree, assembled, name_of

_FTYPE, _META_UUID, _KNOWN = 0x1, 0x4, 0x1FF
_NEEDS_REPAIR = 0x10
_BIGTIME, _NREXT64 = 1 << 3, 1 << 4
_IN_LEAF, _TRUSTED, _SECURE, _INCOMPLETE = 0x1, 0x2, 0x4, 0x80  # flags of attributes
_ACLS = {b"SGI_ACL_FILE": "system.posix_acl_access", b"SGI_ACL_DEFAULT": "system.posix_acl_default"}
_LOCAL, _EXTENTS, _BTREE = 1, 2, 3
_LEAVES = 2**35  # from here on a folder holds its indexes, not names


class XfsTree(Tree):
    """The files of an XFS filesystem. A reference is the number of an inode."""

    type = "xfs"
    owners = True

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self._blocks = blocks
        sb = blocks.read(0, 512)
        self._block, count = struct.unpack_from(">IQ", sb, 4)
        (self._root,) = struct.unpack_from(">Q", sb, 56)
        self._group_blocks, self._groups = struct.unpack_from(">II", sb, 84)
        (version,) = struct.unpack_from(">H", sb, 100)
        (self._inode_size,) = struct.unpack_from(">H", sb, 104)
        self._block_log, _, inode_log, self._per_block_log, self._group_log = sb[120:125]
        features2, _, _, _, incompat = struct.unpack_from(">IIIII", sb, 200)
        self._v5 = version & 0xF == 5
        if version & 0xF not in (4, 5):
            raise Unsupported(f"XFS of version {version & 0xF} is not read")
        if (
            not 9 <= self._block_log <= 16
            or self._block != 1 << self._block_log
            or not 256 <= self._inode_size <= 2048
            or self._inode_size != 1 << inode_log
            or self._per_block_log != self._block_log - inode_log
            or self._group_log > 31
            or not self._group_blocks
            or self._group_blocks > 1 << self._group_log
        ):
            raise Damaged("the XFS superblock is damaged")
        if self._v5 and incompat & ~_KNOWN:
            raise Unsupported(f"the XFS filesystem uses features that are not read ({incompat & ~_KNOWN:#x})")
        if not self._v5:
            incompat = 0
        if incompat & _NEEDS_REPAIR:
            raise Damaged("the XFS filesystem says of itself that it needs repair")
        self._ftype = bool(incompat & _FTYPE if self._v5 else features2 & 0x200)
        self._folder_block = self._block << sb[192]
        if sb[192] > 4 or self._folder_block > 65536:
            raise Damaged("the XFS superblock is damaged")
        self.capacity = min(count * self._block, blocks.size)
        self.uuid = uuid_of(sb[32:48])
        self.label = sb[108:120].partition(b"\0")[0].decode("utf-8", "replace")

    def root(self) -> int:
        """The inode that the superblock names."""
        return int(self._root)

    def node(self, reference: int) -> Node:
        """The inode of that number."""
        block = reference >> self._per_block_log
        index = reference & ((1 << self._per_block_log) - 1)
        raw = self._blocks.read(self._byte(block) + index * self._inode_size, self._inode_size)
        magic, mode = struct.unpack_from(">2sH", raw)
        (size,) = struct.unpack_from(">Q", raw, 56)
        if magic != b"IN" or (self._v5 and struct.unpack_from(">Q", raw, 152)[0] != reference):
            raise Damaged(f"inode {reference} of the XFS filesystem is damaged")
        if struct.unpack_from(">H", raw, 90)[0] & 1:
            raise Unsupported("a file is in the realtime section")
        return Node(kind=Kind.of(mode), size=size, reference=reference, detail=raw)

    def entries(self, node: Node) -> dict[str, int]:
        """The names in a folder, short or long."""
        found: dict[str, int] = {}
        if node.detail[5] == _LOCAL:
            self._short(self._fork(node), found)
            return found
        total = 0
        size = self._folder_block
        for start, length, place in self._pieces(node):
            if start >= _LEAVES:
                break
            total += length
            if place is None or total > LARGEST_FOLDER:
                raise Damaged("a folder of the XFS filesystem is damaged")
        data = bytearray()
        for start, length, place in self._pieces(node):
            if start >= _LEAVES:
                break
            # A block of a folder may lie in several pieces when it is larger than one of the filesystem.
            data += self._blocks.read(place or 0, length)
        for at in range(0, len(data) // size * size, size):
            self._long(bytes(data[at : at + size]), found)
        return found

    def target(self, node: Node) -> str:
        """Where a link leads."""
        if node.size > 4096:
            raise Damaged("the target of a link is too long")
        if node.detail[5] == _LOCAL:
            return name_of(self._fork(node)[: node.size])
        if not self._v5:
            return name_of(b"".join(self.content(node)))
        parts: list[bytes] = []
        left = node.size
        for _, length, place in self._pieces(node):
            for at in range(0, length, self._block):
                block = self._blocks.read((place or 0) + at, self._block)
                if block[:4] != b"XSLM":
                    raise Damaged("the target of a link is damaged")
                count = min(left, self._block - 56)
                parts.append(block[56 : 56 + count])
                left -= count
        if left:
            raise Damaged("the target of a link is damaged")
        return name_of(b"".join(parts))

    def content(self, node: Node) -> Iterator[bytes]:
        """The bytes of a file."""
        if node.detail[5] == _LOCAL:
            raise Damaged("a file of the XFS filesystem is damaged")
        return assembled(self._blocks, self._pieces(node), node.size)

    def status(self, node: Node) -> Status:
        """From the inode; its times have one form or another (bigtime)."""
        raw = node.detail
        mode, _, _, _, uid, gid, links = struct.unpack_from(">HBBHIII", raw, 2)
        seconds, fraction = struct.unpack_from(">iI", raw, 40)
        time = seconds * 10**9 + fraction
        if self._v5 and struct.unpack_from(">Q", raw, 120)[0] & _BIGTIME:
            time = struct.unpack_from(">Q", raw, 40)[0] - 2**31 * 10**9
        return Status(mode=mode & 0o7777, uid=uid, gid=gid, links=links, time=time)

    def attributes(self, node: Node) -> dict[str, bytes]:
        """Those in the inode, or those of the leaves of its second fork."""
        raw = node.detail
        found: dict[str, bytes] = {}
        if not raw[82]:
            return found
        fork = bytes(raw[(176 if raw[4] >= 3 else 100) + raw[82] * 8 :])
        if raw[83] == _LOCAL:
            self._short_attributes(fork, found)
            return found
        if raw[83] == _EXTENTS:
            return self._far_attributes(node, fork)
        raise Unsupported("a file has more extended attributes than are read")

    def _short_attributes(self, fork: bytes, found: dict[str, bytes]) -> None:
        at = 4
        for _ in range(fork[2]):
            length, size, flags = fork[at : at + 3]
            end = at + 3 + length
            if end + size > len(fork):
                raise Damaged("the attributes of a file are damaged")
            self._attribute(fork[at + 3 : end], flags, fork[end : end + size], found)
            at = end + size

    def _far_attributes(self, node: Node, fork: bytes) -> dict[str, bytes]:
        """Leaves are found by their magic; what lies between them are indexes and values."""
        wide = self._v5 and struct.unpack_from(">Q", node.detail, 120)[0] & _NREXT64
        (count,) = struct.unpack_from(">I", node.detail, 76) if wide else struct.unpack_from(">H", node.detail, 80)
        if count * 16 > len(fork):
            raise Damaged("the attributes of a file are damaged")
        blocks: dict[int, int] = {}
        for start, length, place in self._records(fork, 0, count):
            if place is None or length > LARGEST_FOLDER:
                raise Damaged("the attributes of a file are damaged")
            for at in range(0, length, self._block):
                blocks[(start + at) // self._block] = place + at
        found: dict[str, bytes] = {}
        remote: set[int] = set()
        for number in sorted(blocks):
            if number in remote:
                continue
            data = self._blocks.read(blocks[number], self._block)
            if data[8:10] == (b"\x3b\xee" if self._v5 else b"\xfb\xee"):
                self._leaf(data, blocks, remote, found)
        return found

    def _leaf(self, data: bytes, blocks: dict[int, int], remote: set[int], found: dict[str, bytes]) -> None:
        (count,) = struct.unpack_from(">H", data, 56 if self._v5 else 12)
        first = 80 if self._v5 else 32
        for at in range(first, first + 8 * count, 8):
            index, flags = struct.unpack_from(">HB", data, at + 4)
            if flags & _IN_LEAF:
                size, length = struct.unpack_from(">HB", data, index)
                end = index + 3 + length
                self._attribute(data[index + 3 : end], flags, data[end : end + size], found)
                continue
            number, size, length = struct.unpack_from(">IIB", data, index)
            room = self._block - 56 if self._v5 else self._block
            value = bytearray()
            for block in range(number, number + -(-size // room)):
                if size > 65536 or block not in blocks:
                    raise Damaged("the attributes of a file are damaged")
                remote.add(block)
                value += self._blocks.read(blocks[block] + self._block - room, room)
            self._attribute(data[index + 9 : index + 9 + length], flags, bytes(value[:size]), found)

    @staticmethod
    def _attribute(name: bytes, flags: int, value: bytes, found: dict[str, bytes]) -> None:
        if flags & _INCOMPLETE:
            return
        if flags & _TRUSTED and name in _ACLS:
            found[_ACLS[name]] = acl_of_xfs(value)
            return
        prefix = "trusted." if flags & _TRUSTED else "security." if flags & _SECURE else "user."
        found[prefix + name_of(name)] = bytes(value)

    def _byte(self, block: int) -> int:
        """Where a block lies, by group and number within the group."""
        group, within = block >> self._group_log, block & ((1 << self._group_log) - 1)
        if group >= self._groups or within >= self._group_blocks:
            raise Damaged(f"block {block} is not in the XFS filesystem")
        return int((group * self._group_blocks + within) * self._block)

    def _fork(self, node: Node) -> bytes:
        raw = node.detail
        start = 176 if raw[4] >= 3 else 100
        end = start + raw[82] * 8 if raw[82] else len(raw)
        if end > len(raw):
            raise Damaged(f"inode {node.reference} of the XFS filesystem is damaged")
        return bytes(raw[start:end])

    def _pieces(self, node: Node) -> Iterator[Piece]:
        fork = self._fork(node)
        match node.detail[5]:
            case 2:
                wide = self._v5 and struct.unpack_from(">Q", node.detail, 120)[0] & _NREXT64
                (count,) = (
                    struct.unpack_from(">Q", node.detail, 24) if wide else struct.unpack_from(">I", node.detail, 76)
                )
                if count * 16 > len(fork):
                    raise Damaged("the extents of a file are damaged")
                return self._records(fork, 0, count)
            case 3:
                level, count = struct.unpack_from(">HH", fork)
                room = (len(fork) - 4) // 16
                if count > room or not 1 <= level <= 9:
                    raise Damaged("the extents of a file are damaged")
                pointers = struct.unpack_from(f">{count}Q", fork, 4 + room * 8)
                return self._below(pointers, level - 1, set())
        raise Damaged(f"inode {node.reference} of the XFS filesystem is damaged")

    def _below(self, pointers: tuple[int, ...], level: int, seen: set[int]) -> Iterator[Piece]:
        header = 72 if self._v5 else 24
        magic = b"BMA3" if self._v5 else b"BMAP"
        for pointer in pointers:
            if pointer in seen:
                raise Damaged("the extents of a file form a loop")
            seen.add(pointer)
            block = self._blocks.read(self._byte(pointer), self._block)
            found, own, count = struct.unpack_from(">4sHH", block)
            room = (self._block - header) // 16
            if found != magic or own != level or count > room:
                raise Damaged("the extents of a file are damaged")
            if level:
                yield from self._below(struct.unpack_from(f">{count}Q", block, header + room * 8), level - 1, seen)
            else:
                yield from self._records(block, header, count)

    def _records(self, data: bytes, at: int, count: int) -> Iterator[Piece]:
        for _ in range(count):
            high, low = struct.unpack_from(">QQ", data, at)
            at += 16
            start = (high & (1 << 63) - 1) >> 9
            block = (high & 0x1FF) << 43 | low >> 21
            length = low & (1 << 21) - 1
            place = None if high >> 63 else self._byte(block)
            yield start * self._block, length * self._block, place

    def _short(self, data: bytes, found: dict[str, int]) -> None:
        count, wide = data[0], data[1]
        width = 8 if wide else 4
        at = 2 + width
        for _ in range(wide or count):
            length = data[at]
            name = data[at + 3 : at + 3 + length]
            at += 3 + length + self._ftype
            if at + width > len(data) or not length:
                raise Damaged("a folder of the XFS filesystem is damaged")
            found[name_of(name)] = int.from_bytes(data[at : at + width], "big")
            at += width

    def _long(self, data: bytes, found: dict[str, int]) -> None:
        magic = data[:4]
        if magic in (b"XDB3", b"XDD3"):
            at = 64
        elif magic in (b"XD2B", b"XD2D"):
            at = 16
        else:
            raise Damaged("a folder of the XFS filesystem is damaged")
        end = len(data)
        if magic in (b"XDB3", b"XD2B"):
            (leaves,) = struct.unpack_from(">I", data, end - 8)
            end -= 8 + 8 * leaves
        while at < end:
            if data[at : at + 2] == b"\xff\xff":
                (length,) = struct.unpack_from(">H", data, at + 2)
                if length < 8:
                    raise Damaged("a folder of the XFS filesystem is damaged")
                at += length
                continue
            inode, length = struct.unpack_from(">QB", data, at)
            name = data[at + 9 : at + 9 + length]
            if not length or at + 9 + length > end:
                raise Damaged("a folder of the XFS filesystem is damaged")
            if name not in (b".", b".."):
                found[name_of(name)] = inode
            at += (8 + 1 + length + self._ftype + 2 + 7) // 8 * 8


def acl_of_xfs(value: bytes) -> bytes:
    """An access control list as setxattr(2) takes it, from the filesystem's own form (``xfs_acl.h``)."""
    (count,) = struct.unpack_from(">I", value)
    out = bytearray(struct.pack("<I", 2))
    for at in range(4, 4 + 12 * count, 12):
        tag, number, permissions = struct.unpack_from(">IIH", value, at)
        out += struct.pack("<HHI", tag, permissions, number if tag in (0x02, 0x08) else 0xFFFFFFFF)
    return bytes(out)
