"""How much room a tree needs."""

from __future__ import annotations

import socket
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from imagewright.disk.inodes import extra_word
from imagewright.disk.measuring import content_of, measure


def test_files_with_several_names_count_once_and_holes_not_at_all(tmp_path: Path) -> None:
    empty = content_of(str(tmp_path))
    (tmp_path / "file").write_bytes(b"x" * 5000)
    (tmp_path / "again").hardlink_to(tmp_path / "file")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 30)
    full = content_of(str(tmp_path))
    assert full.data - empty.data == 8192
    assert full.inodes - empty.inodes == 2
    assert measure(str(tmp_path)) == full.data + full.inodes * 256


def test_a_socket_needs_nothing_as_it_is_left_out(tmp_path: Path, monkeypatch: object) -> None:
    before = measure(str(tmp_path))
    monkeypatch.chdir(tmp_path)  # type: ignore[attr-defined]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
    assert measure(str(tmp_path)) == before


@settings(deadline=None)
@given(st.integers(0, 2**34 - 2**31 - 1))
def test_a_time_and_its_extra_bits_read_back(seconds: int) -> None:
    low = (seconds + 2**31) % 2**32 - 2**31
    assert low + (extra_word(seconds) << 32) == seconds
