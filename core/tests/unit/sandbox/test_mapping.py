"""Which ids of the host stand for those of an image."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagewright.errors import HostError
from imagewright.sandbox.mapping import COUNT, base_within, free_range, mapping_of_caller, mapping_of_user, subordinate


@pytest.fixture
def ranges(tmp_path: Path) -> Path:
    name = pwd.getpwuid(1).pw_name
    file = tmp_path / "subuid"
    file.write_text(f"# a comment\n77:5:10\n\n{name}:1000:20\n{name}:300000:65535\nbroken:x:y\n77:400000:65536\n")
    return file


def test_a_range_is_found_by_name_or_number_and_must_be_large_enough(ranges: Path) -> None:
    assert subordinate(ranges, 1, COUNT - 1) == 300000
    assert subordinate(ranges, 77, COUNT - 1) == 400000
    assert subordinate(ranges, 1, COUNT) is None
    assert subordinate(ranges, 78, 1) is None
    assert subordinate(ranges.with_name("absent"), 1, 1) is None


def test_an_ordinary_user_is_root_inside(ranges: Path) -> None:
    mapping = mapping_of_user(77, 78, ranges, ranges)
    assert mapping.uids == ((0, 77, 1), (1, 400000, COUNT - 1))
    assert mapping.gids == ((0, 78, 1), (1, 400000, COUNT - 1))
    assert mapping.root == (77, 78)


def test_a_user_without_a_range_gets_the_command_for_a_free_one(ranges: Path) -> None:
    with pytest.raises(HostError, match="the user 4321 has no range") as caught:
        mapping_of_user(4321, 4321, ranges, ranges)
    assert caught.value.hint == "sudo usermod --add-subuids 465536-531071 --add-subgids 465536-531071 4321"
    with pytest.raises(HostError) as caught:
        mapping_of_user(77, 77, ranges, ranges.with_name("absent"))
    assert caught.value.hint == "sudo usermod --add-subgids 465536-531071 77"
    assert caught.value.where == (f"file: {ranges.with_name('absent')}",)


def test_the_first_range_of_a_host_is_the_usual_one(tmp_path: Path) -> None:
    assert free_range(tmp_path / "absent") == 100_000


@given(st.lists(st.tuples(st.integers(0, 2**31), st.integers(1, 2**31)), min_size=1, max_size=4), st.integers(0, 2**31))
def test_roots_range_is_mapped_and_above_the_accounts(outer: list[tuple[int, int]], wanted: int) -> None:
    text = "".join(f"{start:10} {start + 5:10} {count:10}\n" for start, count in outer)
    first = base_within(text, wanted)
    usable = [
        (start, count) for start, count in outer if start <= (first or 0) and (first or 0) + COUNT <= start + count
    ]
    if first is None:
        assert all(start + count - COUNT < max(start, COUNT) for start, count in outer)
    else:
        assert usable
        assert first == wanted or first >= COUNT


def test_the_caller_is_never_mapped_to_itself_as_root() -> None:
    try:
        mapping = mapping_of_caller()
    except HostError:
        pytest.skip("this caller has no subordinate ids")
    assert sum(count for _inside, _outside, count in mapping.uids) == COUNT
    if os.getuid() == 0:
        assert mapping.root[0] >= COUNT
    else:
        assert mapping.root == (os.getuid(), os.getgid())
