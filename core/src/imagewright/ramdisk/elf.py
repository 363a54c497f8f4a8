"""What an ELF file needs in order to run, read from its program headers (elf(5)).

A reader of our own: it reads a hundredth of what a general one does, and a ramdisk has hundreds of such files.
Libraries that are opened at run time are named in notes (https://uapi-group.org/specifications/specs/elf_dlopen_metadata).
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

_MAGIC = b"\x7fELF"
_LOAD, _DYNAMIC, _INTERPRETER, _NOTE = 1, 2, 3, 4
_NEEDED, _STRINGS, _STRINGS_SIZE, _RPATH, _RUNPATH = 1, 5, 10, 15, 29
_VERSIONS_DEFINED, _VERSIONS_NEEDED = 0x6FFFFFFC, 0x6FFFFFFE
_DLOPEN_NOTE = 0x407C0C0A
_LONGEST = 1 << 24
"""Bytes that no segment read here has: more is damage."""


_LONGEST_CHAIN = 1 << 18

_DAMAGE = (struct.error, ValueError, OverflowError, OSError, TypeError, KeyError, AttributeError)
"""What reading a damaged file may raise."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The symbol versions of a file (the LSB's "Symbol Versioning"): ``needs`` by library, and what it ``defines``."""

    needs: Mapping[str, frozenset[str]]
    defines: frozenset[str]


def read_elf(place: str) -> Elf | None:
    """Read a file; None if it is no ELF file. Raises OSError, and NotElf for one that is damaged."""
    with _opened(place) as file:
        return file.elf() if file is not None else None


def read_versions(place: str) -> Versions:
    """Read the symbol versions of a file; none if it is no ELF file. Raises OSError and NotElf."""
    with _opened(place) as file:
        return file.versions() if file is not None else Versions(needs={}, defines=frozenset())


@contextmanager
def _opened(place: str) -> Iterator[_File | None]:
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(descriptor, 64, 0)
        if head[:4] != _MAGIC:
            yield None
            return
        try:
            yield _File(descriptor, head)
        except _DAMAGE as error:
            raise NotElf(f"the ELF file {place} is damaged") from error
    finally:
        os.close(descriptor)


class _File:
    """An open ELF file with its program headers. Damage shows as one of the errors in _DAMAGE."""

    def __init__(self, descriptor: int, head: bytes) -> None:
        self._descriptor = descriptor
        wide = head[4] == 2
        self._order = order = ">" if head[5] == 2 else "<"
        self._bits = 64 if wide else 32
        (self._machine,) = struct.unpack_from(order + "H", head, 18)
        (table,) = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)
        size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
        headers = self._piece(table, size * count)
        self._loads: list[tuple[int, int, int]] = []  # address, offset, size
        self._interpreter = ""
        self._notes: list[bytes] = []
        dynamic = b""
        for number in range(count):
            if wide:
                kind, _, offset, address, _, length = struct.unpack_from(order + "IIQQQQ", headers, number * size)
            else:
                kind, offset, address, _, length = struct.unpack_from(order + "IIIII", headers, number * size)
            if kind == _LOAD:
                self._loads.append((address, offset, length))
            elif kind == _DYNAMIC:
                dynamic = self._piece(offset, length)
            elif kind == _INTERPRETER:
                self._interpreter = self._piece(offset, length).rstrip(b"\0").decode()
            elif kind == _NOTE:
                self._notes.append(self._piece(offset, length))
        form = order + ("QQ" if wide else "II")
        whole = len(dynamic) // struct.calcsize(form) * struct.calcsize(form)
        self._tags: list[tuple[int, int]] = list(struct.iter_unpack(form, dynamic[:whole]))
        self._strings = self._string_table()

    def elf(self) -> Elf:
        """What the file needs in order to run."""
        return Elf(
            machine=self._machine,
            bits=self._bits,
            interpreter=self._interpreter,
            needed=tuple(self._string(value) for tag, value in self._tags if tag == _NEEDED),
            rpath=self._path(_RPATH),
            runpath=self._path(_RUNPATH),
            opened=tuple(names for note in self._notes for names in _libraries_opened(note, self._order)),
        )

    def versions(self) -> Versions:
        """The symbol versions that it needs and defines."""
        needs: dict[str, frozenset[str]] = {}
        for data, at in self._chain(_VERSIONS_NEEDED, 12):
            _, count, library, first, _ = struct.unpack_from(self._order + "HHIII", data, at)
            names, at = set(), at + first
            for _ in range(count):
                _, flags, _, name, following = struct.unpack_from(self._order + "IHHII", data, at)
                # a weak one may be missing
                if not flags & 2:
                    names.add(self._string(name))
                at += following
            needs[self._string(library)] = frozenset(names)
        defines = set()
        for data, at in self._chain(_VERSIONS_DEFINED, 16):
            (first,) = struct.unpack_from(self._order + "I", data, at + 12)
            (name,) = struct.unpack_from(self._order + "I", data, at + first)
            defines.add(self._string(name))
        return Versions(needs=needs, defines=frozenset(defines))

    def _chain(self, tag: int, following: int) -> Iterator[tuple[bytes, int]]:
        """The records of a list in which each names the distance to the next, at the offset ``following``."""
        start = next((value for one, value in self._tags if one == tag), None)
        if start is None:
            return
        data, at = self._piece(self._offset(start), _LONGEST_CHAIN), 0
        while True:
            yield data, at
            (distance,) = struct.unpack_from(self._order + "I", data, at + following)
            if not distance:
                return
            at += distance

    def _path(self, tag: int) -> tuple[str, ...]:
        texts = (self._string(value) for one, value in self._tags if one == tag)
        return tuple(part for text in texts for part in text.split(":") if part)

    def _string_table(self) -> bytes:
        start = next((value for tag, value in self._tags if tag == _STRINGS), None)
        size = next((value for tag, value in self._tags if tag == _STRINGS_SIZE), 0)
        return self._piece(self._offset(start), size) if start is not None else b""

    def _string(self, at: int) -> str:
        return self._strings[at : self._strings.index(b"\0", at)].decode()

    def _offset(self, address: int) -> int:
        for start, offset, size in self._loads:
            if start <= address < start + size:
                return offset + address - start
        raise ValueError("an address in no segment")

    def _piece(self, offset: int, length: int) -> bytes:
        if length > _LONGEST:
            raise ValueError("a segment that is too long")
        return os.pread(self._descriptor, length, offset)


def _libraries_opened(note: bytes, order: str) -> Iterator[tuple[str, ...]]:
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
