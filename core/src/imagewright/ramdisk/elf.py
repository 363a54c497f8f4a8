"""What an ELF file needs in order to run, read from its program headers (elf(5)).

A reader of our own: it reads a hundredth of what a general one does, and a ramdisk has hundreds of such files.
Libraries that are opened at run time are named in notes (https://uapi-group.org/specifications/specs/elf_dlopen_metadata).
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MAGIC = b"\x7fELF"
_LOAD, _DYNAMIC, _INTERPRETER, _NOTE = 1, 2, 3, 4
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29
_DLOPEN_NOTE = 0x407C0C0A
_LONGEST = 1 << 24
"""Bytes that no segment read here has: more is damage."""


class NotElf(ValueError):
    """The file begins like an ELF file and is none that can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """``machine`` and ``bits`` must agree between a program and its libraries.

    ``runpath`` serves this file's libraries only; ``rpath`` those of its libraries too, and counts if there is no
    runpath. ``opened`` holds, for each library that is opened at run time and that the file needs or recommends, the
    names of which the first one found will do.
    """

    machine: int
    bits: int
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    opened: tuple[tuple[str, ...], ...] = ()


def read_elf(place: str) -> Elf | None:
    """Read a file; None if it is no ELF file. Raises OSError, and NotElf for one that is damaged."""
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(descriptor, 64, 0)
        if head[:4] != _MAGIC:
            return None
        try:
            return _read(descriptor, head)
        except (struct.error, ValueError, StopIteration, OverflowError, OSError) as error:
            raise NotElf(f"the ELF file {place} is damaged") from error
    finally:
        os.close(descriptor)


def _read(descriptor: int, head: bytes) -> Elf:
    wide = head[4] == 2
    order = ">" if head[5] == 2 else "<"
    (machine,) = struct.unpack_from(order + "H", head, 18)
    if wide:
        (table,) = struct.unpack_from(order + "Q", head, 32)
        size, count = struct.unpack_from(order + "HH", head, 54)
    else:
        (table,) = struct.unpack_from(order + "I", head, 28)
        size, count = struct.unpack_from(order + "HH", head, 42)
    headers = _piece(descriptor, table, size * count)
    loads: list[tuple[int, int, int]] = []  # address, offset, size
    dynamic = interpreter = b""
    notes: list[bytes] = []
    for number in range(count):
        if wide:
            kind, _, offset, address, _, length = struct.unpack_from(order + "IIQQQQ", headers, number * size)
        else:
            kind, offset, address, _, length = struct.unpack_from(order + "IIIII", headers, number * size)
        if kind == _LOAD:
            loads.append((address, offset, length))
        elif kind == _DYNAMIC:
            dynamic = _piece(descriptor, offset, length)
        elif kind == _INTERPRETER:
            interpreter = _piece(descriptor, offset, length)
        elif kind == _NOTE:
            notes.append(_piece(descriptor, offset, length))
    needed, rpath, runpath = _tags(descriptor, dynamic, loads, order + ("QQ" if wide else "II"))
    return Elf(
        machine=machine,
        bits=64 if wide else 32,
        interpreter=interpreter.rstrip(b"\0").decode(),
        needed=tuple(needed),
        rpath=tuple(rpath),
        runpath=tuple(runpath),
        opened=tuple(names for note in notes for names in _opened(note, order)),
    )


def _tags(
    descriptor: int, dynamic: bytes, loads: list[tuple[int, int, int]], form: str
) -> tuple[list[str], list[str], list[str]]:
    needed: list[str] = []
    rpath: list[str] = []
    runpath: list[str] = []
    size = struct.calcsize(form)
    tags: list[tuple[int, int]] = list(struct.iter_unpack(form, dynamic[: len(dynamic) // size * size]))
    wanted = [(tag, value) for tag, value in tags if tag in (_NEEDED, _RPATH, _RUNPATH)]
    if not wanted:
        return needed, rpath, runpath
    strings = next(value for tag, value in tags if tag == _STRINGS)
    where = next(
        offset + strings - address for address, offset, length in loads if address <= strings < address + length
    )
    for tag, value in wanted:
        text = _string(descriptor, where + value)
        if tag == _NEEDED:
            needed.append(text)
        else:
            (rpath if tag == _RPATH else runpath).extend(part for part in text.split(":") if part)
    return needed, rpath, runpath


def _string(descriptor: int, offset: int) -> str:
    data = b""
    while b"\0" not in data:
        more = os.pread(descriptor, 256, offset + len(data))
        if not more or len(data) > 1 << 16:
            raise ValueError("a string without an end")
        data += more
    return data[: data.index(b"\0")].decode()


def _piece(descriptor: int, offset: int, length: int) -> bytes:
    if length > _LONGEST:
        raise ValueError("a segment that is too long")
    return os.pread(descriptor, length, offset)


def _opened(note: bytes, order: str) -> Iterator[tuple[str, ...]]:
    at = 0
    while at + 12 <= len(note):
        names, length, kind = struct.unpack_from(order + "III", note, at)
        at += 12
        owner = note[at : at + names].rstrip(b"\0")
        at += (names + 3) & ~3
        content = note[at : at + length]
        at += (length + 3) & ~3
        if kind != _DLOPEN_NOTE or owner != b"FDO":
            continue
        for one in json.loads(content.rstrip(b"\0")):
            if one.get("priority", "recommended") != "suggested":
                yield tuple(one["soname"])
