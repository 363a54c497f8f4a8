"""The archive is what cpio(5) says: other programs read it, and the same members give the same bytes."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from imagewright.ramdisk.archive import Member, compressed_apart, write_archive
from imagewright.ramdisk.compression import compressing
from imagewright.testing.ramdisks import unpacked


def members(source: Path) -> list[Member]:
    return [
        Member(path="dev", kind="folder", mode=0o755),
        Member(path="dev/console", kind="device", mode=0o600, device=(5, 1)),
        Member(path="etc", kind="folder", mode=0o1777),
        Member(path="etc/name", content="Grüße\n".encode()),
        Member(path="etc/odd", content=b"abc", mode=0o4755),
        Member(path="etc/source", source=str(source)),
        Member(path="link", kind="link", mode=0o777, target="etc/ünicode"),
    ]


def test_what_is_read_back_is_what_was_written(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 4097)
    made = bytearray()
    size = write_archive(members(source), made.extend, moment=1_700_000_000)
    assert size == len(made)
    assert size % 512 == 0
    nodes = {node.path: node for node in unpacked(bytes(made))}
    assert list(nodes) == [member.path for member in members(source)]
    assert nodes["etc/source"].content == b"x" * 4097
    assert nodes["etc/odd"].mode == stat.S_IFREG | 0o4755
    assert (nodes["dev/console"].mode, nodes["dev/console"].device) == (stat.S_IFCHR | 0o600, (5, 1))
    assert nodes["link"].target == "etc/ünicode"
    assert {(node.uid, node.gid, node.moment) for node in nodes.values()} == {(0, 0, 1_700_000_000)}


def test_another_program_unpacks_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("a source\n")
    made = bytearray()
    write_archive([member for member in members(source) if member.kind != "device"], made.extend, moment=1)
    folder = tmp_path / "unpacked"
    folder.mkdir()
    subprocess.run(["busybox", "cpio", "-idm"], input=bytes(made), cwd=folder, capture_output=True, check=True)
    assert (folder / "etc/name").read_text() == "Grüße\n"
    assert (folder / "etc/source").read_text() == "a source\n"
    assert (folder / "link").readlink() == Path("etc/ünicode")
    assert stat.S_IMODE((folder / "etc/odd").stat().st_mode) & 0o777 == 0o755


@pytest.mark.parametrize("broken", [b"", b"070701" + b"z" * 104, b"not an archive" * 20])
def test_the_reader_of_the_tests_takes_nothing_broken(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"no header|invalid literal"):
        list(unpacked(broken))


DIVIDED = [
    Member(path="etc", kind="folder"),
    Member(path="etc/keys.gz", kind="link", target="elsewhere"),
    Member(path="usr", kind="folder"),
    Member(path="usr/bin", kind="folder"),
    Member(path="usr/bin/tool", content=b"tool" * 1000),
    Member(path="usr/lib", kind="folder"),
    Member(path="usr/lib/firmware", kind="folder"),
    Member(path="usr/lib/firmware/card.bin.xz", content=b"firmware"),
    Member(path="usr/lib/m.ko.zst", late=lambda: b"module"),
]


def test_what_is_compressed_already_comes_first_with_the_folders_above_it() -> None:
    first, others = compressed_apart(iter(DIVIDED))
    names = ["usr", "usr/lib", "usr/lib/firmware", "usr/lib/firmware/card.bin.xz", "usr/lib/m.ko.zst"]
    assert [member.path for member in first] == names
    assert [member.path for member in others] == ["etc", "etc/keys.gz", "usr/bin", "usr/bin/tool"]
    assert compressed_apart([DIVIDED[0]]) == ([], [DIVIDED[0]])


@pytest.mark.parametrize("method", ["zstd", "gzip", "lz4", "xz"])
def test_a_plain_archive_before_a_compressed_one_is_one_tree(method: str) -> None:
    made = bytearray()
    first, others = compressed_apart(DIVIDED)
    write_archive(first, made.extend, moment=1)
    with compressing(method, made.extend) as write:
        write_archive(others, write, moment=1)
    nodes = {node.path: node.content for node in unpacked(bytes(made))}
    assert sorted(nodes) == sorted(member.path for member in DIVIDED)
    assert nodes["usr/lib/m.ko.zst"] == b"module"
    assert bytes(made).count(b"firmware") == 3  # of the folder, the file, and its content


def test_a_file_below_a_link_stays_with_the_link() -> None:
    members = [
        Member(path="a", kind="folder"),
        Member(path="a/real", kind="folder"),
        Member(path="a/real/one.xz", content=b"1"),
        Member(path="b", kind="link", target="a/real"),
        Member(path="b/two.xz", content=b"2"),
    ]
    first, others = compressed_apart(members)
    assert [member.path for member in first] == ["a", "a/real", "a/real/one.xz"]
    assert [member.path for member in others] == ["b", "b/two.xz"]


@pytest.mark.parametrize("method", ["zstd", "gzip", "lz4", "xz"])
def test_what_the_kernel_would_not_find_is_no_archive(method: str) -> None:
    made = bytearray()
    write_archive(DIVIDED, made.extend, moment=1)
    with pytest.raises(ValueError, match="begins at byte"):
        list(unpacked(bytes(made) + b"\0" + bytes(made)))
    packed = bytearray()
    with compressing(method, packed.extend) as write:
        write_archive(DIVIDED, write, moment=1)
        write(b"rest")
    with pytest.raises(ValueError, match="something follows"):
        list(unpacked(bytes(packed)))
    early = bytearray()
    write_archive(DIVIDED[1:], early.extend, moment=1)
    with pytest.raises(ValueError, match="comes before what it lies in"):
        list(unpacked(bytes(early)))
