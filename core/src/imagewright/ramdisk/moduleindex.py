"""The indexes that depmod(8) writes, for a part of the modules, so that nothing looks for a module that is not there.

libkmod reads the ``.bin`` files only: a radix tree, written children first (its ``libkmod-index.c`` has the format).
The same modules give the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence

_MAGIC, _VERSION = 0xB007F457, 0x00020001
_PREFIX, _VALUES, _CHILDREN = 0x80000000, 0x40000000, 0x20000000

Entry = tuple[bytes, Sequence[tuple[int, bytes]]]
"""A key with its values, each with its priority: the place of its module among all."""


def subset(texts: Mapping[str, str], files: Collection[str], names: Mapping[str, str]) -> dict[str, bytes]:
    """The indexes for the module files in ``files``, by the name of the index.

    ``texts`` holds depmod's modules.dep, and modules.alias and modules.symbols if they are there; ``names`` maps every
    file of modules.dep to its module's name.
    """
    places = {name: place for place, name in enumerate(names.values())}
    chosen = {names[file] for file in files if file in names}
    lines = [line for line in texts["modules.dep"].splitlines() if line.partition(":")[0] in files]
    needs = {names[line.partition(":")[0]]: line for line in lines}
    written = {
        "modules.dep": _text(lines),
        "modules.dep.bin": tree({name: [(places[name], line)] for name, line in needs.items()}),
    }
    for index in ("modules.alias", "modules.symbols"):
        if index not in texts:
            continue
        kept: list[str] = []
        values: dict[str, list[tuple[int, str]]] = {}
        for line in texts[index].splitlines():
            head, _, module = line.rpartition(" ")
            if module in chosen and head.startswith("alias "):
                kept.append(line)
                values.setdefault(normal(head.removeprefix("alias ")), []).append((places[module], module))
        written[index] = _text(kept)
        written[f"{index}.bin"] = tree(values)
    return written


def normal(alias: str) -> str:
    """An alias as libkmod looks it up: ``-`` is ``_``, but for what is in brackets."""
    if "-" not in alias:
        return alias
    if "[" not in alias:
        return alias.replace("-", "_")
    made, inside = [], False
    for character in alias:
        inside = (inside or character == "[") and character != "]"
        made.append("_" if character == "-" and not inside else character)
    return "".join(made)


def tree(values: Mapping[str, Sequence[tuple[int, str]]]) -> bytes:
    """The ``.bin`` form of an index: every key with its values, the lowest priority first."""
    entries: list[Entry] = [
        (key.encode(), sorted((priority, value.encode()) for priority, value in found))
        for key, found in sorted(values.items(), key=lambda item: item[0].encode())
    ]
    made = bytearray(struct.pack(">III", _MAGIC, _VERSION, 0))
    # the root never has a prefix of its own
    root = _node(made, entries, 0, 0) if entries else 0
    struct.pack_into(">I", made, 8, root)
    return bytes(made)


def _node(made: bytearray, entries: Sequence[Entry], depth: int, end: int) -> int:
    """Write the node of sorted keys that agree up to ``end``; its prefix begins at ``depth``. Return where it is."""
    key, values = entries[0]
    own = values if len(key) == end else ()
    offsets: dict[int, int] = {}
    at = 1 if own else 0
    while at < len(entries):
        first, start = entries[at][0][end], at
        while at < len(entries) and entries[at][0][end] == first:
            at += 1
        below = entries[start:at]
        offsets[first] = _node(made, below, end + 1, _agreed(below, end + 1))
    place, flags = len(made), 0
    if end > depth:
        made += key[depth:end] + b"\0"
        flags |= _PREFIX
    if offsets:
        first, last = min(offsets), max(offsets)
        places = [offsets.get(number, 0) for number in range(first, last + 1)]
        made += struct.pack(f">BB{len(places)}I", first, last, *places)
        flags |= _CHILDREN
    if own:
        made += struct.pack(">I", len(own))
        for priority, value in own:
            made += struct.pack(">I", priority) + value + b"\0"
        flags |= _VALUES
    return place | flags


def _agreed(entries: Sequence[Entry], at: int) -> int:
    """How far sorted keys agree, which they do up to ``at``: as far as the first and the last do."""
    first, last = entries[0][0], entries[-1][0]
    if len(entries) == 1:
        return len(first)
    shorter = min(len(first), len(last))
    while at < shorter and first[at] == last[at]:
        at += 1
    return at


def _text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
