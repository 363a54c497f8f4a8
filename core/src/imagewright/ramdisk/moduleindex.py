"""The indexes that depmod(8) writes, for a part of the modules, so that nothing looks for a module that is not there.

libkmod reads the ``.bin`` files only: a radix tree, written children first (its ``libkmod-index.c`` has the format).
The same modules give the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence

_MAGIC, _VERSION = 0xB007F457, 0x00020001
_PREFIX, _VALUES, _CHILDREN = 0x80000000, 0x40000000, 0x20000000


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
        # of tens of thousands of lines a part is wanted: only that is looked at closely
        named = (line for line in texts[index].splitlines() if line[line.rfind(" ") + 1 :] in chosen)
        kept = [line for line in named if line.startswith("alias ")]
        values: dict[str, list[tuple[int, str]]] = {}
        for line in kept:
            alias, _, module = line.removeprefix("alias ").rpartition(" ")
            values.setdefault(normal(alias), []).append((places[module], module))
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
    keys = sorted((name.encode(), name) for name in values)
    made = bytearray(struct.pack(">III", _MAGIC, _VERSION, 0))
    if not keys:
        return bytes(made)
    # nodes that have children and may get more, from the root to the key before; the root has no prefix of its own
    nodes = [_Node(0)]
    before = 0
    for (key, name), (following, _name) in zip(keys, [*keys[1:], (b"", "")], strict=True):
        after = _agreed(key, following)
        own = _held(values[name])
        if after == len(key):
            if nodes[-1].end < after:
                nodes.append(_Node(after))
            nodes[-1].own = own
        else:
            # most keys are leaves, which are written at once
            branch = max(before, after)
            if nodes[-1].end < branch:
                nodes.append(_Node(branch))
            prefix = key[branch + 1 :]
            nodes[-1].children.append((key[branch], len(made) | _VALUES | (_PREFIX if prefix else 0)))
            made += prefix + b"\0" + own if prefix else own
        while nodes[-1].end > after:
            node = nodes.pop()
            if nodes[-1].end < after:
                nodes.append(_Node(after))
            end = nodes[-1].end
            nodes[-1].children.append((key[end], node.written(made, key[end + 1 : node.end])))
        before = after
    struct.pack_into(">I", made, 8, nodes.pop().written(made, b""))
    return bytes(made)


class _Node:
    """A node with children while keys come in order; ``end`` is the length of what all agree in that go through it."""

    __slots__ = ("children", "end", "own")

    def __init__(self, end: int) -> None:
        self.end = end
        self.own = b""
        self.children: list[tuple[int, int]] = []

    def written(self, made: bytearray, prefix: bytes) -> int:
        """Write the node, whose children are written; where it is, with what it has."""
        place, flags = len(made), 0
        if prefix:
            made += prefix + b"\0"
            flags |= _PREFIX
        if self.children:
            first, last = self.children[0][0], self.children[-1][0]
            places = [0] * (last - first + 1)
            for letter, child in self.children:
                places[letter - first] = child
            made += struct.pack(f">BB{len(places)}I", first, last, *places)
            flags |= _CHILDREN
        if self.own:
            made += self.own
            flags |= _VALUES
        return place | flags


def _held(values: Sequence[tuple[int, str]]) -> bytes:
    """The values of a key, counted."""
    made = len(values).to_bytes(4, "big")
    for priority, value in sorted(values) if len(values) > 1 else values:
        made += b"%b%b\0" % (priority.to_bytes(4, "big"), value.encode())
    return made


def _agreed(one: bytes, other: bytes) -> int:
    """In how many bytes two keys agree from their beginning."""
    shorter = min(len(one), len(other))
    difference = int.from_bytes(one[:shorter], "big") ^ int.from_bytes(other[:shorter], "big")
    return shorter - (difference.bit_length() + 7) // 8


def _text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
