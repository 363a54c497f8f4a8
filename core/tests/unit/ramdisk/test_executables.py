"""Executables come with what they need, and the layout is that of a merged ``/usr``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.errors import StepFailed
from imagewright.ramdisk.archive import Member
from imagewright.ramdisk.contents import Contents
from imagewright.ramdisk.executables import Executables, Source, Wanted
from imagewright.ramdisk.roots import Root
from imagewright.ramdisk.staging import stage_host

Elf = Callable[..., bytes]


def write(root: Path, path: str, content: bytes, mode: int = 0o755) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    place.chmod(mode)


def put(root: Path, *names: str, contents: Contents | None = None) -> dict[str, Member]:
    contents = contents or Contents()
    executables = Executables(contents, [Source(root=Root(str(root), "tree"))])
    for name in names:
        assert executables.put(Wanted(name=name, asked=("who",)))
    return {one.member.path: one.member for one in contents.finished()}


def test_a_root_without_a_merged_usr_becomes_one(tmp_path: Path, elf: Elf) -> None:
    write(tmp_path, "bin/tool", elf(needed=("libone.so.1",)))
    write(tmp_path, "lib/libone.so.1.2", elf())
    (tmp_path / "lib/libone.so.1").symlink_to("libone.so.1.2")
    (tmp_path / "bin/alias").symlink_to("../usr/bin/real")
    write(tmp_path, "usr/bin/real", b"#!/bin/tool\n")
    members = put(tmp_path, "tool", "alias")
    assert members["bin"].target == "usr/bin"
    assert members["usr/bin/tool"].kind == "file"
    assert members["usr/lib/libone.so.1.2"].kind == "file"
    assert members["usr/lib/libone.so.1"].kind == "link"
    assert members["usr/bin/alias"].target == "/usr/bin/real"
    assert members["usr/bin/real"].kind == "file"
    # every folder stands before what is in it
    paths = list(members)
    assert all(path.rpartition("/")[0] in ("", *paths[:at]) for at, path in enumerate(paths))


def test_an_absolute_path_may_be_a_folder_or_a_plain_file(tmp_path: Path, elf: Elf) -> None:
    write(tmp_path, "usr/share/data/one", b"1", 0o600)
    write(tmp_path, "usr/share/data/deep/libplugin.so", elf(needed=("libone.so.1",)), 0o644)
    write(tmp_path, "usr/lib/libone.so.1", elf())
    members = put(tmp_path, "/usr/share/data")
    assert {"usr/share/data/one", "usr/share/data/deep/libplugin.so", "usr/lib/libone.so.1"} <= set(members)
    assert members["usr/share/data/one"].mode == 0o600


def test_scripts_bring_their_interpreter_and_env_what_it_starts(tmp_path: Path, elf: Elf) -> None:
    write(tmp_path, "usr/bin/one", b"#!/usr/bin/perl -w\n")
    write(tmp_path, "usr/bin/two", b"#!/usr/bin/env -S python3 -u\n")
    for name in ("perl", "env", "python3"):
        write(tmp_path, f"usr/bin/{name}", elf())
    assert {"usr/bin/perl", "usr/bin/env", "usr/bin/python3"} <= set(put(tmp_path, "one", "two"))
    write(tmp_path, "usr/bin/three", b"#!/usr/bin/ruby\n")
    with pytest.raises(StepFailed, match="the interpreter /usr/bin/ruby is missing") as caught:
        put(tmp_path, "three")
    assert "asked for by: who" in caught.value.where


def test_a_missing_library_names_who_asked_for_the_program(tmp_path: Path, elf: Elf) -> None:
    write(tmp_path, "usr/bin/tool", elf(needed=("libgone.so.1",)))
    with pytest.raises(StepFailed, match="libgone") as caught:
        put(tmp_path, "tool")
    assert caught.value.where == ("asked for by: who (tool)",)


def test_links_to_busybox_give_way_to_a_program_of_that_name_wherever_it_is(tmp_path: Path, elf: Elf) -> None:
    contents = Contents()
    for path in ("usr/bin/wget", "sbin/modprobe", "bin/sh"):
        contents.put_applet(path)
    write(tmp_path, "usr/sbin/wget", elf())
    write(tmp_path, "usr/sbin/modprobe", elf())
    members = put(tmp_path, "wget", "modprobe", contents=contents)
    assert "usr/bin/wget" not in members
    assert (members["usr/sbin/wget"].kind, members["usr/sbin/modprobe"].kind) == ("file", "file")
    assert members["usr/bin/sh"].target == "/usr/bin/busybox"


def test_a_name_that_is_no_executable_is_not_found(tmp_path: Path) -> None:
    write(tmp_path, "usr/bin/tool", b"data", 0o644)
    assert not Executables(Contents(), [Source(root=Root(str(tmp_path), "tree"))]).put(
        Wanted(name="tool", asked=("a",))
    )


def test_what_is_copied_from_this_machine_is_a_root_in_itself(tmp_path: Path) -> None:
    folder = tmp_path / "host"
    stage_host([Wanted(name="env", asked=("who",)), Wanted(name="no-such-thing", asked=("who",))], folder, ["/usr/bin"])
    members = put(folder, "env")
    sources = [member.source for member in members.values() if member.source]
    assert sources
    assert all(source.startswith(f"{folder}/") for source in sources)
    assert any(path.endswith("/libc.so.6") for path in members)
    assert not list(folder.glob("usr/bin/no-such*"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_the_caller_may_not_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, "data/secret", b"1", 0o000)
    with pytest.raises(StepFailed, match="cannot be read: Permission denied") as caught:
        stage_host([Wanted(name=f"{tmp_path}/data", asked=("who",))], tmp_path / "host", [])
    assert caught.value.where == (f"file: {tmp_path}/data/secret",)
