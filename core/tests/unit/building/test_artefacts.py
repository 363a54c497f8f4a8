"""Artefacts appear all together or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

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


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder of another filesystem than that of ``tmp_path``."""
    if os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("the tests' folder is on the tmpfs of /dev/shm")
    with TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture(params=["files without a name", "names only"])
def filesystem(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "names only":
        real = os.open

        def answers_as_nfs_does(path, flags, *rest, **more):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
            return real(path, flags, *rest, **more)

        monkeypatch.setattr(os, "open", answers_as_nfs_does)


def test_a_file_of_another_filesystem_arrives_whole_with_its_holes(tmp_path, elsewhere, filesystem):
    source, place = elsewhere / "web.raw", tmp_path / "web.raw"
    with source.open("wb") as stream:
        stream.truncate(2**24)
        stream.seek(2**23)
        stream.write(b"in the middle")
    content = source.read_bytes()
    publish([(source, place)], 0o640)
    assert place.read_bytes() == content
    assert place.stat().st_mode & 0o777 == 0o640
    assert place.stat().st_blocks * 512 < 2**20
    assert list(tmp_path.iterdir()) == [place]


def test_a_copy_that_breaks_off_leaves_nothing(tmp_path, elsewhere, filesystem, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "sendfile", full)
    with pytest.raises(HostError, match="No space left"):
        publish([(made(elsewhere, "web.raw"), tmp_path / "web.raw")], 0o644)
    assert list(tmp_path.iterdir()) == []
