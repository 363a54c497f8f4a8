from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagewright.errors import PlanError
from imagewright.planning.ordering import ordered
from imagewright.types import Command, Origin, Phase, Step

IDS = st.from_regex(r"[0-9]{2}-[a-z]{1,3}", fullmatch=True)
ACTION = Command(argv=("true",))


def step(name, flavour="f", before=(), after=()):
    return Step(id=name, action=ACTION, before=frozenset(before), after=frozenset(after)), Origin(flavour=flavour)


@given(st.sets(IDS, max_size=12), st.randoms(use_true_random=False))
def test_without_edges_the_order_is_that_of_the_ids_however_they_come(ids, chance):
    given_steps = [step(name) for name in ids]
    chance.shuffle(given_steps)
    assert [one.id for one, _ in ordered(Phase.INSTALL, given_steps)] == sorted(ids)


@given(st.data())
def test_edges_without_a_circle_are_kept_and_the_result_does_not_depend_on_the_order_given(data):
    ids = data.draw(st.lists(IDS, min_size=2, max_size=10, unique=True))
    pairs = data.draw(st.lists(st.tuples(st.integers(0, len(ids) - 1), st.integers(0, len(ids) - 1)), max_size=12))
    before = {name: set() for name in ids}
    after = {name: set() for name in ids}
    # edges go along one arbitrary order of the ids, so there is no circle
    for number, (one, two) in enumerate(pairs):
        if one < two:
            (before[ids[one]] if number % 2 else after[ids[two]]).add(ids[two] if number % 2 else ids[one])
    steps = [step(name, before=before[name], after=after[name]) for name in ids]
    result = [one.id for one, _ in ordered(Phase.INSTALL, steps)]
    assert sorted(result) == sorted(ids)
    for one, two in pairs:
        if one < two:
            assert result.index(ids[one]) < result.index(ids[two])
    random.Random(len(pairs)).shuffle(steps)
    assert [one.id for one, _ in ordered(Phase.INSTALL, steps)] == result


@given(st.sets(IDS, min_size=1, max_size=8))
def test_an_edge_to_an_absent_step_changes_nothing(ids):
    steps = [step(name, before=("99-zzzz",), after=("00-aaaa",)) for name in ids]
    assert [one.id for one, _ in ordered(Phase.INSTALL, steps)] == sorted(ids)


def test_a_circle_shows_its_path():
    steps = [step("10-a", "one", after=("20-b",)), step("20-b", "two", after=("10-a",)), step("05-c", "three")]
    with pytest.raises(PlanError) as caught:
        ordered(Phase.INSTALL, steps)
    assert caught.value.message in {
        "steps of the phase install must each come before the next, in a circle: 10-a → 20-b → 10-a",
        "steps of the phase install must each come before the next, in a circle: 20-b → 10-a → 20-b",
    }
    assert set(caught.value.where) == {"install/10-a of one", "install/20-b of two"}


def test_a_step_that_must_come_after_itself_is_a_circle():
    with pytest.raises(PlanError, match="10-a → 10-a"):
        ordered(Phase.INSTALL, [step("10-a", before=("10-a",))])
