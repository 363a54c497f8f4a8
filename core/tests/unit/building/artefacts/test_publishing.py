"""Artefacts appear all together or not at all."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from imagewright.building.artefacts.publishing import publish, undo_killed
from imagewright.errors import HostError


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def made(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"new {name}")
    return path


def test_files_replace_what_was_there_and_get_the_mode(tmp_path, cache):
    place = tmp_path / "web.tar"
    place.write_text("old")
    publish([(made(tmp_path / "work", "web.tar"), place)], 0o600, cache)
    assert place.read_text() == "new web.tar"
    assert place.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["web.tar", "work"]


def test_a_place_that_is_taken_leaves_the_earlier_files_as_they_were(tmp_path, cache):
    first, second = tmp_path / "web.tar", tmp_path / "web.manifest.json"
    first.write_text("old")
    second.mkdir()
    files = [(made(tmp_path / "work", "web.tar"), first), (made(tmp_path / "work", "web.manifest.json"), second)]
    with pytest.raises(HostError, match="cannot be put in place"):
        publish(files, 0o644, cache)
    assert first.read_text() == "old"
    assert second.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["web.manifest.json", "web.tar", "work"]


def test_a_new_file_is_taken_away_again_if_another_cannot_follow(tmp_path, cache):
    second = tmp_path / "web.manifest.json"
    second.mkdir()
    files = [
        (made(tmp_path / "work", "web.tar"), tmp_path / "web.tar"),
        (made(tmp_path / "work", "web.manifest.json"), second),
    ]
    with pytest.raises(HostError):
        publish(files, 0o644, cache)
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


def test_a_file_of_another_filesystem_arrives_whole_with_its_holes(tmp_path, cache, elsewhere, filesystem):
    source, place = elsewhere / "web.raw", tmp_path / "web.raw"
    with source.open("wb") as stream:
        stream.truncate(2**24)
        stream.seek(2**23)
        stream.write(b"in the middle")
    content = source.read_bytes()
    publish([(source, place)], 0o640, cache)
    assert place.read_bytes() == content
    assert place.stat().st_mode & 0o777 == 0o640
    assert place.stat().st_blocks * 512 < 2**20
    assert list(tmp_path.iterdir()) == [place]


def test_a_copy_that_breaks_off_leaves_nothing(tmp_path, cache, elsewhere, filesystem, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for call in ("copy_file_range", "sendfile"):
        monkeypatch.setattr(os, call, full)
    with pytest.raises(HostError, match="No space left"):
        publish([(made(elsewhere, "web.raw"), tmp_path / "web.raw")], 0o644, cache)
    assert list(tmp_path.iterdir()) == []


ENDED = """
import json, os, shutil, signal, sys
from pathlib import Path

from imagewright.building.artefacts.publishing import publish, undo_killed

top, kind, links = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "links"
CALLS = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.open", "open",
         "fcntl.flock"}


class Ended(BaseException):
    pass


def raise_ended(*_):
    raise Ended


def refused(*_, **__):
    raise PermissionError(1, "this filesystem has no second names")


def attempt(number):
    signal.signal(signal.SIGTERM, raise_ended)
    seen = 0

    def hook(event, _arguments):
        nonlocal seen
        if event in CALLS:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), kind)

    if not links:
        os.link = refused
    sys.addaudithook(hook)
    names = ("web.tar", "web.manifest.json", "web.new")
    publish([(top / "work" / name, top / "output" / name) for name in names], 0o644, top / "cache")


results = []
for number in range(1, 1000):
    for name in ("work", "output", "cache"):
        shutil.rmtree(top / name, ignore_errors=True)
        (top / name).mkdir()
    for name in ("web.tar", "web.manifest.json", "web.new"):
        (top / "work" / name).write_text("new")
        if name != "web.new":
            (top / "output" / name).write_text("old")
    child = os.fork()
    if not child:
        try:
            attempt(number)
        except Ended:
            os._exit(3)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    between = {path.name: path.read_text() for path in sorted((top / "output").iterdir())}
    undo_killed(top / "cache")
    after = {path.name: path.read_text() for path in sorted((top / "output").iterdir())}
    left = [path.name for path in (top / "cache/publishing").glob("*")]
    results.append([status, between, after, left])
    if not status:
        break
print(json.dumps(results))
"""

OLD = {"web.tar": "old", "web.manifest.json": "old"}
NEW = {"web.tar": "new", "web.manifest.json": "new", "web.new": "new"}


@pytest.mark.parametrize("links", ["links", "no links"])
@pytest.mark.parametrize(("kind", "status"), [("SIGKILL", -9), ("SIGTERM", 3)])
def test_whenever_a_builder_ends_the_files_are_all_old_or_all_new(tmp_path, reliability, kind, status, links):
    import signal

    argv = [sys.executable, "-c", ENDED, str(tmp_path), str(int(signal.Signals[kind])), links]
    results = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)
    *ended, whole = results
    assert whole == [0, NEW, NEW, []]
    assert len(ended) > 25
    seen = []
    for code, between, after, left in ended:
        with reliability.trying("faults", f"{kind} while files are put in place"):
            assert code == status
            assert after in (OLD, NEW)
            assert left == []
            if kind == "SIGTERM":  # whoever clears up leaves nothing to the next command
                assert between == after
            if links == "links":  # there is a whole file at each place at any moment
                assert set(OLD) <= set(between)
            seen.append(after)
    assert OLD in seen


def test_what_somebody_else_put_there_meanwhile_stays(tmp_path, cache):
    work = tmp_path / "work"
    made(work, "web.tar")
    script = """if True:
        import os, signal, sys
        from pathlib import Path
        from imagewright.building.artefacts import publishing
        publishing._forget_earlier = lambda moves: os.kill(os.getpid(), signal.SIGKILL)
        real = publishing._Note.write
        publishing._Note.write = lambda self, moves, done=False: None if done else real(self, moves)
        publishing.publish([(Path(sys.argv[1]), Path(sys.argv[2]))], 0o644, Path(sys.argv[3]))
    """
    place = tmp_path / "web.tar"
    place.write_text("old")
    argv = [sys.executable, "-c", script, str(work / "web.tar"), str(place), str(cache)]
    assert subprocess.run(argv, check=False).returncode == -9
    assert place.read_text() == "new web.tar"
    place.unlink()
    place.write_text("the user's own")
    undo_killed(cache)
    assert place.read_text() == "the user's own"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["web.tar", "work"]


def test_a_note_of_a_running_builder_or_of_somebody_else_is_left_alone(tmp_path, cache):
    from imagewright.layers import locks

    (cache / "publishing/running").mkdir(parents=True)
    held = locks.share(cache / "publishing/running")
    undo_killed(cache)
    assert (cache / "publishing/running").is_dir()
    os.close(held)
    (cache / "publishing/running/note.json").write_text("{")
    undo_killed(cache)
    if os.getuid() == 0:
        (cache / "publishing/theirs").mkdir()
        os.chown(cache / "publishing/theirs", 12345, 12345)
        undo_killed(cache)
        assert (cache / "publishing/theirs").is_dir()


def test_a_cache_that_takes_no_note_keeps_no_file_from_its_place(tmp_path):
    cache = tmp_path / "cache"
    cache.write_text("no folder")
    place = tmp_path / "web.tar"
    publish([(made(tmp_path / "work", "web.tar"), place)], 0o644, cache)
    assert place.read_text() == "new web.tar"
