"""GUID partition tables as bytes: moved to a disk of another size, with every entry kept as it is.

UEFI specification 2.10, section 5.3. Sectors have 512 bytes; the table has room for 128 entries of 128 bytes, as
every tool writes it, so that it takes 34 sectors at the start of the disk and 33 at its end.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass

SECTOR = 512
HEAD = 34 * SECTOR
"""Bytes of the protective MBR, the header and the entries."""
TAIL = 33 * SECTOR
"""Bytes of the copy: entries, then header."""

_ENTRIES = 128
_ENTRY = 128
_SIGNATURE = b"EFI PART"
_REVISION = 0x00010000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A partition: ``number`` counts from 1, ``first`` and ``last`` are sectors, ``raw`` its 128 bytes in the table."""

    number: int
    first: int
    last: int
    name: str
    raw: bytes

    @property
    def start(self) -> int:
        """Where it begins, in bytes."""
        return self.first * SECTOR

    @property
    def end(self) -> int:
        """Where it ends, in bytes: the first byte behind it."""
        return (self.last + 1) * SECTOR

    @property
    def label(self) -> str:
        """How a message names it."""
        return f"partition {self.number} ({self.name or 'without a name'}, sectors {self.first} to {self.last})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table apart from any disk: ``disk_id`` is the disk's GUID as stored, ``boot_record`` the first 446 bytes."""

    disk_id: bytes
    boot_record: bytes
    entries: tuple[Entry, ...]
    active: bool = False


def read(head: bytes, tail: bytes = b"") -> Table | None:
    """The table in the first :data:`HEAD` bytes of a disk, else the copy in its last :data:`TAIL` bytes, else None."""
    found = None
    if len(head) >= HEAD:
        found = _read(head[SECTOR : 2 * SECTOR], head[2 * SECTOR : HEAD])
    if found is None and len(tail) >= TAIL:
        found = _read(tail[-SECTOR:], tail[-TAIL:-SECTOR])
    if found is None:
        return None
    disk_id, entries = found
    return Table(disk_id=disk_id, boot_record=head[:446], entries=entries, active=head[446:447] == b"\x80")


def write(table: Table, size: int) -> tuple[bytes, bytes]:
    """The first :data:`HEAD` and the last :data:`TAIL` bytes of a disk of ``size`` bytes with that table.

    Raises ValueError if a partition does not fit.
    """
    sectors = size // SECTOR
    last_usable = sectors - 34
    area = bytearray(_ENTRIES * _ENTRY)
    for entry in table.entries:
        if not 34 <= entry.first <= entry.last <= last_usable:
            raise ValueError(f"{entry.label} does not fit on a disk of {sectors} sectors")
        area[(entry.number - 1) * _ENTRY : entry.number * _ENTRY] = entry.raw
    entries = bytes(area)
    head = _boot_record(table, sectors) + _header(table, entries, 1, sectors - 1, 2, last_usable) + entries
    tail = entries + _header(table, entries, sectors - 1, 1, sectors - 33, last_usable)
    return head, tail


def _read(header: bytes, entries: bytes) -> tuple[bytes, tuple[Entry, ...]] | None:
    if header[:8] != _SIGNATURE:
        return None
    length, checksum = struct.unpack_from("<II", header, 12)
    count, size, entries_checksum = struct.unpack_from("<III", header, 80)
    if length != 92 or count > _ENTRIES or size != _ENTRY:
        return None
    if zlib.crc32(header[:16] + bytes(4) + header[20:92]) != checksum:
        return None
    if zlib.crc32(entries[: count * size]) != entries_checksum:
        return None
    found = []
    for index in range(count):
        raw = entries[index * _ENTRY : (index + 1) * _ENTRY]
        first, last = struct.unpack_from("<QQ", raw, 32)
        if raw[:16] == bytes(16) or last < first:
            continue
        name = raw[56:].decode("utf-16-le", "replace").partition("\0")[0]
        found.append(Entry(number=index + 1, first=first, last=last, name=name, raw=raw))
    return header[56:72], tuple(found)


def _header(table: Table, entries: bytes, at: int, other: int, entries_at: int, last_usable: int) -> bytes:
    def packed(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            _SIGNATURE, _REVISION, 92, checksum, 0, at, other, 34, last_usable,
            table.disk_id, entries_at, _ENTRIES, _ENTRY, zlib.crc32(entries),
        )  # fmt: skip

    return packed(zlib.crc32(packed(0))).ljust(SECTOR, b"\0")


def _boot_record(table: Table, sectors: int) -> bytes:
    # Starts at cylinder 0, head 0, sector 2 and ends at the largest address that the form knows.
    flag = 0x80 if table.active else 0
    protective = struct.pack("<B3sB3sII", flag, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, min(sectors - 1, 2**32 - 1))
    return table.boot_record.ljust(446, b"\0")[:446] + protective + bytes(48) + b"\x55\xaa"


def type_of(entry: Entry) -> str:
    """The GUID of the entry's type, in lower case."""
    return str(uuid.UUID(bytes_le=entry.raw[:16]))
