"""Notes on firmware save work and never stand in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from imagewright.building.ramdisks.firmwarenotes import KEPT, note, noted


def test_what_was_noted_is_found_and_added_to(tmp_path: Path) -> None:
    assert noted(tmp_path, "6.1") == {}
    note(tmp_path, "6.1", {"kernel/a.ko": [1, 2, ["a.bin"]]})
    note(tmp_path, "6.1", {"kernel/b.ko": [3, 4, []]})
    assert noted(tmp_path, "6.1") == {"kernel/a.ko": (1, 2, ("a.bin",)), "kernel/b.ko": (3, 4, ())}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b'{"a": 3}', b'{"a": []}', b"\xff\xfe", b'{"a": ["x", 1, []]}']
)
def test_notes_that_nobody_can_read_are_made_anew(tmp_path: Path, content: bytes) -> None:
    note(tmp_path, "6.1", {"kernel/a.ko": [1, 2, ["a.bin"]]})
    (place,) = tmp_path.rglob("6.1.json")
    place.write_bytes(content)
    assert noted(tmp_path, "6.1") == {}
    note(tmp_path, "6.1", {"kernel/a.ko": [1, 2, []]})
    assert noted(tmp_path, "6.1") == {"kernel/a.ko": (1, 2, ())}


def test_what_has_no_moment_is_not_noted(tmp_path: Path) -> None:
    note(tmp_path, "6.1", {"kernel/a.ko": [1, 0, ["a.bin"]]})
    assert noted(tmp_path, "6.1") == {}


def test_a_cache_that_takes_none_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in its place\n")
    note(tmp_path / "cache", "6.1", {"kernel/a.ko": [1, 2, []]})
    assert noted(tmp_path / "cache", "6.1") == {}


def test_notes_of_old_kernels_go(tmp_path: Path) -> None:
    for number in range(KEPT + 3):
        note(tmp_path, f"6.{number}", {"kernel/a.ko": [number, 5, []]})
        (place,) = tmp_path.rglob(f"6.{number}.json")
        os.utime(place, (number, number))
    note(tmp_path, "7.0", {"kernel/a.ko": [1, 5, []]})
    assert len(list(tmp_path.rglob("*.json"))) == KEPT
    assert not noted(tmp_path, "6.0")
    assert noted(tmp_path, "7.0")
