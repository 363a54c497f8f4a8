"""Collects the steps of the chosen flavours and refuses those that break the contract."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import PurePosixPath

from imagewright.asking import Panel
from imagewright.discovery import Loaded
from imagewright.errors import ContractError, PlanError, UsageError
from imagewright.flavour import OPERATING_SYSTEM
from imagewright.flavourtoml import KEEP
from imagewright.metadata import broken
from imagewright.planning.fingerprints import fingerprint_of
from imagewright.planning.ordering import Given
from imagewright.scripts import STEP_ID
from imagewright.types import (
    KEPT_BY_READS,
    Action,
    BuildContext,
    Call,
    Command,
    Layout,
    Origin,
    Packages,
    Partition,
    Phase,
    Put,
    Script,
    Size,
    Step,
    Tree,
)

_TARGET: tuple[type[Action], ...] = (Script, Command, Put)
_MAPPED: tuple[type[Action], ...] = (Command, Call, Script)

ALLOWED: Mapping[Phase, tuple[type[Action], ...]] = {
    Phase.BLOCK_DEVICE_SIZE: (Size, Script),
    Phase.EXTRA_DATA: (Script, Command, Call),
    Phase.ROOT: _MAPPED,
    Phase.PRE_INSTALL: _TARGET,
    Phase.PACKAGES: (Packages,),
    Phase.INSTALL: _TARGET,
    Phase.POST_INSTALL: _TARGET,
    Phase.FINALISE: _TARGET,
    Phase.CLEANUP: _MAPPED,
    Phase.BLOCK_DEVICE: (Layout, Partition, Script),
    Phase.FIRST_BOOT: (Script,),
}
"""What a step may be, by phase."""

PACKAGE_NAME = re.compile(r"[A-Za-z0-9][^\s]*")
FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """All steps by phase, in no order yet; ``hooks`` is what each flavour lays into the merged tree, by entry path."""

    steps: Mapping[Phase, tuple[Given, ...]]
    skipped: tuple[str, ...]


def collect(
    panel: Panel,
    flavours: Sequence[Loaded],
    contexts: Mapping[str, BuildContext],
    skips: Sequence[str],
) -> tuple[Collected, Mapping[str, tuple[tuple[Phase, Step], ...]]]:
    """Ask every flavour for every phase, check the answers, take out the skipped ones.

    The second value holds every step by flavour, skipped ones included: their files stay beside the others.
    Raises ContractError for a step that breaks the contract and UsageError for a skip that names no step.
    """
    by_flavour: dict[str, tuple[tuple[Phase, Step], ...]] = {}
    kept: dict[Phase, list[Given]] = {phase: [] for phase in Phase}
    wanted = dict.fromkeys(skips)
    available: list[str] = []
    for loaded in flavours:
        own: list[tuple[Phase, Step]] = []
        for phase in Phase:
            for step in panel.steps(loaded, phase, contexts[loaded.name]):
                checked = _checked(step, phase, loaded)
                own.append((phase, checked))
                name = f"{loaded.name}:{phase}/{step.id}"
                available.append(name)
                if name not in wanted:
                    kept[phase].append((checked, loaded.origin))
        by_flavour[loaded.name] = tuple(own)
    for skip in wanted:
        if skip not in available:
            raise _unknown_skip(skip, available)
    collected = Collected(steps={phase: tuple(kept[phase]) for phase in Phase}, skipped=tuple(wanted))
    return collected, by_flavour


def check_block_device(steps: Sequence[Given]) -> None:
    """Raise PlanError for two layouts, a layout and a script, or a partition for no layout; scripts alone chain."""
    layouts = [(step, origin) for step, origin in steps if isinstance(step.action, Layout)]
    partitions = [(step, origin) for step, origin in steps if isinstance(step.action, Partition)]
    if partitions and not layouts:
        step, origin = partitions[0]
        raise PlanError(
            "partition-without-layout",
            f"flavour `{origin.flavour}` adds a partition, and no flavour declares the layout that it would be part of",
            where=(f"{Phase.BLOCK_DEVICE}/{step.id} of {origin}",),
            hint="name a flavour that does, such as `vm`",
        )
    rivals = [given for given in steps if not isinstance(given[0].action, Partition)]
    if layouts and len(rivals) > 1:
        first = layouts[0]
        second = next(given for given in rivals if given[0] is not first[0])
        raise PlanError(
            "two-disk-layouts",
            f"flavours `{first[1].flavour}` and `{second[1].flavour}` both lay out the disk",
            where=tuple(f"{Phase.BLOCK_DEVICE}/{step.id} of {origin}" for step, origin in (first, second)),
            hint=" or ".join(
                f"--skip {origin.flavour}:{Phase.BLOCK_DEVICE}/{step.id}" for step, origin in (first, second)
            ),
        )


def check_package_name(name: str, origin: Origin) -> None:
    """Raise ContractError for what no package is called, such as an option."""
    if PACKAGE_NAME.fullmatch(name) is None:
        raise broken(
            origin,
            "bad-package-name",
            f"flavour `{origin.flavour}` wants a package with an impossible name: {name!r}",
        )


def _unknown_skip(skip: str, available: Sequence[str]) -> UsageError:
    near = get_close_matches(skip, available, n=1)
    return UsageError(
        "unknown-step",
        f"`--skip {skip}` names no step of this build",
        cause="" if re.fullmatch(r"[^:]+:[^/]+/.+", skip) else "a step is named FLAVOUR:PHASE/NN-name",
        hint=f"did you mean `{near[0]}`?" if near else "disk-image-create --plan shows all steps",
        option="skip",
    )


def _checked(step: Step, phase: Phase, loaded: Loaded) -> Step:
    fail = _Blame(loaded.origin, phase, step)
    if STEP_ID.fullmatch(str(step.id)) is None:
        raise fail(
            "bad-step-id",
            "has an id that is not NN-name",
            cause="an id is two digits, a dash, lower-case letters, digits and dashes",
        )
    allowed = ALLOWED[phase]
    if not isinstance(step.action, allowed):
        names = " or ".join(kind.__name__ for kind in allowed)
        raise fail("wrong-action", f"is a {type(step.action).__name__}; in the phase {phase} it must be {names}")
    if phase is Phase.ROOT and OPERATING_SYSTEM not in loaded.metadata.provides:
        raise fail(
            "root-without-operating-system",
            "makes the root tree, and its flavour is no operating system",
            hint=f'provides = ("{OPERATING_SYSTEM}",)',
        )
    for edges in (step.before, step.after):
        if not _are_strings(edges):
            raise fail("bad-edges", "has edges that are no set of ids")
    if step.keep and (
        str(step.keep) != KEEP or phase not in KEPT_BY_READS or not isinstance(step.action, Script | Command)
    ):
        raise fail(
            "bad-keep",
            f"cannot be kept `{step.keep}`",
            cause=f"it is for scripts and commands of {', '.join(KEPT_BY_READS[:-1])} and {KEPT_BY_READS[-1]}",
            hint=f'keep="{KEEP}"',
        )
    return replace(
        step,
        action=_checked_action(step.action, fail),
        before=frozenset(step.before),
        after=frozenset(step.after),
    )


class _Blame:
    """Makes the errors about one step."""

    def __init__(self, origin: Origin, phase: Phase, step: Step) -> None:
        self._origin = origin
        self._name = f"{phase}/{step.id}"

    def __call__(self, reference: str, message: str, *, cause: str = "", hint: str = "") -> ContractError:
        what = f"the step `{self._name}` of flavour `{self._origin.flavour}` {message}"
        return broken(self._origin, reference, what, cause=cause, hint=hint)


def _checked_action(action: Action, fail: _Blame) -> Action:
    match action:
        case Script():
            if not action.content.startswith((b"#!", b"\x7fELF")):
                raise fail("not-executable", "has no `#!` line, so nothing can run it", hint="begin it with #!/bin/sh")
            return replace(action, data=_checked_tree(action.data, fail))
        case Put():
            if not action.at.startswith("/") or ".." in PurePosixPath(action.at).parts:
                raise fail("bad-path", f"is put at `{action.at}`, which is not an absolute path")
            return replace(action, tree=_checked_tree(action.tree, fail))
        case Command():
            if not action.argv or not _are_strings(action.argv):
                raise fail("bad-command", "is a command whose argv is not a tuple of strings")
            return replace(action, argv=tuple(action.argv))
        case Call():
            return _checked_call(action, fail)
        case Size():
            if action.minimum < 0 or (action.maximum is not None and action.maximum < action.minimum):
                raise fail("bad-size", f"bounds the size to {action.minimum} … {action.maximum} bytes")
        case Layout():
            _check_layout(action, fail)
        case Partition():
            if action.size <= 0 or action.role != "data":
                raise fail("bad-partition", "adds a partition that has no size or is not of role data")
        case Packages():
            if not _are_strings(action.names):
                raise fail("bad-packages", "names packages by a string, not a tuple of strings")
    return action


def _are_strings(values: object) -> bool:
    """Whether it is a collection of strings; a lone string is none."""
    return isinstance(values, tuple | list | set | frozenset) and all(isinstance(value, str) for value in values)


def _checked_call(action: Call, fail: _Blame) -> Call:
    if FUNCTION.fullmatch(action.function) is None:
        raise fail("bad-call", f"calls `{action.function}`, which is not `module:function`")
    for name, value in action.arguments.items():
        if value is not None and not isinstance(value, str | int | float | bool):
            raise fail("bad-call", f"has an argument `{name}` that JSON cannot carry: {type(value).__name__}")
    if action.fingerprint:
        return action
    try:
        return replace(action, fingerprint=fingerprint_of(action.function))
    except ImportError as error:
        raise fail("bad-call", f"calls `{action.function}`, which cannot be found", cause=str(error)) from error


def _check_layout(layout: Layout, fail: _Blame) -> None:
    roots = [partition for partition in layout.partitions if partition.role == "root"]
    if len(roots) != 1:
        raise fail("bad-layout", f"has {len(roots)} partitions of role root; it must have one")
    if sum(partition.size == 0 for partition in layout.partitions) > 1:
        raise fail("bad-layout", "has more than one partition that takes the room left")
    names = [partition.name for partition in layout.partitions]
    if len(set(names)) != len(names):
        raise fail("bad-layout", "has two partitions of one name")


def _checked_tree(tree: Tree, fail: _Blame) -> Tree:
    """The same tree, sorted."""
    seen: set[str] = set()
    for entry in tree.entries:
        parts = entry.path.split("/")
        if not entry.path or any(part in {"", ".", ".."} for part in parts):
            raise fail("bad-path", f"has a file at `{entry.path}`, which is not a plain relative path")
        if entry.path in seen:
            raise fail("bad-path", f"has two files at `{entry.path}`")
        seen.add(entry.path)
    return Tree(tuple(sorted(tree.entries, key=lambda entry: entry.path)))
