"""Archives of a tree."""

from __future__ import annotations

import filecmp
import os
import socket
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.disk import archive

EPOCH = 1_700_000_000


def test_two_copies_made_in_another_order_give_the_same_bytes(tmp_path: Path, make_tree: Callable[..., Path]) -> None:
    for name, backwards in (("a", False), ("b", True)):
        tree = make_tree(f"tree-{name}", backwards=backwards)
        versions = archive.write_tar(target=str(tree), archive=str(tmp_path / name), epoch=EPOCH)
        time.sleep(1.1)
    assert filecmp.cmp(tmp_path / "a", tmp_path / "b", shallow=False)
    assert "tar" in versions["tar"]


def test_the_archive_holds_the_tree_as_it_is(
    tmp_path: Path, make_tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree("tree")
    (tree / "etc/-rf\n*").write_text("an odd name")
    monkeypatch.chdir(tree)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("etc/socket")
    archive.write_tar(target=str(tree), archive=str(tmp_path / "tar"), epoch=EPOCH)
    with tarfile.open(tmp_path / "tar") as tar:
        members = {member.name: member for member in tar}
        names = tar.getnames()
        assert tar.extractfile(members["./etc/old"]).read() == b"older than the epoch"  # type: ignore[union-attr]
    assert names[0] == "."
    assert names == sorted(names, key=os.fsencode)
    assert "./etc/-rf\n*" in members
    assert "./etc/socket" not in members
    assert members["."].mode == 0o750
    assert members["./etc/setuid"].mode == 0o4711
    assert members["./etc/fifo"].isfifo()
    assert members["./etc/short"].linkname == "old"
    assert members["./usr/share/d1/file-3"].linkname == "./etc/hard"
    assert members["./etc/new"].mtime == EPOCH
    assert members["./etc/old"].mtime == 1_600_000_000
    assert members["./etc/old"].uid == os.getuid()
    assert members["./etc/old"].uname == ""
    assert "SCHILY.xattr.user.note" in members["./etc/old"].pax_headers


def test_owners_and_capabilities_come_back_when_it_is_unpacked(as_root: Callable[..., str]) -> None:
    said = as_root(
        """
import os, subprocess, tempfile
from pathlib import Path
from imagewright.disk import archive
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "tree/bin").mkdir(parents=True)
    (folder / "out").mkdir()
    ping = folder / "tree/bin/ping"
    ping.write_text("x")
    os.chown(ping, 33, 42)
    os.setxattr(ping, "security.capability", bytes.fromhex("01000002" + "ff200000" + "00" * 12))
    archive.write_tar(target=str(folder / "tree"), archive=str(folder / "tar"), epoch=1700000000)
    done = subprocess.run(["tar", "-C", folder / "out", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf",
        folder / "tar"], capture_output=True, text=True, check=True)
    status = (folder / "out/bin/ping").stat()
    print(repr(done.stderr), status.st_uid, status.st_gid)
    print(os.getxattr(folder / "out/bin/ping", "security.capability").hex())
""",
        owners=True,
    )
    assert said.split() == ["''", "33", "42", "01000002ff200000" + "00" * 12]


def test_nothing_is_left_of_an_archive_when_the_disk_is_full(
    as_root: Callable[..., str], make_tree: Callable[..., Path]
) -> None:
    said = as_root(
        """
import os, subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"], check=True)
from imagewright.disk import archive
from imagewright.errors import HostError
try:
    archive.write_tar(target=sys.argv[1], archive="/mnt/tar", epoch=1)
except HostError as error:
    print(error, os.listdir("/mnt"))
""",
        str(make_tree("tree")),
        mounts=True,
    )
    assert "no space left" in said
    assert "[]" in said
