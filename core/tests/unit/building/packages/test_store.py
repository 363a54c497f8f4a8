"""The store of package archives: what it gives is what was asked for, or nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagewright.building.packages.store import PackageStore, store_of


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def kept(store: PackageStore, folder: Path, content: bytes) -> str:
    source = folder / "source.deb"
    source.write_bytes(content)
    return store.add(source)


def upper(archive: Path, new: Path) -> None:
    new.write_bytes(archive.read_bytes().upper())


def test_an_archive_is_found_by_its_digest_and_laid_where_it_is_needed(tmp_path: Path) -> None:
    store = store_of(tmp_path / "cache")
    digest = kept(store, tmp_path, b"archive")
    assert digest == digest_of(b"archive")
    assert store.lay(digest, tmp_path / "laid.deb")
    assert (tmp_path / "laid.deb").read_bytes() == b"archive"
    assert (tmp_path / "laid.deb").stat().st_mode & 0o777 == 0o644
    assert not store.lay(digest_of(b"another"), tmp_path / "none.deb")
    assert not (tmp_path / "none.deb").exists()


@pytest.mark.parametrize("damage", [b"", b"archivE", b"archive and more"])
def test_a_damaged_archive_is_not_given_and_goes(tmp_path: Path, damage: bytes) -> None:
    store = PackageStore(tmp_path / "store")
    digest = kept(store, tmp_path, b"archive")
    (tmp_path / "store" / f"{digest}.package").write_bytes(damage)
    assert not store.lay(digest, tmp_path / "laid.deb")
    assert list((tmp_path / "store").iterdir()) == []


def test_a_plain_form_is_made_once_and_proven_too(tmp_path: Path) -> None:
    store = PackageStore(tmp_path / "store")
    digest = kept(store, tmp_path, b"archive")
    made = store.make_plain(digest, upper)
    assert made is not None
    assert made.read_bytes() == b"ARCHIVE"
    assert store.make_plain(digest, lambda archive, new: pytest.fail("it was made again")) == made
    made.write_bytes(b"ARCHIVe")
    assert store.plain(digest) is None
    assert store.make_plain(digest, upper) == made


def test_a_plain_form_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    store = PackageStore(tmp_path / "store")
    digest = kept(store, tmp_path, b"archive")

    def breaks(archive: Path, new: Path) -> None:
        new.write_bytes(b"half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        store.make_plain(digest, breaks)
    assert [path.name for path in (tmp_path / "store").iterdir()] == [f"{digest}.package"]
    assert store.make_plain(digest_of(b"unknown"), upper) is None


def test_what_was_laid_stays_when_the_store_is_pruned(tmp_path: Path) -> None:
    store = PackageStore(tmp_path / "store")
    digest = kept(store, tmp_path, b"archive")
    store.lay(digest, tmp_path / "laid.deb")
    assert store.prune(most=0, oldest=None) == len(b"archive")
    assert (tmp_path / "laid.deb").read_bytes() == b"archive"
    assert store.find(digest) is None


def test_the_longest_unused_goes_first_and_a_find_is_a_use(tmp_path: Path) -> None:
    store = PackageStore(tmp_path / "store")
    first, second, third = (kept(store, tmp_path, content) for content in (b"aaaa", b"bbbb", b"cccc"))
    for age, digest in ((30, first), (20, second), (10, third)):
        moment = time.time() - age * 24 * 3600
        os.utime(tmp_path / "store" / f"{digest}.package", (moment, moment))
    store.find(first)
    assert store.prune(most=8, oldest=None) == 4
    assert [store.find(digest) is not None for digest in (first, second, third)] == [True, False, True]
    moment = time.time() - 40 * 24 * 3600
    os.utime(tmp_path / "store" / f"{third}.package", (moment, moment))
    assert store.prune(most=None, oldest=30 * 24 * 3600) == 4
    assert [store.find(digest) is not None for digest in (first, third)] == [True, False]


def test_what_a_killed_builder_left_is_no_archive_and_goes_in_time(tmp_path: Path) -> None:
    store = PackageStore(tmp_path / "store")
    kept(store, tmp_path, b"archive")
    young, old = tmp_path / "store" / ".new-young", tmp_path / "store" / ".new-old"
    young.write_bytes(b"half")
    old.write_bytes(b"half")
    moment = time.time() - 2 * 24 * 3600
    os.utime(old, (moment, moment))
    assert store.prune(most=None, oldest=None) == 0
    assert young.exists()
    assert not old.exists()


def test_a_builder_that_is_killed_while_it_keeps_archives_leaves_whole_ones_or_none(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom imagewright.building.packages.store import PackageStore\n"
        "store, source = PackageStore(Path(sys.argv[1])), Path(sys.argv[2])\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for number in range(8):\n"
        "        source.write_bytes(bytes([number]) * 2_000_000)\n"
        "        store.add(source)\n"
    )
    store = PackageStore(tmp_path / "store")
    whole = {digest_of(bytes([number]) * 2_000_000) for number in range(8)}
    for moment in range(3):
        argv = [sys.executable, "-c", program, str(store.folder), str(tmp_path / "source")]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.03 * (moment + 1))
            process.kill()
        names = [path.name for path in store.folder.glob("*.package")]
        assert {name.partition(".")[0] for name in names} <= whole
        assert all(store.find(name.partition(".")[0]) for name in names)


@settings(max_examples=25, deadline=None)
@given(contents=st.lists(st.binary(max_size=64), max_size=6))
def test_whatever_is_put_in_is_found_as_it_was(contents: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = PackageStore(folder / "store")
    digests = [kept(store, folder, content) for content in contents]
    for digest, content in zip(digests, contents, strict=True):
        found = store.find(digest)
        assert found is not None
        assert found.read_bytes() == content
