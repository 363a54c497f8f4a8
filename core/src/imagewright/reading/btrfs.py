"""Reads btrfs on one device, all of its subvolumes. The format is in btrfs' ``On-disk-format`` and ``ctree.h``.

The log tree is not replayed, checksums are not compared.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator

from imagewright.reading.blocks import CHUNK, Blocks
from imagewright.reading.codecs import inflate, unlzo, unzstd
from imagewright.reading.errors import Damaged, Unsupported
from imagewright.reading.identifiers import uuid_of
from imagewright.reading.trees import Kind, Node, Status, Tree, name_of, zeros

_SUPERBLOCK = 0x10000
_KNOWN = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800 | 0x10000
_STRIPED = 0x8 | 0x40 | 0x80 | 0x100  # RAID0, RAID10, RAID5, RAID6
_INODE, _INODE_REF, _EXTENT, _FOLDER, _FOLDER_INDEX, _ROOT, _ROOT_BACK = 1, 12, 108, 84, 96, 132, 144
_ATTRIBUTE, _CHUNK_ITEM = 24, 228
_CHUNK_TREE_FIRST, _TOP, _FIRST = 256, 5, 256
_LARGEST_KEY = (1 << 64) - 1
_PACKED = 2**20  # bytes that a compressed extent may have, before and after; btrfs itself makes 128 KiB
_KEPT = 512

Key = tuple[int, int, int]


class Volume:
    """The trees of a filesystem, and where its logical addresses lie."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        sb = blocks.read(_SUPERBLOCK, 4096)
        self._root, chunk_root, log_root = struct.unpack_from("<QQQ", sb, 0x50)
        capacity, _, self.default_folder, devices = struct.unpack_from("<QQQQ", sb, 0x70)
        self.capacity = min(capacity, blocks.size)
        self.sector, self._node = struct.unpack_from("<II", sb, 0x90)
        (array,) = struct.unpack_from("<I", sb, 0xA0)
        (incompat,) = struct.unpack_from("<Q", sb, 0xBC)
        self._root_level, chunk_level = sb[0xC6], sb[0xC7]
        (self._device,) = struct.unpack_from("<Q", sb, 0xC9)
        if incompat & ~_KNOWN:
            raise Unsupported(f"the btrfs filesystem uses features that are not read ({incompat & ~_KNOWN:#x})")
        if devices != 1:
            raise Unsupported(f"the btrfs filesystem lies on {devices} devices")
        power = self._node and not self._node & (self._node - 1) and self.sector and not self.sector & (self.sector - 1)
        if not power or not 4096 <= self._node <= 65536 or not 512 <= self.sector <= 65536 or array > 2048:
            raise Damaged("the btrfs superblock is damaged")
        self.uuid = uuid_of(sb[0x20:0x30])
        self.label = sb[0x12B : 0x12B + 256].partition(b"\0")[0].decode("utf-8", "replace")
        self.log = bool(log_root)
        self._nodes: dict[int, tuple[int, list[Key], list[int | bytes]]] = {}
        self._chunks: list[tuple[int, int, int]] = []
        at, end = 0x32B, 0x32B + array
        while at + 17 <= end:
            _, kind, logical = struct.unpack_from("<QBQ", sb, at)
            if kind != _CHUNK_ITEM:
                raise Damaged("the btrfs superblock is damaged")
            at += 17 + self._add_chunk(logical, sb[at + 17 : end])
        self._chunks.sort()
        found = list(self.items((chunk_root, chunk_level), (_CHUNK_TREE_FIRST, _CHUNK_ITEM, 0)))
        self._chunks.clear()
        for key, data in found:
            self._add_chunk(key[2], data)
        self._chunks.sort()

    def _add_chunk(self, logical: int, data: bytes) -> int:
        length, kind = struct.unpack_from("<Q16xQ", data)
        (stripes,) = struct.unpack_from("<H", data, 44)
        if not 1 <= stripes <= 32 or (kind & _STRIPED and stripes > 1):
            raise Unsupported("the btrfs filesystem is striped")
        place = None
        for number in range(stripes):
            device, offset = struct.unpack_from("<QQ", data, 48 + 32 * number)
            if device == self._device and place is None:
                place = offset
        if place is None:
            raise Damaged("a chunk of the btrfs filesystem is on no device")
        self._chunks.append((logical, length, place))
        return 48 + 32 * int(stripes)

    def read(self, logical: int, length: int) -> bytes:
        """Bytes by logical address."""
        parts = []
        while length:
            index = bisect_right(self._chunks, (logical, _LARGEST_KEY, _LARGEST_KEY)) - 1
            if index < 0:
                raise Damaged(f"the btrfs address {logical} lies nowhere")
            start, size, place = self._chunks[index]
            count = min(length, start + size - logical)
            if count <= 0:
                raise Damaged(f"the btrfs address {logical} lies nowhere")
            parts.append(self._blocks.read(place + logical - start, count))
            logical += count
            length -= count
        return b"".join(parts)

    def root_of(self, tree: int) -> tuple[int, int]:
        """Address and level of a tree's top node, by its number."""
        for _, data in self.items((self._root, self._root_level), (tree, _ROOT, 0), (tree, _ROOT, _LARGEST_KEY)):
            return int.from_bytes(data[176:184], "little"), data[238]
        raise Damaged(f"the btrfs filesystem has no tree {tree}")

    def roots(self, first: Key, last: Key) -> Iterator[tuple[Key, bytes]]:
        """Items of the tree of trees."""
        return self.items((self._root, self._root_level), first, last)

    def items(
        self, top: tuple[int, int], first: Key, last: Key | None = None, seen: set[int] | None = None
    ) -> Iterator[tuple[Key, bytes]]:
        """All items from ``first`` to ``last`` of the same object and type, or to ``last``, in order."""
        last = last or (first[0], first[1], _LARGEST_KEY)
        seen = set() if seen is None else seen
        address, level = top
        if level > 7 or address in seen:
            raise Damaged("a tree of the btrfs filesystem is damaged")
        seen.add(address)
        own, keys, values = self._parsed(address)
        if own != level:
            raise Damaged("a tree of the btrfs filesystem is damaged")
        index = max(0, bisect_right(keys, first) - 1)
        for key, value in zip(keys[index:], values[index:], strict=True):
            if key > last:
                return
            if isinstance(value, int):
                yield from self.items((value, level - 1), first, last, seen)
            elif key >= first:
                yield key, value

    def _parsed(self, address: int) -> tuple[int, list[Key], list[int | bytes]]:
        known = self._nodes.get(address)
        if known is not None:
            return known
        raw = self.read(address, self._node)
        (own,) = struct.unpack_from("<Q", raw, 48)
        (count,) = struct.unpack_from("<I", raw, 96)
        level = raw[100]
        width = 33 if level else 25
        if own != address or 101 + count * width > len(raw):
            raise Damaged("a tree of the btrfs filesystem is damaged")
        keys: list[Key] = []
        values: list[int | bytes] = []
        for at in range(101, 101 + count * width, width):
            keys.append(struct.unpack_from("<QBQ", raw, at))
            if level:
                values.append(struct.unpack_from("<Q", raw, at + 17)[0])
            else:
                offset, size = struct.unpack_from("<II", raw, at + 17)
                if 101 + offset + size > len(raw):
                    raise Damaged("a tree of the btrfs filesystem is damaged")
                values.append(raw[101 + offset : 101 + offset + size])
        if len(self._nodes) >= _KEPT:
            self._nodes.clear()
        self._nodes[address] = (level, keys, values)
        return self._nodes[address]


class BtrfsTree(Tree):
    """The files of one subvolume. A reference is the number of a tree and that of an inode in it."""

    type = "btrfs"
    owners = True

    def __init__(self, volume: Volume, tree: int, subvolume: str) -> None:
        super().__init__()
        self._volume = volume
        self._tree = tree
        self._tops: dict[int, tuple[int, int]] = {}
        self.uuid = volume.uuid
        self.label = volume.label
        self.subvolume = subvolume
        self.capacity = volume.capacity
        if volume.log:
            self.notes = ("the log of the btrfs filesystem was not replayed, since it was not unmounted cleanly",)

    def root(self) -> tuple[int, int]:
        """The first inode of the subvolume."""
        return (self._tree, _FIRST)

    def node(self, reference: tuple[int, int]) -> Node:
        """The inode of that number in that tree."""
        tree, inode = reference
        for _, data in self._items(tree, (inode, _INODE, 0)):
            (size,) = struct.unpack_from("<Q", data, 16)
            (mode,) = struct.unpack_from("<I", data, 52)
            return Node(kind=Kind.of(mode), size=size, reference=reference)
        raise Damaged(f"inode {inode} is not in tree {tree} of the btrfs filesystem")

    def status(self, node: Node) -> Status:
        """From the inode's item."""
        tree, inode = node.reference
        for _, data in self._items(tree, (inode, _INODE, 0)):
            links, uid, gid, mode = struct.unpack_from("<IIII", data, 40)
            seconds, fraction = struct.unpack_from("<qI", data, 136)
            return Status(mode=mode & 0o7777, uid=uid, gid=gid, links=links, time=seconds * 10**9 + fraction)
        raise Damaged(f"inode {inode} is not in tree {tree} of the btrfs filesystem")

    def attributes(self, node: Node) -> dict[str, bytes]:
        """Each is an entry like that of a folder, with a value."""
        tree, inode = node.reference
        found: dict[str, bytes] = {}
        for _, data in self._items(tree, (inode, _ATTRIBUTE, 0)):
            at = 0
            while at + 30 <= len(data):
                size, length = struct.unpack_from("<HH", data, at + 25)
                end = at + 30 + length
                if end + size > len(data):
                    raise Damaged("the attributes of a file are damaged")
                name = name_of(bytes(data[at + 30 : end]))
                if not name.startswith("btrfs."):
                    found[name] = bytes(data[end : end + size])
                at = end + size
        return found

    def entries(self, node: Node) -> dict[str, tuple[int, int]]:
        """The names in a folder; a subvolume in it is a folder like any other."""
        tree, inode = node.reference
        found: dict[str, tuple[int, int]] = {}
        for _, data in self._items(tree, (inode, _FOLDER_INDEX, 0)):
            for name, key in named(data):
                if key[1] == _ROOT:
                    found[name] = (key[0], _FIRST)
                else:
                    found[name] = (tree, key[0])
        return found

    def target(self, node: Node) -> str:
        """Where a link leads."""
        if node.size > 4096:
            raise Damaged("the target of a link is too long")
        return name_of(b"".join(self.content(node)))

    def content(self, node: Node) -> Iterator[bytes]:
        """The bytes of a file or link."""
        tree, inode = node.reference
        at = 0
        for key, data in self._items(tree, (inode, _EXTENT, 0)):
            start = key[2]
            if start >= node.size:
                break
            if start < at:
                raise Damaged("the pieces of a file overlap")
            yield from zeros(start - at)
            at = start
            for part in self._extent(data):
                part = part[: node.size - at]
                at += len(part)
                yield part
        yield from zeros(node.size - at)

    def _extent(self, data: bytes) -> Iterator[bytes]:
        unpacked, packing, encryption, kind = struct.unpack_from("<8xQBB2xB", data)
        if encryption:
            raise Unsupported("a file is encrypted")
        if kind == 0:
            yield self._unpacked(data[21:], packing, unpacked)
            return
        place, packed, offset, length = struct.unpack_from("<QQQQ", data, 21)
        if not place or kind == 2:
            yield from zeros(min(length, self.capacity))
        elif packing:
            if packed > _PACKED:
                raise Damaged("a compressed piece of a file is damaged")
            part = self._unpacked(self._volume.read(place, packed), packing, unpacked)[offset : offset + length]
            yield part.ljust(min(length, _PACKED), b"\0")
        else:
            place += offset
            while length:
                count = min(length, CHUNK)
                yield self._volume.read(place, count)
                place += count
                length -= count

    def _unpacked(self, data: bytes, packing: int, size: int) -> bytes:
        if size > _PACKED:
            raise Damaged("a compressed piece of a file is damaged")
        match packing:
            case 0:
                return data[:size]
            case 1:
                return inflate(data, size)
            case 2:
                return self._segments(data, size)
            case 3:
                return unzstd(data, size)
        raise Unsupported(f"a file uses compression {packing}, which is not known")

    def _segments(self, data: bytes, size: int) -> bytes:
        """LZO as btrfs lays it out: one stream per sector, each behind its length, no length across two sectors."""
        (total,) = struct.unpack_from("<I", data)
        sector = self._volume.sector
        out = bytearray()
        at = 4
        while at < min(total, len(data)) and len(out) < size:
            left = -at % sector
            if 0 < left < 4:
                at += left
            (length,) = struct.unpack_from("<I", data, at)
            if not length or at + 4 + length > len(data):
                raise Damaged("a compressed piece of a file is damaged")
            out += unlzo(data[at + 4 : at + 4 + length], min(sector, size - len(out)))
            at += 4 + length
        return bytes(out)

    def _items(self, tree: int, first: Key) -> Iterator[tuple[Key, bytes]]:
        if tree not in self._tops:
            self._tops[tree] = self._volume.root_of(tree)
        return self._volume.items(self._tops[tree], first)


def named(data: bytes) -> Iterator[tuple[str, Key]]:
    """The names in a directory item with what they lead to."""
    at = 0
    while at + 30 <= len(data):
        key = struct.unpack_from("<QBQ", data, at)
        extra, length = struct.unpack_from("<HH", data, at + 25)
        if not length or at + 30 + length + extra > len(data):
            raise Damaged("a folder of the btrfs filesystem is damaged")
        yield name_of(data[at + 30 : at + 30 + length]), key
        at += 30 + length + extra


def trees(blocks: Blocks) -> list[Tree]:
    """All subvolumes: the one that is mounted by default, the top, then writable ones before snapshots, by number."""
    volume = Volume(blocks)
    default = _TOP
    for _, data in volume.roots((volume.default_folder, _FOLDER, 0), (volume.default_folder, _FOLDER, _LARGEST_KEY)):
        for name, key in named(data):
            if name == "default":
                default = key[0]
    read_only: dict[int, bool] = {}
    parents: dict[int, tuple[int, int, str]] = {}
    for (tree, kind, parent), data in volume.roots((_TOP, 0, 0), (_LARGEST_KEY - 256, 0, 0)):
        if kind == _ROOT and (tree == _TOP or tree >= _FIRST):
            read_only[tree] = bool(struct.unpack_from("<Q", data, 208)[0] & 1)
        elif kind == _ROOT_BACK:
            folder, length = struct.unpack_from("<Q8xH", data)
            parents[tree] = (parent, folder, name_of(data[18 : 18 + length]))
    if default not in read_only:
        raise Damaged("the btrfs filesystem has no subvolume to mount")
    order = sorted(read_only, key=lambda tree: (tree != default, tree != _TOP, read_only[tree], tree))
    found: list[Tree] = []
    for tree in order[:1000]:
        path = "" if tree == default else _path(volume, tree, parents)
        found.append(BtrfsTree(volume, tree, path))
    return found


def _path(volume: Volume, tree: int, parents: dict[int, tuple[int, int, str]]) -> str:
    """The path of a subvolume from the top of the filesystem."""
    parts: list[str] = []
    seen: set[int] = set()
    while tree in parents and tree not in seen:
        seen.add(tree)
        tree, folder, name = parents[tree]
        parts.append(name)
        for _ in range(100):
            if folder <= _FIRST:
                break
            for key, data in volume.items(volume.root_of(tree), (folder, _INODE_REF, 0)):
                (length,) = struct.unpack_from("<H", data, 8)
                parts.append(name_of(data[10 : 10 + length]))
                folder = key[2]
                break
            else:
                break
    return "/".join(reversed(parts)) or "/"
