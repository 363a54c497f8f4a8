"""What of a plan would be found in the cache, without touching anything: for ``--plan``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from imagewright.building.packages.locked import fixed_epoch
from imagewright.building.packages.transaction import DATED
from imagewright.building.state import EARLIEST
from imagewright.building.tree.growing import TREE_PHASES, check_start
from imagewright.building.tree.keeping import ASKED_AGAIN_AFTER, told_age
from imagewright.building.tree.layerkeys import LayerKeys, mapping_name
from imagewright.documents import parse_json
from imagewright.errors import HostError
from imagewright.layers.reads import answering
from imagewright.layers.store import Answer, Store, salt_of, write_whole
from imagewright.plan import Plan, PlannedStep, digest_of
from imagewright.planning.coresteps import RESOLVE
from imagewright.planning.keys import BESIDE, EXTRA_DATA, PACKAGE_VERSIONS, STATE
from imagewright.planning.prepared import Prepared
from imagewright.request import Request
from imagewright.sandbox.mapping import mapping_of_caller
from imagewright.types import Call, Phase, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What will become of a step. ``on`` names the step whose finding decides, ``why`` is for people."""

    status: Literal["cached", "run", "depends"]
    on: str = ""
    why: str = ""


def forecast(request: Request, prepared: Prepared) -> dict[str, Prospect]:
    """The prospect of every step by its name, as of now. Raises UsageError for a bad SOURCE_DATE_EPOCH or start."""
    check_start(request, prepared)
    return Forecast(request, prepared).all()


def remember_plan(cache_dir: Path, prepared: Prepared, facts: Mapping[str, str]) -> None:
    """Write down what an image was built from, so that the next plan of it can say what changed. Raises OSError."""
    folder = cache_dir / "plans"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    steps = {step.name: dict(step.inputs) for step in prepared.plan.steps}
    known = {name: digest_of(value) for name, value in facts.items()}
    write_whole(folder / _name(prepared), json.dumps({"steps": steps, "facts": known}, sort_keys=True))


def _name(prepared: Prepared) -> str:
    return f"{digest_of(prepared.context.image_name)[:16]}.json"


class Forecast:
    """The walk through a plan, as a build makes it."""

    def __init__(self, request: Request, prepared: Prepared) -> None:
        self._request = request
        self._prepared = prepared
        self._store = _store(request)
        salted = self._store is not None and self._store.folder.exists()
        self._keys = LayerKeys(prepared, salt_of(request.cache_dir / "layers") if salted else b"")
        self._before, self._facts_before = _record(request.cache_dir / "plans" / _name(prepared))
        self._facts: dict[str, str] = {}
        epoch = fixed_epoch(request, prepared)
        self._fixed = epoch is not None
        self._epoch = EARLIEST if epoch is None else epoch
        self._below = ""
        self._kernel = ""
        self._finds = True  # not from the step of ``--from`` on
        self.oldest = 0.0
        """Seconds since the oldest answer that was taken was given."""
        self._decided_by = ""  # the step whose finding must be waited for
        self._runs = ""  # the first step that is sure to run

    @property
    def top(self) -> str:
        """The identity of the topmost layer that was found, once all steps have been looked at."""
        return self._below

    def all(self) -> dict[str, Prospect]:
        """The prospect of every step, by its name."""
        found = {}
        for phase in Phase:
            for planned in self._prepared.plan.of(phase):
                found[planned.name] = self._tree_step(planned) if phase in TREE_PHASES else _outside(phase)
        return found

    def _tree_step(self, planned: PlannedStep) -> Prospect:
        if self._request.no_cache:
            return Prospect(status="run", why="--no-cache")
        if self._request.start_from in (planned.phase.value, planned.name):
            self._finds = False
        if self._runs:
            if self._finds and self._has_record(planned):
                return Prospect(status="depends", on=self._runs, why=_KEPT)
            return Prospect(status="run", why=self._changes(planned) or f"{self._runs} runs before it")
        if not self._finds:
            return self._run(planned, "--from")
        if self._decided_by:
            return Prospect(status="depends", on=self._decided_by, why=self._changes(planned))
        if _asks(planned) and (waits := self._question(planned)):
            self._decided_by = planned.name
            return Prospect(status="run", why=waits)
        unknown = next((name for name in planned.facts if name not in self._facts and name in _FINDERS), "")
        if unknown:
            self._decided_by = _FINDERS[unknown](self._prepared.plan) or planned.name
            return Prospect(status="depends", on=self._decided_by)
        key = self._keys.layer(planned, self._facts, self._epoch)
        if key is None:
            self._decided_by = _finder(self._prepared.plan, planned, self._facts)
            return Prospect(status="depends", on=self._decided_by)
        found = self._store.peek(key, self._below) if self._store else None
        if found is None:
            if self._has_record(planned):
                self._runs = planned.name
                return Prospect(status="depends", on="what it read", why=_KEPT)
            known = planned.name in self._before
            nothing = "its layer is not kept any more" if known else "it was not built before"
            return self._run(planned, self._changes(planned) or nothing)
        self._below = found.identity
        self._kernel = found.kernel
        self._facts |= found.facts
        self._epoch = self._epoch if self._fixed else found.epoch
        return Prospect(status="cached")

    def _has_record(self, planned: PlannedStep) -> bool:
        """Whether a layer is kept that serves again if nothing that its step read turns out to have changed."""
        if not planned.step.keep or self._store is None:
            return False
        question = self._keys.apart(planned, self._facts, self._epoch, self._kernel)
        return question is not None and any(answering(self._store.folder, question))

    def _run(self, planned: PlannedStep, why: str) -> Prospect:
        self._runs = planned.name
        return Prospect(status="run", why=why)

    def _changes(self, planned: PlannedStep) -> str:
        """Which inputs and facts of a step are not those of the last build of this image."""
        before = self._before.get(planned.name)
        if before is None:
            return "it was not in this image's last build" if self._before else ""
        now = dict(planned.inputs)
        changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if "script" in changed and BESIDE in changed:
            # the script itself lies among them
            changed.remove(BESIDE)
        for name in planned.facts:
            if name in self._facts and self._facts_before.get(name) != digest_of(self._facts[name]):
                changed.append(name)
        return f"changed: {', '.join(changed)}" if changed else ""

    def _question(self, planned: PlannedStep) -> str:
        """Why the world must be asked before anything can be said; empty if an answer is there and was taken."""
        question = self._keys.question(planned, self._below)
        answer = self._store.answer(question) if self._store else None
        if answer is None:
            return "it has not been asked yet"
        if self._request.refresh:
            return "--refresh asks again"
        if answer.age > ASKED_AGAIN_AFTER and not self._request.offline:
            return f"asks again: the last answer is {told_age(answer.age)} old"
        self._learn(answer)
        return ""

    def _learn(self, answer: Answer) -> None:
        self.oldest = max(self.oldest, answer.age)
        self._facts |= answer.facts
        dated = answer.facts.get(DATED, "")
        if dated.isdecimal() and not self._fixed:
            self._epoch = int(dated)


_KEPT = "it is kept while nothing that it read has changed"


def _asks(planned: PlannedStep) -> bool:
    action = planned.step.action
    return (isinstance(action, Call) and bool(action.asks)) or planned.step.id == RESOLVE


def _outside(phase: Phase) -> Prospect:
    whys = {Place.HOST: "it runs in every build", Place.DISK: "the disk is laid out in every build"}
    return Prospect(status="run", why=whys.get(phase.place, "in the booted image"))


def _extra_data(plan: Plan) -> str:
    return next((step.name for step in reversed(plan.of(Phase.EXTRA_DATA))), "")


def _resolve(plan: Plan) -> str:
    return f"{Phase.PACKAGES}/{RESOLVE}"


_FINDERS = {EXTRA_DATA: _extra_data, PACKAGE_VERSIONS: _resolve}


def _finder(plan: Plan, planned: PlannedStep, facts: Mapping[str, str]) -> str:
    """The step that finds the first fact that is not known yet."""
    missing = [name for name in planned.facts if name not in facts and name != STATE]
    for step in plan.steps:
        action = step.step.action
        if isinstance(action, Call) and set(action.finds) & set(missing):
            return step.name
    return planned.name


def _store(request: Request) -> Store | None:
    if request.no_cache:
        return None
    try:
        folder = request.cache_dir / "layers" / mapping_name(mapping_of_caller())
    except HostError:
        return None
    return Store(folder, lambda sentence: None)


def _record(path: Path) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The inputs of each step, and the digests of the facts, of the last build of an image."""
    try:
        document: Any = parse_json(path.read_bytes())
        steps = {str(name): dict(inputs) for name, inputs in document["steps"].items()}
        return steps, dict(document["facts"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}, {}
