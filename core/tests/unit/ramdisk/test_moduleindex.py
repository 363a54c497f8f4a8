"""Indexes of a part of the modules: depmod's own for all of them, and for a part what modprobe finds by them."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagewright.ramdisk.moduleindex import normal, subset, tree

TEXTS = {
    "modules.dep": "kernel/a-one.ko: kernel/b.ko\nkernel/b.ko:\nkernel/c.ko: kernel/b.ko\n",
    "modules.alias": "# comment\nalias pci:v0001* a_one\nalias a-b-c b\nalias fs-x[a-z] b\nalias pci:v0001* c\n",
    "modules.symbols": "alias symbol:one a_one\nalias symbol:two c\n",
}
NAMES = {"kernel/a-one.ko": "a_one", "kernel/b.ko": "b", "kernel/c.ko": "c"}


def entries(index: bytes) -> dict[str, list[tuple[int, str]]]:
    """What an index holds, read by the rules of libkmod."""
    magic, version, root = struct.unpack_from(">III", index)
    assert (magic, version) == (0xB007F457, 0x00020001)
    found: dict[str, list[tuple[int, str]]] = {}
    if root:
        walk(index, root, b"", found)
    return found


def text(index: bytes, at: int) -> tuple[bytes, int]:
    end = index.index(b"\0", at)
    return index[at:end], end + 1


def walk(index: bytes, offset: int, key: bytes, found: dict[str, list[tuple[int, str]]]) -> None:
    at = offset & 0x0FFFFFFF
    if offset & 0x80000000:
        prefix, at = text(index, at)
        key += prefix
    children = []
    if offset & 0x20000000:
        first, last = index[at], index[at + 1]
        at += 2
        for number in range(first, last + 1):
            (child,) = struct.unpack_from(">I", index, at)
            at += 4
            if child:
                children.append((bytes([number]), child))
    if offset & 0x40000000:
        (count,) = struct.unpack_from(">I", index, at)
        at += 4
        for _ in range(count):
            (priority,) = struct.unpack_from(">I", index, at)
            value, at = text(index, at + 4)
            found.setdefault(key.decode(), []).append((priority, value.decode()))
    for letter, child in children:
        walk(index, child, key + letter, found)


def test_a_part_holds_what_belongs_to_its_modules_and_nothing_else() -> None:
    written = subset(TEXTS, {"kernel/a-one.ko", "kernel/b.ko"}, NAMES)
    assert written["modules.dep"] == b"kernel/a-one.ko: kernel/b.ko\nkernel/b.ko:\n"
    assert entries(written["modules.dep.bin"]) == {
        "a_one": [(0, "kernel/a-one.ko: kernel/b.ko")],
        "b": [(1, "kernel/b.ko:")],
    }
    assert entries(written["modules.alias.bin"]) == {
        "a_b_c": [(1, "b")],
        "fs_x[a-z]": [(1, "b")],
        "pci:v0001*": [(0, "a_one")],
    }
    assert entries(written["modules.symbols.bin"]) == {"symbol:one": [(0, "a_one")]}
    assert b"symbol:two" not in written["modules.symbols"]


def test_modules_that_share_an_alias_are_in_the_order_of_all_modules() -> None:
    written = subset(TEXTS, set(NAMES), NAMES)
    assert entries(written["modules.alias.bin"])["pci:v0001*"] == [(0, "a_one"), (2, "c")]


@given(
    st.dictionaries(
        st.text("abc:*", min_size=1, max_size=6),
        st.lists(st.tuples(st.integers(0, 9), st.just("m")), min_size=1, max_size=3),
    )
)
def test_every_key_is_found_again(values: dict[str, list[tuple[int, str]]]) -> None:
    assert entries(tree(values)) == {key: sorted(found) for key, found in values.items()}


def test_dashes_in_brackets_are_ranges() -> None:
    assert normal("a-b[0-9]-c") == "a_b[0-9]_c"
    assert normal("plain") == "plain"


def test_it_is_what_depmod_writes(tmp_path: Path) -> None:
    depmod = shutil.which("depmod", path="/usr/sbin:/sbin:/usr/bin")
    if depmod is None:
        pytest.skip("kmod is not installed")
    folder = tmp_path / "lib/modules/1.0"
    for name, needs, aliases in (("a-one", "b", ["pci:v1*", "x-y"]), ("b", "", ["fs-b"]), ("cc", "b,a_one", [])):
        place = folder / f"kernel/{name}.ko"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(module(name, needs, aliases))
    subprocess.run([depmod, "-b", tmp_path, "1.0"], check=True, capture_output=True)
    texts = {name: (folder / name).read_text() for name in TEXTS}
    names = {
        line.partition(":")[0]: Path(line.partition(":")[0]).stem.replace("-", "_")
        for line in texts["modules.dep"].splitlines()
    }
    assert len(names) == 3
    for name, content in subset(texts, set(names), names).items():
        if name.endswith(".bin"):
            assert entries(content) == entries((folder / name).read_bytes()), name


def module(name: str, needs: str, aliases: list[str]) -> bytes:
    """A kernel module with nothing but its modinfo: an ELF file of 64 bits with two sections."""
    lines = [f"name={name.replace('-', '_')}", f"depends={needs}", *(f"alias={alias}" for alias in aliases)]
    info = b"".join(line.encode() + b"\0" for line in lines)
    names = b"\0.modinfo\0.shstrtab\0"
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    at = 64 + len(info) + len(names)
    head += struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, at, 0, 64, 0, 0, 64, 3, 2)
    sections = bytes(64)
    sections += struct.pack("<IIQQQQIIQQ", 1, 1, 2, 0, 64, len(info), 0, 0, 1, 0)
    sections += struct.pack("<IIQQQQIIQQ", 10, 3, 0, 0, 64 + len(info), len(names), 0, 0, 1, 0)
    return head + info + names + sections
