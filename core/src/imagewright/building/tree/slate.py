"""Whether an image or a ramdisk is a blank slate: what the rules find, who brought it, and who allows it.

Nothing here decides what a step leaves; the room ``blankslate`` has the rules and finds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagewright.blankslate.marks import Marks, host_identifiers, host_names, proxies_of
from imagewright.blankslate.rules import NAMES, RULES
from imagewright.building.staging.environment import HOOKS, proxies
from imagewright.building.state import Building
from imagewright.building.tree.layerkeys import core_digest
from imagewright.errors import StepFailed
from imagewright.layers.store import write_whole
from imagewright.plan import CORE, ChosenFlavour, PlannedStep, digest_of
from imagewright.planning import Prepared
from imagewright.request import Request
from imagewright.sandbox.jobs import KEPT, TARGET, WORK, PythonJob
from imagewright.types import Phase

SHOWN = 40
"""Findings that a message shows; the log has all."""

USER = "--allow"
"""Who allows what the user allows by name."""

_NOTE = "slate.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A finding with who brought it: in words, and as the flavours whose own steps or files it is of.

    ``common`` is what no flavour alone answers for, such as a file of a package.
    """

    rule: str
    path: str
    value: str = ""
    giver: str = ""
    writers: frozenset[str] = frozenset()
    common: bool = False

    def __str__(self) -> str:
        """``/etc/machine-id names one machine (machine-id), from install/50-x of x``, for messages."""
        why = next(rule.why for rule in RULES if rule.name == self.rule)
        value = f": {self.value}" if self.value else ""
        giver = f", from {self.giver}" if self.giver else ""
        text = f"{self.path} {why}{value} ({self.rule}){giver}"
        # names of files may hold anything
        return text.encode(errors="backslashreplace").decode().replace("\n", "\\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Who may allow something, and where the whole list of what nobody allows goes: line by line to ``output``."""

    flavours: Sequence[ChosenFlavour]
    allow: Collection[str]
    masked: Callable[[str], str]
    output: Callable[[str], None]
    log: Path

    def allower(self, one: Brought) -> str:
        """Who allows a finding: ``--allow``, or the flavour that declares it; empty if nobody does.

        A flavour answers for what it wrote itself, and for what the first tree and the packages brought, since it may
        have asked for them.
        """
        if one.rule in self.allow:
            return USER
        for flavour in self.flavours:
            if one.rule in flavour.allows and (one.common or flavour.name in one.writers):
                return flavour.name
        return ""

    def judged(self, brought: Sequence[Brought]) -> dict[str, Any]:
        """The part of a manifest: the rules, and what was found and allowed. Raises StepFailed for all the rest."""
        verdicts = [(one, self.allower(one)) for one in brought]
        refused = [one for one, by in verdicts if not by]
        if refused:
            raise self._refusal(refused)
        return {
            "checked": list(NAMES),
            "allowed": [{"rule": one.rule, "path": one.path, "by": by} for one, by in verdicts],
        }

    def _refusal(self, refused: Sequence[Brought]) -> StepFailed:
        lines = [self.masked(str(one)) for one in refused]
        for line in lines:
            self.output(line)
        more = (f"and {len(lines) - SHOWN} more; the log has all: {self.log}",) if len(lines) > SHOWN else ()
        rules = sorted({one.rule for one in refused}, key=NAMES.index)
        quoted = ", ".join(f'"{rule}"' for rule in rules)
        return StepFailed(
            "not-a-blank-slate",
            "it is no blank slate: it holds what belongs to one machine, or to the builder",
            where=(*lines[:SHOWN], *more),
            cause="a step made it and none took it away",
            hint=f"remove it in the phase cleanup; a flavour that means it declares `allows = [{quoted}]`, "
            f"and `{' '.join(f'{USER} {rule}' for rule in rules)}` lets this build go on",
        )


# -- marks


def caller_marks(request: Request, names: Collection[str] = (), identifiers: Collection[str] = ()) -> Marks:
    """What tells this machine and the caller, whatever is built; ``names`` and ``identifiers`` are the image's own."""
    home = request.environment.get("HOME", "")
    paths = [str(path) for path in (request.cache_dir, Path(home)) if path.is_absolute() and _telling(path)]
    values = (value for name, value in proxies(request.environment).items() if name.lower() != "no_proxy")
    return Marks(
        names=host_names(but=names),
        paths=tuple(dict.fromkeys((*paths, HOOKS, TARGET, WORK))),
        proxies=proxies_of(values),
        identifiers=host_identifiers(but=identifiers),
    )


def marks_of(request: Request, prepared: Prepared) -> Marks:
    """The same for a plan, with the folders that its package manager fetches into."""
    plan = prepared.plan
    # a name that the image has of its own is no trace of the machine
    names = (plan.operating_system, prepared.context.image_name, *(flavour.name for flavour in plan.flavours))
    known = caller_marks(request, names, (plan.root_uuid,))
    return replace(known, caches=tuple(sorted(prepared.package_manager.cache_folders())))


def marks_of_build(building: Building) -> Marks:
    """The same for a running build, with the work folder and the files that serve this build."""
    request, manager = building.request, building.prepared.package_manager
    known = marks_of(request, building.prepared)
    files = manager.build_files({} if request.offline else request.environment).entries
    return replace(
        known,
        paths=(*known.paths, str(building.folder)),
        build_files={
            f"/{entry.path}": hashlib.sha256(content).hexdigest()
            for entry in files
            if entry.kind == "file" and (content := entry.read())
        },
    )


def slate_key(request: Request, prepared: Prepared) -> str:
    """The digest of everything that decides over a tree, but for the tree: rules, marks, and who allows what."""
    allowed = [sorted(request.allow), sorted((one.name, sorted(one.allows)) for one in prepared.plan.flavours)]
    return digest_of(core_digest("imagewright.blankslate"), _lasting(marks_of(request, prepared)), allowed)


def _lasting(marks: Marks, passing: str = "") -> dict[str, Any]:
    """The marks without those that are others at every start of the machine, with every disk that is plugged in, and
    in every build (the work folder ``passing``): a tree of earlier was looked through for those of then.
    """
    paths = [path for path in marks.paths if path != passing]
    return {**marks.document(), "paths": paths, "identifiers": []}


def _telling(path: Path) -> bool:
    """Whether a path is no name that an image may have for its own reasons, such as ``/tmp`` and ``/root``."""
    return len(path.parts) > 3 or (len(path.parts) == 3 and path.parts[1] == "home")


# -- the tree of an image


def checked(building: Building) -> dict[str, Any]:
    """Look through the finished tree; return what the manifest says of it.

    What was found in a tree that is kept is kept beside its last layer. Raises StepFailed for what nobody allows.
    """
    marks = marks_of_build(building)
    topmost = tuple(reversed(building.layers))
    note = building.kept / topmost[0].partition("/")[2] / _NOTE if building.top and building.kept else None
    key = digest_of(core_digest("imagewright.blankslate"), _lasting(marks, str(building.folder)), building.top)
    found = _noted(note, key)
    if found is None:
        job = PythonJob(
            function="imagewright.blankslate.looking:look",
            arguments={"target": TARGET, "marks": marks.document(), "layers": [_place(name) for name in topmost]},
            stack=building.stack(tools=False),
            network=False,
        )
        answer = building.sandbox.call(job, building.output)
        found = answer if isinstance(answer, list) else []
        if note is not None:
            with suppress(OSError):
                write_whole(note, json.dumps({"key": key, "found": found}))
    judge = Judge(
        flavours=building.prepared.plan.flavours,
        allow=building.request.allow,
        masked=building.masked,
        output=building.output,
        log=building.log,
    )
    return judge.judged([_of_tree(building, topmost, one) for one in found])


def _of_tree(building: Building, topmost: Sequence[str], found: Mapping[str, Any]) -> Brought:
    names = [topmost[number] for number in found["layers"]]
    steps = [building.brought[name] for name in names if name in building.brought]
    return Brought(
        rule=found["rule"],
        path=found["path"],
        value=found["value"],
        giver=f"{steps[0].name} of {steps[0].origin}" if steps else "",
        writers=frozenset(step.origin.flavour for step in steps),
        common=not steps or any(_is_common(step) for step in steps),
    )


def _is_common(step: PlannedStep) -> bool:
    return step.phase in (Phase.ROOT, Phase.PACKAGES) or step.origin == CORE


def _noted(note: Path | None, key: str) -> list[dict[str, Any]] | None:
    if note is None:
        return None
    try:
        document: Any = json.loads(note.read_text())
        return list(document["found"]) if document["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _place(name: str) -> str:
    """The folder of a layer, for a job outside the target."""
    kind, slash, key = name.partition("/")
    return f"{KEPT}/{key}/tree" if slash and kind == "kept" else f"{WORK}/layers/{name}"
