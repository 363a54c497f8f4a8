"""Keys of steps, and what a step sees at ``/tmp/in_target.d``.

Three chains, because a key must change exactly when the result may: ``block-device-size`` and ``extra-data`` each have
one of their own (they run every time; what they find out is a fact), and one goes from ``root`` through the phases of
the tree (first-boot included: its scripts are content of the tree) to ``block-device``, whose last key thus covers all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from imagewright.errors import PlanError
from imagewright.plan import CORE, ChosenFlavour, Plan, PlannedStep, digest_of
from imagewright.planning.coresteps import INSTALL
from imagewright.planning.ordering import Given
from imagewright.planning.parameters import Secret
from imagewright.types import (
    Action,
    Call,
    Command,
    Entry,
    Layout,
    Packages,
    Partition,
    Phase,
    Place,
    Put,
    Script,
    Size,
    Step,
    Tree,
)

BESIDE = "files beside it"
"""The name of an input: all that a step's flavour, and those that it requires, lay at ``/tmp/in_target.d``."""

EXTRA_DATA = "extra-data tree"
PACKAGE_VERSIONS = "package versions"
DISK_SIZE = "disk size"
SECRETS = "secret parameters"
STATE = "state of the source"
"""Names of facts, as :attr:`PlannedStep.facts` holds them. The first is found by the phase extra-data, the second by
``packages/10-resolve``, the third by block-device-size and the tree's content; the fourth is the digest of the secret
values with the machine's salt (:func:`secrets_digest`), so that no key in a plan or manifest lets them be guessed.
The last is what the function that a call names as :attr:`Call.asks` answers."""

SCRIPTS_ONLY = frozenset({"IMAGE_NAME"})
"""Variables that commands and calls do not get: their flavours know them from ``ctx`` and put them into the declaration
if it matters, so that images of two names share their layers."""

SEES_EXTRA_DATA = frozenset(
    {
        Phase.PRE_INSTALL,
        Phase.INSTALL,
        Phase.POST_INSTALL,
        Phase.FINALISE,
        Phase.CLEANUP,
        Phase.BLOCK_DEVICE,
    }
)
"""Where the merged tree holds what extra-data wrote. Neither root nor the core's package steps see it, so that new
data of the caller's never cost a new root tree or a new transaction."""

CHAINS = (
    (Phase.BLOCK_DEVICE_SIZE,),
    (Phase.EXTRA_DATA,),
    (
        Phase.ROOT,
        Phase.PRE_INSTALL,
        Phase.PACKAGES,
        Phase.INSTALL,
        Phase.POST_INSTALL,
        Phase.FINALISE,
        Phase.CLEANUP,
        Phase.FIRST_BOOT,
        Phase.BLOCK_DEVICE,
    ),
)


LATE = frozenset({Phase.FINALISE, Phase.CLEANUP, Phase.BLOCK_DEVICE})
"""The phases that know what the disk will be: its root filesystem's UUID and label, and the kernel's arguments. No
earlier one does, so that images of other labels or arguments share the costly layers."""

EMPTY: Mapping[str, str] = MappingProxyType({})


def planned(
    steps: Mapping[Phase, Sequence[Given]],
    flavours: Sequence[ChosenFlavour],
    environment: Mapping[str, str],
    repositories: Sequence[object] = (),
    late: Mapping[str, str] = EMPTY,
) -> tuple[PlannedStep, ...]:
    """Give every step its key and its facts; ``environment`` is what every script sees.

    ``late`` holds the variables that only the phases of :data:`LATE` see besides.
    ``repositories`` declares those that serve the build, without logins: all steps after the first tree may use them.
    """
    chosen = {flavour.name: flavour for flavour in flavours}
    made: dict[Phase, list[PlannedStep]] = {phase: [] for phase in Phase}
    inputs_of = _Inputs(chosen)
    has_extra_data = bool(steps.get(Phase.EXTRA_DATA))
    for chain in CHAINS:
        key = digest_of("imagewright", 2, environment.get("ARCH"), environment.get("RELEASE"))
        facts: dict[str, None] = {}
        shared: dict[str, str] = {}
        for phase in chain:
            if phase is Phase.PRE_INSTALL and repositories:
                shared["repositories"] = digest_of(*repositories)
            given = {**environment, **late} if phase in LATE else environment
            for step, origin in steps.get(phase, ()):
                flavour = chosen.get(origin.flavour) if origin != CORE else None
                facts |= dict.fromkeys(_facts(phase, step, flavour, has_extra_data))
                inputs = tuple(sorted((inputs_of(phase, step, flavour, given) | shared).items()))
                key = digest_of(key, phase.value, step.id, inputs)
                made[phase].append(
                    PlannedStep(phase=phase, step=step, origin=origin, key=key, facts=tuple(facts), inputs=inputs)
                )
    return tuple(step for phase in Phase for step in made[phase])


def merged_hooks(plan: Plan, flavour: str) -> Tree:
    """What the steps of a flavour see at ``/tmp/in_target.d``: its own files and those of all it requires.

    What extra-data wrote is laid over it. A name that is no flavour of the plan (the core's steps) sees nothing.
    """
    chosen = {one.name: one for one in plan.flavours}
    return merged(chosen[flavour], chosen) if flavour in chosen else Tree()


def merged(flavour: ChosenFlavour, chosen: Mapping[str, ChosenFlavour]) -> Tree:
    """The same from the flavours. Raises PlanError if two flavours have different files at one path."""
    entries: dict[str, tuple[Entry, str]] = {}
    for name in (*flavour.requires, flavour.name):
        for entry in chosen[name].hooks.entries:
            other = entries.get(entry.path)
            if other is not None and other[0].fingerprint() != entry.fingerprint():
                raise PlanError(
                    "same-file-twice",
                    f"flavours `{other[1]}` and `{name}` both have a file `{entry.path}`, and the two differ",
                    where=(str(chosen[other[1]].origin), str(chosen[name].origin)),
                    cause=f"the steps of `{flavour.name}` see the files of both in one folder",
                    hint="give one of them another name",
                )
            entries[entry.path] = (entry, name)
    return Tree(tuple(entries[path][0] for path in sorted(entries)))


def secrets_digest(flavours: Sequence[ChosenFlavour], salt: bytes) -> str:
    """The fact :data:`SECRETS`: a digest of all secret values that means nothing without this machine's salt."""
    values = [(one.name, name, value) for one in flavours for name, value in one.values if isinstance(value, Secret)]
    return hashlib.blake2b(digest_of(values).encode(), key=salt[:64]).hexdigest() if values else ""


def _facts(phase: Phase, step: Step, flavour: ChosenFlavour | None, has_extra_data: bool) -> Sequence[str]:
    facts: list[str] = []
    sees_files = flavour is not None and isinstance(step.action, Script | Command)
    if sees_files and has_extra_data and phase in SEES_EXTRA_DATA:
        facts.append(EXTRA_DATA)
    if phase is Phase.PACKAGES and flavour is None and step.id == INSTALL:
        facts.append(PACKAGE_VERSIONS)
    if isinstance(step.action, Call):
        facts.extend(step.action.needs)
        if step.action.asks:
            facts.append(STATE)
    if phase is Phase.BLOCK_DEVICE:
        facts.append(DISK_SIZE)
    if flavour and any(parameter.secret for parameter in flavour.parameters):
        facts.append(SECRETS)
    return facts


def _secrets(flavour: ChosenFlavour) -> tuple[str, ...]:
    return tuple(value for _, value in flavour.values if isinstance(value, Secret) and value)


class _Inputs:
    """The digest of each input of a step by its name: everything that it is and sees, as far as the plan knows it.

    What steps of one flavour have in common is digested once.
    """

    def __init__(self, chosen: Mapping[str, ChosenFlavour]) -> None:
        self._chosen = chosen
        self._values: dict[str, dict[str, str]] = {}
        self._files: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def __call__(
        self, phase: Phase, step: Step, flavour: ChosenFlavour | None, environment: Mapping[str, str]
    ) -> dict[str, str]:
        """Those of one step; ``environment`` is what scripts of its phase see."""
        if flavour is None:
            return {name: digest_of(value) for name, value in _action(step.action, ()).items()}
        inputs = {name: digest_of(value) for name, value in _action(step.action, _secrets(flavour)).items()}
        inputs["flavour"] = self._text(flavour.name)
        if not isinstance(step.action, Script | Command | Call):
            return inputs
        if phase.place is Place.HOST:
            # what it says that it reads is what it can see of the caller's home
            inputs["reads"] = digest_of(sorted(flavour.reads))
        inputs |= self._parameters(flavour)
        names = environment.keys() - (set() if isinstance(step.action, Script) else SCRIPTS_ONLY)
        inputs |= {f"variable {name}": self._text(environment[name]) for name in names}
        if isinstance(step.action, Script | Command):
            inputs[BESIDE] = self._merged(flavour)
        if step.keep:
            # what it is told and may do depends on it
            inputs["keep"] = self._text(step.keep)
        return inputs

    def _parameters(self, flavour: ChosenFlavour) -> dict[str, str]:
        if flavour.name not in self._values:
            hidden = {parameter.name for parameter in flavour.parameters if parameter.secret}
            plain = ((name, value) for name, value in flavour.values if name not in hidden)
            self._values[flavour.name] = {f"parameter {name}": digest_of(value) for name, value in plain}
        return self._values[flavour.name]

    def _merged(self, flavour: ChosenFlavour) -> str:
        if flavour.name not in self._files:
            tree = merged(flavour, self._chosen)
            self._files[flavour.name] = _masked_tree(tree, _secrets(flavour)).digest
        return self._files[flavour.name]

    def _text(self, text: str) -> str:
        if text not in self._texts:
            self._texts[text] = digest_of(text)
        return self._texts[text]


def _action(action: Action, secrets: Sequence[str]) -> dict[str, object]:
    """The declaration of an action as plain values by what they are, with stars for secrets."""
    match action:
        case Script():
            content = hashlib.sha256(_masked_bytes(action.content, secrets)).hexdigest()
            return {"script": content, "data files": _masked_tree(action.data, secrets).digest}
        case Command():
            environment = {name: masked(value, secrets) for name, value in action.environment.items()}
            return {"command": [[masked(word, secrets) for word in action.argv], environment]}
        case Packages():
            return {"packages": list(action.names)}
        case Put():
            return {"place": action.at, "files": _masked_tree(action.tree, secrets).digest}
        case Call():
            arguments = {
                name: masked(value, secrets) if isinstance(value, str) else value
                for name, value in action.arguments.items()
            }
            return {
                "function": [action.function, action.asks, *((action.fetches,) if action.fetches else ())],
                "arguments": arguments,
                "code": action.fingerprint,
                "facts": [list(action.finds), list(action.needs)],
            }
        case Size():
            return {"size": [action.minimum, action.maximum]}
        case Partition():
            return {"partition": _partition(action)}
        case Layout():
            return {"layout": [[_partition(one) for one in action.partitions], action.boot_loader]}


def _partition(one: Partition) -> list[object]:
    return [one.name, one.type, one.size, one.role, one.filesystem, one.label]


def masked(text: str, secrets: Sequence[str]) -> str:
    """The text with three stars for each secret in it."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return str(text)


def _masked_bytes(content: bytes, secrets: Sequence[str]) -> bytes:
    for secret in sorted(secrets, key=len, reverse=True):
        content = content.replace(secret.encode(), b"***")
    return content


def _masked_tree(tree: Tree, secrets: Sequence[str]) -> Tree:
    if not secrets:
        return tree
    return Tree(
        tuple(
            replace(entry, content=_masked_bytes(entry.content, secrets)) if entry.source is None else entry
            for entry in tree.entries
        )
    )
