"""Artefacts appear all together or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagewright.building.artefacts import publish
from imagewright.errors import HostError


def made(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"new {name}")
    return path


def test_files_replace_what_was_there_and_get_the_mode(tmp_path):
    place = tmp_path / "web.tar"
    place.write_text("old")
    publish([(made(tmp_path / "work", "web.tar"), place)], 0o600)
    assert place.read_text() == "new web.tar"
    assert place.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["web.tar", "work"]


def test_a_place_that_is_taken_leaves_the_earlier_files_as_they_were(tmp_path):
    first, second = tmp_path / "web.tar", tmp_path / "web.manifest.json"
    first.write_text("old")
    second.mkdir()
    files = [(made(tmp_path / "work", "web.tar"), first), (made(tmp_path / "work", "web.manifest.json"), second)]
    with pytest.raises(HostError, match="cannot be put in place"):
        publish(files, 0o644)
    assert first.read_text() == "old"
    assert second.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["web.manifest.json", "web.tar", "work"]


def test_a_new_file_is_taken_away_again_if_another_cannot_follow(tmp_path):
    second = tmp_path / "web.manifest.json"
    second.mkdir()
    files = [
        (made(tmp_path / "work", "web.tar"), tmp_path / "web.tar"),
        (made(tmp_path / "work", "web.manifest.json"), second),
    ]
    with pytest.raises(HostError):
        publish(files, 0o644)
    assert not (tmp_path / "web.tar").exists()
