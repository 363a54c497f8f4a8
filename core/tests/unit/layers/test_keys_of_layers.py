"""Keys: any input changed changes exactly the keys from its step on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagewright.building.tree.layerkeys import NOT_IN_LAYERS, LayerKeys, core_digest
from imagewright.plan import ChosenFlavour, Plan, PlannedStep
from imagewright.planning import Prepared
from imagewright.planning.keys import EXTRA_DATA, PACKAGE_VERSIONS, SECRETS, planned
from imagewright.planning.nopackages import no_packages
from imagewright.planning.ordering import ordered
from imagewright.planning.parameters import Secret
from imagewright.types import BuildContext, Entry, Origin, Parameter, Phase, Script, Step, Tree

PHASES = (Phase.ROOT, Phase.PRE_INSTALL, Phase.INSTALL, Phase.POST_INSTALL, Phase.FINALISE, Phase.CLEANUP)


@dataclass(frozen=True)
class Piece:
    """One flavour with one step."""

    name: str
    phase: Phase
    number: int
    script: str
    parameter: str
    data: str
    secret: str = ""


PIECES = st.lists(
    st.builds(
        Piece,
        name=st.from_regex(r"[a-z]{3,6}", fullmatch=True),
        phase=st.sampled_from(PHASES),
        number=st.integers(10, 99),
        script=st.text("abc", max_size=3),
        parameter=st.text("abc", max_size=3),
        data=st.text("abc", max_size=3),
    ),
    min_size=1,
    max_size=7,
    unique_by=lambda piece: piece.name,
)


def plan_of(pieces: list[Piece], environment: dict[str, str] | None = None, late: str = "") -> Plan:
    flavours = tuple(
        ChosenFlavour(
            origin=Origin(flavour=piece.name),
            parameters=(Parameter(name="word"), *((Parameter(name="key", secret=True),) if piece.secret else ())),
            values=(("word", piece.parameter), *((("key", Secret(piece.secret)),) if piece.secret else ())),
            hooks=Tree((Entry(path="data", content=piece.data.encode()),)),
        )
        for piece in pieces
    )
    steps: dict[Phase, tuple[tuple[Step, Origin], ...]] = {}
    for phase in PHASES:
        of_phase = [
            (
                Step(id=f"{piece.number}-{piece.name}", action=Script(content=piece.script.encode())),
                Origin(flavour=piece.name),
            )
            for piece in pieces
            if piece.phase is phase
        ]
        steps[phase] = ordered(phase, of_phase)
    found = planned(
        steps, flavours, environment or {"ARCH": "amd64", "IMAGE_NAME": "x"}, late={"IMAGE_ROOT_LABEL": late}
    )
    return Plan(flavours=flavours, steps=found, operating_system="", package_manager="none", packages=())


def prepared(plan: Plan) -> Prepared:
    context = BuildContext(arch="amd64", release="", operating_system="", flavours=(), image_name="x")
    return Prepared(plan=plan, context=context, package_manager=no_packages(), environment={}, parameters={})


def keys(plan: Plan) -> list[tuple[str, str]]:
    return [(step.step.id, step.key) for step in plan.steps]


def first_difference(one: Plan, two: Plan) -> int:
    """Where the keys begin to differ; from there on none may be the same."""
    pairs = list(zip(keys(one), keys(two), strict=True))
    first = next((number for number, (a, b) in enumerate(pairs) if a != b), len(pairs))
    assert all(a[1] != b[1] for a, b in pairs[first:])
    return first


@settings(max_examples=60, deadline=None)
@given(pieces=PIECES, data=st.data())
def test_a_changed_input_changes_exactly_the_keys_from_its_step_on(pieces: list[Piece], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(pieces) - 1))
    kind = data.draw(st.sampled_from(["script", "parameter", "data"]))
    piece = pieces[number]
    changed = [*pieces]
    changed[number] = replace(piece, **{kind: getattr(piece, kind) + "!"})
    before, after = plan_of(pieces), plan_of(changed)
    place = next(at for at, step in enumerate(before.steps) if step.origin.flavour == piece.name)
    assert first_difference(before, after) == place
    named = {name for name, value in after.steps[place].inputs if (name, value) not in before.steps[place].inputs}
    assert named == {{"script": "script", "parameter": "parameter word", "data": "files beside it"}[kind]}


@settings(max_examples=40, deadline=None)
@given(pieces=PIECES, data=st.data())
def test_the_order_in_which_independent_flavours_are_named_does_not_matter(
    pieces: list[Piece], data: st.DataObject
) -> None:
    mixed = data.draw(st.permutations(pieces))
    assert keys(plan_of(pieces)) == keys(plan_of(mixed))


@settings(max_examples=40, deadline=None)
@given(pieces=PIECES)
def test_what_the_disk_will_be_changes_no_key_before_finalise(pieces: list[Piece]) -> None:
    before, after = plan_of(pieces, late="one"), plan_of(pieces, late="two")
    late = [at for at, step in enumerate(before.steps) if step.phase in (Phase.FINALISE, Phase.CLEANUP)]
    assert first_difference(before, after) == (late[0] if late else len(before.steps))
    assert before.root_uuid == after.root_uuid


@settings(max_examples=40, deadline=None)
@given(pieces=PIECES, data=st.data())
def test_the_uuid_of_the_root_filesystem_follows_from_what_is_before_finalise(
    pieces: list[Piece], data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(pieces) - 1))
    changed = [*pieces]
    changed[number] = replace(pieces[number], script=pieces[number].script + "!")
    same = plan_of(pieces).root_uuid == plan_of(changed).root_uuid
    assert same == (pieces[number].phase in (Phase.FINALISE, Phase.CLEANUP))


def layer_keys(plan: Plan, facts: dict[str, str], *, epoch: int = 0, salt: bytes = b"salt") -> list[str | None]:
    keys_of = LayerKeys(prepared(plan), salt)
    return [keys_of.layer(step, facts, epoch) for step in plan.steps]


def with_facts(plan: Plan, name: str, start: int) -> Plan:
    steps = [replace(step, facts=(name,)) if at >= start else step for at, step in enumerate(plan.steps)]
    return replace(plan, steps=tuple(steps))


@settings(max_examples=40, deadline=None)
@given(pieces=PIECES, name=st.sampled_from([EXTRA_DATA, PACKAGE_VERSIONS, "a fact of a flavour"]), data=st.data())
def test_a_fact_changes_exactly_the_layers_that_depend_on_it(
    pieces: list[Piece], name: str, data: st.DataObject
) -> None:
    plain = plan_of(pieces)
    start = data.draw(st.integers(0, len(plain.steps)))
    plan = with_facts(plain, name, start)
    one, two, none = (layer_keys(plan, facts) for facts in ({name: "1"}, {name: "2"}, {}))
    assert one[:start] == two[:start] == none[:start]
    assert all(a != b for a, b in zip(one[start:], two[start:], strict=True))
    assert none[start:] == [None] * (len(plan.steps) - start)


@settings(max_examples=30, deadline=None)
@given(pieces=PIECES)
def test_the_date_of_the_build_changes_every_layer(pieces: list[Piece]) -> None:
    plan = plan_of(pieces)
    assert not set(layer_keys(plan, {}, epoch=1)) & set(layer_keys(plan, {}, epoch=2))


def secret_steps(token: str) -> tuple[Plan, tuple[PlannedStep, ...]]:
    pieces = [
        Piece("aaa", Phase.INSTALL, 10, "", "", "", secret="first"),
        Piece("bbb", Phase.INSTALL, 20, "", "", "", secret=token),
        Piece("ccc", Phase.INSTALL, 30, "", "", ""),
    ]
    plan = plan_of(pieces)
    return plan, plan.steps


def test_a_secret_changes_the_layers_from_its_flavour_on_and_only_with_this_salt() -> None:
    plan, steps = secret_steps("one")
    other, _steps = secret_steps("two")
    assert [step.key for step in plan.steps] == [step.key for step in other.steps]
    assert SECRETS in steps[0].facts
    one, two = layer_keys(plan, {}), layer_keys(other, {})
    assert one[0] == two[0]
    assert one[1] != two[1]
    assert one[2] != two[2]
    assert layer_keys(plan, {}, salt=b"pepper")[1] != one[1]


def test_what_has_no_part_in_a_layer_is_named_as_it_is() -> None:
    top = resources.files("imagewright")
    gone = [name for name in NOT_IN_LAYERS if not top.joinpath(name.removeprefix("imagewright.")).exists()]
    assert gone == []


def test_code_counts_unless_it_or_its_room_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("pieces", "pieces/room", "pieces/other"):
        (tmp_path / folder).mkdir()
        for name in ("__init__", "one", "two"):
            (tmp_path / folder / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    def digest() -> str:
        # the cache would not look at the files twice
        return core_digest.__wrapped__("pieces", without=frozenset({"pieces/two.py", "pieces/room"}))

    for changed in ("two.py", "room/one.py", "room/__init__.py"):
        before = digest()
        (tmp_path / "pieces" / changed).write_text("changed = True")
        assert digest() == before, changed
    for changed in ("one.py", "other/one.py", "other/two.py"):
        before = digest()
        (tmp_path / "pieces" / changed).write_text("changed = True")
        assert digest() != before, changed
