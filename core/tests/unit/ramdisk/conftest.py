"""ELF files of a few hundred bytes, for the rules of the loader."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

import pytest

Elf = Callable[..., bytes]


@pytest.fixture
def elf() -> Elf:
    """Makes an ELF file with these needs."""
    return made


def made(
    *,
    needed: tuple[str, ...] = (),
    runpath: str = "",
    rpath: str = "",
    interpreter: str = "",
    opened: tuple[str, ...] = (),
    machine: int = 62,
) -> bytes:
    strings = b"\0"
    tags: list[tuple[int, int]] = []
    for tag, text in [*((1, name) for name in needed), (29, runpath), (15, rpath)]:
        if text:
            tags.append((tag, len(strings)))
            strings += text.encode() + b"\0"
    notes = b""
    if opened:
        text = json.dumps([{"priority": "required", "soname": list(opened)}]).encode() + b"\0"
        notes = struct.pack("<III", 4, len(text), 0x407C0C0A) + b"FDO\0" + text + bytes(-len(text) % 4)
    count = 2 + bool(interpreter) + bool(notes)
    start = 64 + 56 * count
    dynamic_size = 16 * (len(tags) + 3)
    parts = start + dynamic_size
    tags = [*tags, (5, parts), (10, len(strings)), (0, 0)]
    body = b"".join(struct.pack("<QQ", *tag) for tag in tags) + strings
    at = parts + len(strings)
    total = at + len(interpreter) + 1 + len(notes)
    headers = [(1, 0, total), (2, start, dynamic_size)]
    if interpreter:
        headers.append((3, at, len(interpreter) + 1))
        body += interpreter.encode() + b"\0"
        at += len(interpreter) + 1
    if notes:
        headers.append((4, at, len(notes)))
        body += notes
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    for kind, offset, size in headers:
        head += struct.pack("<IIQQQQQQ", kind, 4, offset, offset, offset, size, size, 1)
    return head + body
