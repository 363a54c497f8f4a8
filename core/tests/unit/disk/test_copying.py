"""Copies with holes."""

from __future__ import annotations

import errno
import filecmp
import os
from pathlib import Path

import pytest
from imagewright.disk import copying
from imagewright.errors import HostError


def sparse(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(64 << 20)
        for at in (0, 5 << 20, 40 << 20):
            file.seek(at)
            file.write(os.urandom(300_000))
    return path


def test_a_copy_has_the_same_bytes_and_no_more_blocks(tmp_path: Path) -> None:
    source = sparse(tmp_path / "a")
    copying.copy_sparse(source, tmp_path / "b")
    assert filecmp.cmp(source, tmp_path / "b", shallow=False)
    assert (tmp_path / "b").stat().st_blocks * 512 < 4 << 20


def test_a_copy_at_an_offset_leaves_the_rest_alone(tmp_path: Path) -> None:
    source = sparse(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"head")
    copying.copy_sparse(source, tmp_path / "b", offset=1 << 20)
    data = (tmp_path / "b").read_bytes()
    assert data[:4] == b"head"
    assert data[1 << 20 :] == source.read_bytes()


@pytest.mark.parametrize("offset", [0, 1 << 20])
def test_across_filesystems_the_copy_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, "across filesystems")

    # What Linux before 5.19 and some filesystems answer cannot be had otherwise here.
    monkeypatch.setattr(os, "copy_file_range", refuse)
    source = sparse(tmp_path / "a")
    copying.copy_sparse(source, tmp_path / "b", offset=offset)
    assert (tmp_path / "b").read_bytes() == bytes(offset) + source.read_bytes()
    assert (tmp_path / "b").stat().st_blocks * 512 < 4 << 20


def test_an_empty_file_is_copied_too(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    copying.copy_sparse(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b""


def test_a_limit_of_the_file_size_is_told_as_such(tmp_path: Path) -> None:
    import resource

    source = sparse(tmp_path / "a")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(HostError, match="no file of that size"):
            copying.copy_sparse(source, tmp_path / "b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_of_ones_own_gets_a_second_name_instead_of_a_copy(tmp_path: Path) -> None:
    source = sparse(tmp_path / "a")
    copying.link_or_copy(source, tmp_path / "b")
    assert (tmp_path / "b").samefile(source)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file another owner")
def test_root_takes_over_what_mapped_root_made_instead_of_copying_it(tmp_path: Path) -> None:
    source = sparse(tmp_path / "a")
    os.chown(source, 100_000, 100_000)
    copying.link_or_copy(source, tmp_path / "b")
    assert (tmp_path / "b").samefile(source)
    assert (source.stat().st_uid, source.stat().st_gid) == (0, 0)
