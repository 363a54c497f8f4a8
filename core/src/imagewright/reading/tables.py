"""Partition tables: GPT with its copy (UEFI specification 2.10, section 5.3), and MBR with logical partitions."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from imagewright.reading.blocks import Blocks
from imagewright.reading.errors import Damaged
from imagewright.reading.identifiers import guid_of

_EXTENDED = (0x05, 0x0F, 0x85)
_PROTECTIVE = 0xEE
_SECTORS = (512, 4096)


class Partition(NamedTuple):
    """A partition: ``number`` as the kernel counts, ``offset`` and ``size`` in bytes.

    ``type`` is a GUID (GPT) or two hexadecimal digits (MBR); ``uuid`` is what PARTUUID= names.
    """

    number: int
    offset: int
    size: int
    type: str
    uuid: str = ""
    name: str = ""


def gpt(blocks: Blocks) -> tuple[Partition, ...] | None:
    """The partitions of a GPT; None if there is none. Raises Damaged if there is one and both of its copies are bad."""
    begun = False
    for sector in _SECTORS:
        if blocks.size < 6 * sector:
            continue
        for at in (sector, blocks.size // sector * sector - sector):
            header = blocks.read(at, 92)
            if header[:8] != b"EFI PART":
                continue
            begun = True
            found = _gpt(blocks, header, sector)
            if found is not None:
                return found
    if begun:
        raise Damaged("the partition table (GPT) and its copy are damaged")
    return None


def _gpt(blocks: Blocks, header: bytes, sector: int) -> tuple[Partition, ...] | None:
    length, checksum = struct.unpack_from("<II", header, 12)
    entries_at, count, size, entries_checksum = struct.unpack_from("<QIII", header, 72)
    if length != 92 or not 128 <= size <= 4096 or not 1 <= count <= 4096:
        return None
    if zlib.crc32(header[:16] + bytes(4) + header[20:]) != checksum:
        return None
    if (entries_at * sector) + count * size > blocks.size:
        return None
    entries = blocks.read(entries_at * sector, count * size)
    if zlib.crc32(entries) != entries_checksum:
        return None
    found = []
    for index in range(count):
        entry = entries[index * size : index * size + 128]
        kind, own, first, last = struct.unpack_from("<16s16sQQ", entry)
        if kind == bytes(16) or last < first:
            continue
        found.append(
            Partition(
                number=index + 1,
                offset=first * sector,
                size=(last - first + 1) * sector,
                type=guid_of(kind),
                uuid=guid_of(own),
                name=entry[56:128].decode("utf-16-le", "replace").partition("\0")[0],
            )
        )
    return tuple(found)


def mbr(blocks: Blocks) -> tuple[Partition, ...] | None:
    """The partitions of an MBR, logical ones from number 5 on; None if there is none. Raises Damaged."""
    if blocks.size < 1024:
        return None
    first = blocks.read(0, 512)
    if first[510:] != b"\x55\xaa":
        return None
    identity = struct.unpack_from("<I", first, 440)[0]
    found: list[Partition] = []
    chain: list[int] = []
    for number, (status, kind, start, count) in enumerate(_entries(first), 1):
        if status & 0x7F:
            return None  # boot code of something else that ends in the same two bytes
        if not kind or not count or kind == _PROTECTIVE:
            continue
        if kind in _EXTENDED:
            chain.append(start)
        else:
            found.append(_mbr_partition(number, start, count, kind, identity))
    number = 5
    for extended in chain:
        seen: set[int] = set()
        at = extended
        while at:
            if at in seen or len(seen) > 128 or at * 512 + 512 > blocks.size:
                raise Damaged("the chain of logical partitions (MBR) is damaged")
            seen.add(at)
            sector = blocks.read(at * 512, 512)
            if sector[510:] != b"\x55\xaa":
                raise Damaged("the chain of logical partitions (MBR) is damaged")
            (_, kind, start, count), (_, next_kind, next_start, _), *_ = _entries(sector)
            if kind and count:
                found.append(_mbr_partition(number, at + start, count, kind, identity))
                number += 1
            at = extended + next_start if next_kind in _EXTENDED else 0
    return tuple(found) or None


def _entries(sector: bytes) -> list[tuple[int, int, int, int]]:
    entries = []
    for at in range(446, 510, 16):
        status, kind, start, count = struct.unpack_from("<B3xB3xII", sector, at)
        entries.append((status, kind, start, count))
    return entries


def _mbr_partition(number: int, start: int, count: int, kind: int, identity: int) -> Partition:
    return Partition(
        number=number,
        offset=start * 512,
        size=count * 512,
        type=f"{kind:02x}",
        uuid=f"{identity:08x}-{number:02x}" if identity else "",
    )
