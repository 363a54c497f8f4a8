"""The record of what a step read: whole, or of no use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.layers import reads
from imagewright.layers.reads import Reads
from imagewright.sandbox.launcher.watching import Watch, record_in

READS = Reads(question="q" * 64, below=(("key", "identity"),), opened=("etc/a", "etc/\udcff"), listed=("", "etc"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "layer"
    folder.mkdir()
    (folder / "layer.json").write_text("{}")
    READS.write(folder / reads.NAME)
    return folder / reads.NAME


def test_what_was_written_is_read_names_that_are_no_text_too(path: Path) -> None:
    assert reads.read(path) == READS


@pytest.mark.parametrize(
    "harm",
    [
        lambda text: text.replace("etc/a", "etc/b"),
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"schema": 1', '"schema": 0'),
        lambda text: "[]",
        lambda text: "",
    ],
    ids=["changed", "cut", "of another form", "something else", "empty"],
)
def test_a_record_that_is_not_as_it_was_written_is_none(path: Path, harm: Callable[[str], str]) -> None:
    path.write_text(harm(path.read_text()))
    assert reads.read(path) is None
    assert list(reads.answering(path.parents[1], READS.question)) == []


def test_a_record_answers_its_question_alone(path: Path) -> None:
    assert list(reads.answering(path.parents[1], READS.question)) == [(path.parent, READS)]
    assert list(reads.answering(path.parents[1], "other")) == []


def test_a_record_without_its_layer_answers_nothing(path: Path) -> None:
    (path.parent / "layer.json").unlink()
    assert list(reads.answering(path.parents[1], READS.question)) == []


def test_what_a_watch_wrote_is_what_was_seen(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/file").write_text("x")
    watch = Watch(str(tree))
    (tree / "etc/file").read_text()
    watch._take()
    watch.write(record_in(str(tmp_path), "seen"))
    assert reads.seen(tmp_path / "seen") == (("etc/file",), ())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (json.dumps({"spoiled": "too much at once", "opened": [], "listed": []}), "too much at once"),
        ('{"spoiled": "", "opened": ["etc', "the record of what it opened is not whole"),
        ("", "the record of what it opened is not whole"),
    ],
    ids=["spoiled", "cut", "empty"],
)
def test_a_watch_that_did_not_see_everything_says_why(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "seen").write_text(text)
    assert reads.seen(tmp_path / "seen") == why


def test_a_watch_that_wrote_nothing_saw_nothing(tmp_path: Path) -> None:
    assert reads.seen(tmp_path / "none") == "the record of what it opened is not whole"
