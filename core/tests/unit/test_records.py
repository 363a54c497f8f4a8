"""Records beside the dataclasses that they stand for."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
from imagewright.records import changed, record


@record
class Place:
    """Somewhere."""

    path: str
    size: int = 7

    @property
    def words(self) -> str:
        return f"{self.path} {self.size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """Somewhere."""

    path: str
    size: int = 7


def test_it_has_the_values_and_defaults_it_was_given() -> None:
    place = Place(path="a")
    assert (place.path, place.size, place.words) == ("a", 7, "a 7")
    assert Place(path="a", size=8).size == 8


def test_it_says_itself_as_a_dataclass_does() -> None:
    assert repr(Place(path="a")) == repr(Twin(path="a")).replace("Twin", "Place")
    assert (Place.__doc__, Place.__module__, Place.__qualname__) == (Twin.__doc__, Twin.__module__, "Place")


def test_it_is_equal_by_its_values_to_its_own_kind_only() -> None:
    assert Place(path="a") == Place(path="a", size=7)
    assert Place(path="a") != Place(path="b")
    assert Place(path="a") != Twin(path="a")
    assert len({Place(path="a"), Place(path="a"), Place(path="b")}) == 2


@pytest.mark.parametrize("words", [{}, {"size": 1}, {"path": "a", "siez": 1}, {"path": "a", "size": 1, "more": 1}])
def test_a_name_too_much_or_too_little_is_an_error(words: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Twin(**words)
    with pytest.raises(TypeError, match="Place"):
        Place(**words)


def test_values_have_their_names_and_no_order() -> None:
    with pytest.raises(TypeError):
        Place("a", 8)  # type: ignore[misc]


@pytest.mark.parametrize("name", ["path", "other"])
def test_it_does_not_change(name: str) -> None:
    place = Place(path="a")
    with pytest.raises(AttributeError, match="frozen"):
        setattr(place, name, "b")
    with pytest.raises(AttributeError, match="frozen"):
        delattr(place, name)
    assert place == Place(path="a")
    assert not hasattr(place, "__dict__")


def test_another_one_with_a_change_can_be_made() -> None:
    assert changed(Place(path="a"), size=9) == Place(path="a", size=9)
    with pytest.raises(TypeError, match="siez"):
        changed(Place(path="a"), siez=9)


def test_it_can_be_copied_and_sent_to_another_process() -> None:
    place = Place(path="a", size=8)
    assert copy.deepcopy(place) == place
    assert pickle.loads(pickle.dumps(place)) == place
