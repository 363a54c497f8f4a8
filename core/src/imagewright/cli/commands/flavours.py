"""``imagewright flavours``: which flavours there are, and what one of them does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from imagewright.checking.subjects import context_of
from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.cli.tables import screen_width, table, terms
from imagewright.deprecation import OLDEST_API_VERSION
from imagewright.discovery import Loaded, choose, load
from imagewright.entrypoints import Found, Survey, survey
from imagewright.errors import ImagewrightError, UsageError
from imagewright.flavour import OPERATING_SYSTEM
from imagewright.glancing import Glance, glance
from imagewright.planning.display import describe
from imagewright.planning.parameters import variables
from imagewright.types import API_VERSION, Packages, Parameter, Phase, Script, Step

RAMDISK = ("binary_deps", "init", "udev", "modules", "files")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """What a flavour gives when it is asked with its default parameters.

    ``ramdisk`` holds the ramdisk phases with something in them; ``refused`` says why a phase gave no answer.
    """

    steps: tuple[tuple[Phase, Step], ...] = ()
    ramdisk: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()  # addresses of those that serve the build alone

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases with something in them, in order."""
        return (*dict.fromkeys(phase.value for phase, _ in self.steps), *self.ramdisk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A flavour of the list; ``error`` says what keeps it from being used.

    ``complete`` is false if only running its code would tell all of its phases.
    """

    name: str
    operating_system: bool
    phases: tuple[str, ...]
    complete: bool
    summary: str
    distribution: str
    version: str
    place: str
    error: str = ""


def list_all(invocation: Invocation) -> None:
    """Print all flavours, running no code of theirs; one that cannot be used is in the list with the reason."""
    values = invocation.values
    surveyed = survey(values["flavour-path"], values["override"])
    rows = [_row(found, surveyed) for found in surveyed.found]
    if values["json"]:
        print_document(
            {
                "flavours": [{name: getattr(row, name) for name in Row.__dataclass_fields__} for row in rows],
                "unreadable": surveyed.unreadable,
            }
        )
        return
    for line in surveyed.unreadable:
        sys.stderr.write(f"note: {line}\n")
    if not rows:
        sys.stderr.write(
            "no flavour is installed\nhint: pip install a flavour pack, or name a folder with --flavour-path\n"
        )
        return
    sys.stdout.write(
        table(
            ("NAME", "KIND", "SUMMARY", "PHASES", "FROM"),
            (
                (
                    row.name,
                    "broken" if row.error else "os" if row.operating_system else "",
                    row.error or row.summary,
                    " ".join((*row.phases, *(() if row.complete else ("...",)))),
                    f"{row.distribution} {row.version}".strip() or row.place,
                )
                for row in rows
            ),
        )
    )


def _row(found: Found, surveyed: Survey) -> Row:
    error, seen = "", Glance()
    try:
        seen = glance(found)
        error = _unusable(found, seen, surveyed)
    except ImagewrightError as failure:
        error = f"{failure.message} ({failure.cause})" if failure.cause else failure.message
    return Row(
        name=found.name,
        operating_system=seen.operating_system,
        phases=seen.phases,
        complete=seen.complete,
        summary=seen.summary,
        distribution=found.distribution,
        version=found.version,
        place=found.place,
        error=error,
    )


def _unusable(found: Found, seen: Glance, surveyed: Survey) -> str:
    if len(surveyed.named(found.name)) > 1:
        return f"two flavours are called `{found.name}`; --override {found.name}=DIR chooses"
    if seen.api_version is not None and not OLDEST_API_VERSION <= seen.api_version <= API_VERSION:
        return f"it is written for version {seen.api_version} of the contract, and this is version {API_VERSION}"
    return ""


def contributions(loaded: Loaded) -> Contributions:
    """Ask a flavour for everything, as a build with its default parameters would. Raises ContractError."""
    from imagewright.asking import Panel

    panel, ctx = Panel([loaded]), context_of(loaded)
    steps: list[tuple[Phase, Step]] = []
    ramdisk: list[str] = []
    refused: list[str] = []
    for phase in Phase:
        given = _asked(phase.value, lambda phase=phase: panel.steps(loaded, phase, ctx), refused)  # type: ignore[misc]
        steps += [(phase, step) for step in sorted(given, key=lambda step: step.id)]
        if phase is Phase.PACKAGES and loaded.metadata.packages and not given:
            steps.append((phase, Step(id="00-packages", action=Packages(names=loaded.metadata.packages))))
    for hook in RAMDISK:
        ask: Callable[[], Iterable[Any]] = lambda hook=hook: getattr(panel, hook)(loaded, ctx)  # type: ignore[misc] # noqa: E731
        if _asked(hook.replace("_", "-"), ask, refused):
            ramdisk.append(hook.replace("_", "-"))
    repositories = _asked("repositories", lambda: panel.repositories(loaded, ctx), refused)
    return Contributions(
        steps=tuple(steps),
        ramdisk=tuple(ramdisk),
        refused=tuple(refused),
        repositories=tuple(dict.fromkeys(one.address for one in repositories)),
    )


def _asked(phase: str, ask: Callable[[], Iterable[Any]], refused: list[str]) -> tuple[Any, ...]:
    try:
        return tuple(ask())
    except ImagewrightError as error:
        # A hook may well insist on a parameter that has no default; that is no reason to show nothing.
        refused.append(f"{phase}: {error.cause or error.message}")
        return ()


# -- show


def show(invocation: Invocation) -> None:
    """Print everything about one flavour. Raises UsageError without a name, PlanError for an unknown one."""
    name = invocation.arguments["name"]
    if not name:
        raise UsageError("no-name", "which flavour?", hint="`imagewright flavours list` shows them all")
    values = invocation.values
    found = choose(name, survey(values["flavour-path"], values["override"]), flavour_path=values["flavour-path"])
    loaded = load(found)
    given = contributions(loaded)
    if values["json"]:
        print_document({"flavour": _document(loaded, given)})
    else:
        sys.stdout.write(page(loaded, given, screen_width()))


def _document(loaded: Loaded, given: Contributions) -> dict[str, Any]:
    metadata = loaded.metadata
    return {
        "name": loaded.name,
        "summary": metadata.summary,
        "distribution": loaded.found.distribution,
        "version": loaded.found.version,
        "place": loaded.found.place,
        "operating_system": OPERATING_SYSTEM in metadata.provides,
        "requires": metadata.requires,
        "conflicts": metadata.conflicts,
        "provides": metadata.provides,
        "packages": metadata.packages,
        "repositories": given.repositories,
        "reads": metadata.reads,
        "allows": metadata.allows,
        "parameters": [
            {
                "name": one.name,
                "variable": variables(loaded.name, one)[-1],
                "type": one.type,
                "default": None if one.secret else one.default,
                "required": one.required,
                "secret": one.secret,
                "help": one.help,
            }
            for one in metadata.parameters
        ],
        "steps": [
            {
                "phase": phase.value,
                "id": step.id,
                "what": what(step),
                "summary": step.summary,
                "keep": step.keep or None,
            }
            for phase, step in given.steps
        ],
        "ramdisk": given.ramdisk,
        "unknown": given.refused,
        "readme": readme(loaded),
    }


def page(loaded: Loaded, given: Contributions, width: int) -> str:
    """Everything about a flavour for people; only its README's own lines may be longer than ``width``."""
    metadata = loaded.metadata
    parts = [f"{loaded.name}: {metadata.summary}" if metadata.summary else loaded.name]
    facts = (
        ("from", f"{loaded.found.distribution} {loaded.found.version}".strip()),
        ("place", loaded.found.place),
        ("provides", ", ".join(metadata.provides)),
        ("requires", ", ".join(metadata.requires)),
        ("conflicts", ", ".join(metadata.conflicts)),
        ("packages", ", ".join(metadata.packages)),
        ("repositories", ", ".join(given.repositories)),
        ("reads", ", ".join(metadata.reads)),
        ("allows", ", ".join(metadata.allows)),
    )
    text = parts[0] + "\n\n" + terms([fact for fact in facts if fact[1]], width)
    if metadata.parameters:
        rows = [_parameter_row(loaded.name, parameter) for parameter in metadata.parameters]
        text += "\nParameters, by --set or by environment:\n" + terms(rows, width)
    if given.steps:
        steps = [(f"{phase.value}/{step.id}", _step(step)) for phase, step in given.steps]
        text += "\nSteps:\n" + terms(steps, width)
    if given.ramdisk:
        text += f"\nIn ramdisks: {', '.join(given.ramdisk)}\n"
    if given.refused:
        text += "\nNot known without parameters:\n" + terms([("", line) for line in given.refused], width, indent="")
    description = readme(loaded)
    return text + (f"\n{description}\n" if description else "")


def _parameter_row(flavour: str, parameter: Parameter) -> tuple[str, str]:
    if parameter.required:
        note = "required"
    elif parameter.secret:
        note = "secret"
    else:
        note = f"default: {parameter.default}" if parameter.default not in (None, "") else ""
    kind = f"{parameter.type}, {note}" if note else parameter.type
    return f"{flavour}.{parameter.name}", f"{parameter.help} [{kind}; env: {variables(flavour, parameter)[-1]}]"


def readme(loaded: Loaded) -> str:
    """The README of the flavour's folder, else the words of its class."""
    folders = [folder for folder in (loaded.found.folder, *(part.folder for part in loaded.parts)) if folder]
    for folder in folders:
        try:
            return (folder / "README.md").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue
    import inspect

    return (inspect.getdoc(type(loaded.parts[0])) or "").strip() if loaded.parts and not folders else ""


def _step(step: Step) -> str:
    text = f"{step.summary} ({what(step)})" if step.summary else what(step)
    return f"{text}; kept {step.keep.replace('-', ' ')}" if step.keep else text


def what(step: Step) -> str:
    """What a step is, in a few words."""
    action = step.action
    if isinstance(action, Script) and action.source is not None:
        return f"script {action.source.name}"
    if isinstance(action, Packages):
        return f"packages: {', '.join(action.names)}"
    return describe(action)
