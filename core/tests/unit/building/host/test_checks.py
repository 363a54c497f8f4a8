"""What is found before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from imagewright.building.host.checks import check_lock_apart, check_usable, check_writable, source_date_epoch
from imagewright.errors import HostError, UsageError

SUFFIXES = (".tar", ".manifest.json", ".sha256")


def test_a_folder_that_takes_files_is_no_obstacle(tmp_path):
    check_writable(tmp_path / "web", SUFFIXES)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("gone/web", "there is no such folder"),
        ("file/web", "that is no folder"),
        ("file/below/web", "not a directory"),
        ("w" * 240, "file name too long"),
    ],
)
def test_an_output_that_cannot_be_is_found_early(tmp_path, name, cause):
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError) as caught:
        check_writable(tmp_path / name, SUFFIXES)
    assert caught.value.cause == cause


def test_a_folder_where_an_artefact_goes_is_found_early(tmp_path):
    (tmp_path / "web.tar").mkdir()
    with pytest.raises(HostError) as caught:
        check_writable(tmp_path / "web", SUFFIXES)
    assert caught.value.cause == "web.tar is a folder there"


def test_a_lock_file_that_has_the_place_of_an_artefact_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = [tmp_path / "web.qcow2", tmp_path / "web.manifest.json"]
    check_lock_apart(None, places)
    check_lock_apart(tmp_path / "web.lock", places)
    with pytest.raises(UsageError, match="would be a file of the image too"):
        check_lock_apart(Path("./web.manifest.json"), places)


def test_what_cannot_be_written_is_called_by_its_name_and_option(tmp_path):
    with pytest.raises(HostError, match="the lock file cannot be written") as caught:
        check_writable(tmp_path / "gone" / "web.lock", ("",), what="lock file", option="lock")
    assert "--lock" in caught.value.hint


@pytest.mark.parametrize("name", ["a\nb", "\udcff"])
def test_a_name_that_cannot_be_printed_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="no image can be called"):
        check_writable(tmp_path / name, SUFFIXES)


@pytest.mark.parametrize("text", ["abc", "²", "-1", "1.5", "9" * 20])
def test_a_source_date_epoch_that_is_no_moment_names_the_variable(text):
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        source_date_epoch({"SOURCE_DATE_EPOCH": text})


def test_a_source_date_epoch_is_taken_and_an_empty_one_is_none():
    assert source_date_epoch({"SOURCE_DATE_EPOCH": "1700000000"}) == 1700000000
    assert source_date_epoch({"SOURCE_DATE_EPOCH": ""}) is None


@pytest.mark.parametrize("folder", ["/proc/x", "/proc"])
def test_a_filesystem_that_takes_no_folders_is_found_early_and_named(folder):
    with pytest.raises(HostError) as caught:
        check_usable(Path(folder), "work folder", "work-dir")
    assert caught.value.cause.startswith("no folder can be made in /proc: ")
    assert caught.value.hint == "name another one with --work-dir"
    assert caught.value.option == "work-dir"


def test_asking_whether_a_folder_is_usable_leaves_nothing(tmp_path):
    check_usable(tmp_path / "new" / "deep", "work folder", "work-dir")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_whatever_its_bits_say_is_found_early():
    with pytest.raises(HostError) as caught:
        check_writable(Path("/proc/web"), SUFFIXES)
    wanted = "no file can be made there: " if os.access("/proc", os.W_OK) else "you may not write there"
    assert caught.value.cause.startswith(wanted)
