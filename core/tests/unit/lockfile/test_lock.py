"""Lock files: what is written is read again, what is no lock is refused, and every difference is told."""

from __future__ import annotations

import os
import string
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagewright.errors import PlanError, UsageError
from imagewright.lockfile.fitting import check_base, check_installed, check_plan, check_resolution
from imagewright.lockfile.lock import Lock, read_lock, text_of
from imagewright.planning.locking import lock_of
from imagewright.request import Request
from imagewright.types import Package

CURL = Package(name="curl", version="8.1-1", architecture="amd64", digest="c" * 64)
ZONES = Package(name="tzdata", version="1:2025b", architecture="all")
LOCK = Lock(
    imagewright="0.1.0",
    operating_system="debian",
    release="trixie",
    arch="amd64",
    epoch=1_700_000_000,
    flavours={"debian": "imagewright-debian 0.1.0 sha256:" + "d" * 64, "mine": "folder sha256:" + "f" * 64},
    bases={"state of the source": "s"},
    packages=(CURL, ZONES),
)
FILE = Path("web.lock")

NAMES = st.text(string.ascii_lowercase + string.digits + "+.-", min_size=1)
VERSIONS = st.text(string.ascii_letters + string.digits + ".+~:-", min_size=1)
DIGESTS = st.sampled_from(["", "0" * 64, "9a" * 32])
PACKAGES = st.builds(
    Package, name=NAMES, version=VERSIONS, architecture=st.sampled_from(["", "amd64", "all"]), digest=DIGESTS
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def test_a_package_is_a_line() -> None:
    lines = text_of(LOCK).splitlines()
    assert f'"curl:amd64" = "8.1-1 sha256:{"c" * 64}"' in lines
    assert '"tzdata:all" = "1:2025b"' in lines
    assert "source_date_epoch = 1700000000" in lines


@given(
    packages=st.lists(PACKAGES, unique_by=lambda one: (one.name, one.architecture)),
    flavours=st.dictionaries(TEXTS, TEXTS),
    bases=st.dictionaries(TEXTS, TEXTS),
    epoch=st.integers(min_value=0, max_value=2**40),
    given_=st.booleans(),
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory,
    packages: list[Package],
    flavours: dict[str, str],
    bases: dict[str, str],
    epoch: int,
    given_: bool,
) -> None:
    place = tmp_path_factory.getbasetemp() / f"written-{os.getpid()}.lock"
    lock = replace(LOCK, packages=tuple(packages), flavours=flavours, bases=bases, epoch=epoch, epoch_given=given_)
    place.write_text(text_of(lock), encoding="utf-8")
    again = read_lock(place)
    assert {(one.name, one.architecture): one for one in again.packages} == {
        (one.name, one.architecture): one for one in packages
    }
    assert text_of(again) == text_of(lock)
    assert again.digest == lock.digest
    tomllib.loads(text_of(lock))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda text: "", "no lock file"),
        (lambda text: text.replace("schema = 1", "schema = 7"), "7"),
        (lambda text: text.replace('"8.1-1 ', '"'), "curl:amd64"),
        (lambda text: text.replace("c" * 64, "c" * 63), "curl:amd64"),
        (lambda text: text.replace("[flavours]", "[flavors]"), "flavours"),
        (lambda text: text.replace("source_date_epoch = 1700000000", 'source_date_epoch = "soon"'), "soon"),
        (lambda text: text.replace('"8.1-1', "7 #"), ""),
        (lambda text: text + '\n"broken', ""),
    ],
    ids=["empty", "schema", "version", "digest", "table", "epoch", "type", "syntax"],
)
def test_what_is_no_lock_is_refused_with_its_place(tmp_path: Path, change: Callable[[str], str], cause: str) -> None:
    place = tmp_path / "web.lock"
    place.write_text(change(text_of(LOCK)))
    with pytest.raises(UsageError, match="cannot be read") as caught:
        read_lock(place)
    assert str(place) in str(caught.value)
    assert cause in caught.value.cause
    assert caught.value.cause
    assert caught.value.option == "lock"


def test_a_folder_and_a_file_that_is_no_text_are_no_locks(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\xff\xfe\0")
    (tmp_path / "other.toml").write_text("[images.web]\n")
    for place in (tmp_path, tmp_path / "noise", tmp_path / "other.toml"):
        with pytest.raises(UsageError, match="cannot be read") as caught:
            read_lock(place)
        # it may be anything that is dear to somebody
        assert "--refresh" not in caught.value.hint


@pytest.mark.parametrize("refresh", [False, True])
def test_a_pipe_or_a_device_is_neither_read_nor_replaced(tmp_path: Path, refresh: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(UsageError, match="is no file") as caught:
            lock_of(Request(flavours=(), output=tmp_path / "web", lock=place, refresh=refresh))
        assert caught.value.option == "lock"


def test_the_same_plan_fits() -> None:
    check_plan(LOCK, replace(LOCK, packages=(), bases={}, epoch=0), FILE)
    check_resolution(LOCK, (CURL,), FILE)
    check_installed(LOCK, (ZONES, replace(CURL, digest="")), FILE)
    check_base(LOCK, "state of the source", "s", FILE)
    check_base(LOCK, "another fact", "anything", FILE)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (replace(LOCK, imagewright="0.2.0"), "imagewright: 0.1.0 is locked, 0.2.0 is here"),
        (replace(LOCK, release="bookworm"), "the release: trixie is locked, bookworm is here"),
        (replace(LOCK, flavours={**LOCK.flavours, "vm": "x 1"}), "flavour vm: none is locked, x 1 is here"),
        (
            replace(LOCK, flavours={"debian": "x"}),
            "flavour mine: folder sha256:" + "f" * 64 + " is locked, none is here",
        ),
    ],
    ids=["imagewright", "release", "more", "less"],
)
def test_a_plan_that_differs_is_told_by_what(now: Lock, told: str) -> None:
    with pytest.raises(PlanError, match=r"web\.lock locks") as caught:
        check_plan(LOCK, now, FILE)
    assert told in caught.value.where
    assert "--refresh" in caught.value.hint


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (replace(CURL, version="8.2-1"), "package curl:amd64: 8.1-1 is locked, 8.2-1 is all that there is"),
        (replace(CURL, digest="d" * 64), "package curl:amd64 8.1-1: its archive is another one of the same version"),
        (replace(CURL, name="jq"), "package jq:amd64: 8.1-1 would come, and the lock has none"),
    ],
    ids=["version", "archive", "more"],
)
def test_a_resolution_that_differs_is_told_by_package(found: Package, told: str) -> None:
    with pytest.raises(PlanError) as caught:
        check_resolution(LOCK, (found, ZONES), FILE)
    assert caught.value.where == (told,)


def test_a_tree_that_lacks_a_package_or_has_one_more_is_refused() -> None:
    with pytest.raises(PlanError, match="2 things differ"):
        check_installed(LOCK, (CURL, replace(CURL, name="jq")), FILE)


def test_of_very_many_differences_the_first_are_shown_with_their_number() -> None:
    many = tuple(replace(CURL, name=f"p{number:03}") for number in range(100))
    with pytest.raises(PlanError, match="100 things differ") as caught:
        check_installed(replace(LOCK, packages=()), many, FILE)
    assert caught.value.where[-1] == "and 80 more"
