"""Turns a path or a name into findings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from imagewright.checking import contentrules, folderrules, packrules, scriptrules, shellcheckrules, variablerules
from imagewright.checking.findings import Finding, Hit, Level, Rule, S
from imagewright.checking.subjects import FlavourSubject, PackSubject, read_flavour
from imagewright.discovery import choose
from imagewright.documents import parse_toml
from imagewright.entrypoints import FLAVOURS, Found, is_flavour_folder, survey
from imagewright.errors import UsageError
from imagewright.types import Origin

FLAVOUR_RULES: tuple[Rule[FlavourSubject], ...] = (
    *folderrules.RULES,
    *contentrules.RULES,
    *scriptrules.RULES,
    *variablerules.RULES,
    *shellcheckrules.RULES,
)
PACK_RULES: tuple[Rule[PackSubject], ...] = packrules.RULES
RULES: tuple[Rule[Any], ...] = (*FLAVOUR_RULES, *PACK_RULES)
"""All rules, in the order of their findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was checked and found. ``shellcheck`` says whether shellcheck was there to take part."""

    flavours: tuple[str, ...]
    findings: tuple[Finding, ...]
    shellcheck: bool

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.level is Level.ERROR for finding in self.findings)

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return len(self.findings) - self.errors


def checked(
    targets: Sequence[str], flavour_path: Sequence[Path] = (), overrides: Sequence[tuple[str, Path]] = ()
) -> Report:
    """Check flavours, packs and folders of them by path, and flavours by name; what is named is loaded.

    Raises UsageError for a path that holds no flavour, PlanError for a name that no flavour has.
    """
    names: list[str] = []
    findings: list[Finding] = []
    for target in targets:
        for subject in _subjects(target, flavour_path, overrides):
            if isinstance(subject, PackSubject):
                findings += _findings(subject, PACK_RULES, subject.name, target)
            else:
                names.append(subject.name)
                findings += _findings(subject, FLAVOUR_RULES, subject.name, subject.shown)
    return Report(
        flavours=tuple(names), findings=tuple(dict.fromkeys(findings)), shellcheck=shellcheckrules.installed()
    )


def _findings(subject: S, rules: Sequence[Rule[S]], name: str, shown: str) -> Iterator[Finding]:
    for rule in rules:
        for hit in rule.check(subject):
            if not _ignored(subject, hit, rule.name):
                yield Finding(
                    rule=rule.name,
                    level=rule.level,
                    subject=name,
                    file=os.path.join(shown, hit.file) if hit.file else shown,
                    line=hit.line,
                    message=hit.message,
                    reason=rule.reason,
                    fix=hit.fix,
                )


def _ignored(subject: object, hit: Hit, rule: str) -> bool:
    if not isinstance(subject, FlavourSubject) or not hit.line:
        return False
    script = next((one for one in subject.scripts if one.file == hit.file), None)
    return script is not None and scriptrules.ignored(script, hit.line, rule)


Subject = FlavourSubject | PackSubject


def _subjects(target: str, flavour_path: Sequence[Path], overrides: Sequence[tuple[str, Path]]) -> Iterator[Subject]:
    path = Path(target).expanduser()
    surveyed = survey(flavour_path, overrides)
    by_path = "/" in target or target in {".", ".."} or (path.is_dir() and not surveyed.named(target))
    if not by_path:
        found = choose(target, surveyed, flavour_path=flavour_path)
        yield read_flavour(found, _shown(found))
        return
    if not path.is_dir():
        what = "is no folder" if path.exists() else "does not exist"
        raise UsageError(
            "nothing-to-check",
            f"`{target}` {what}",
            cause="what is checked is a flavour's folder, a pack's project, a folder of flavours, or a flavour by name",
            hint="`imagewright flavours list` shows the names",
        )
    if (path / "pyproject.toml").is_file():
        yield from _pack(path, target)
    elif is_flavour_folder(path):
        yield read_flavour(_folder(path), target)
    else:
        inner = [entry for entry in sorted(path.iterdir()) if entry.is_dir() and is_flavour_folder(entry)]
        if not inner:
            raise UsageError(
                "nothing-to-check",
                f"`{target}` holds no flavour",
                cause="a flavour's folder has a `flavour.toml` or a folder of a phase, a pack has a `pyproject.toml`",
                hint="`imagewright flavours new NAME` makes one",
            )
        for entry in inner:
            yield read_flavour(_folder(entry), os.path.join(target, entry.name))


def _shown(found: Found) -> str:
    return str(found.folder) if found.folder is not None else f"{found.distribution} {found.version}".strip()


def _folder(path: Path) -> Found:
    name = path.resolve().name
    return Found(name=name, origin=Origin(flavour=name, location=str(path.resolve())), kind="folder", folder=path)


def _pack(folder: Path, target: str) -> Iterator[Subject]:
    try:
        document = parse_toml((folder / "pyproject.toml").read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError("bad-pyproject", f"`{target}/pyproject.toml` cannot be read", cause=str(error)) from error
    project = document.get("project", {})
    points = project.get("entry-points", {}).get(FLAVOURS, {})
    if not points:
        raise UsageError(
            "nothing-to-check",
            f"the project `{target}` brings no flavour",
            cause=f'its pyproject.toml has no table [project.entry-points."{FLAVOURS}"]',
            hint="`imagewright flavours new NAME --pack` makes a pack",
        )
    pack = PackSubject(folder=folder, project=project)
    yield pack
    tree = (folder / "src" if (folder / "src").is_dir() else folder).resolve()
    with _importable(tree):
        for name, value in sorted(points.items()):
            origin = Origin(
                flavour=name,
                distribution=pack.name,
                version=str(project.get("version", "")),
                location=str(folder.resolve()),
            )
            found = Found(
                name=name,
                origin=origin,
                kind="python",
                entry_point=EntryPoint(name=name, value=str(value), group=FLAVOURS),
                tree=tree,
            )
            yield _relative(read_flavour(found, target))


def _relative(subject: FlavourSubject) -> FlavourSubject:
    """The same, with its folder as findings show it: relative to where the user is, if it lies below."""
    if subject.folder is None:
        return subject
    shown = os.path.relpath(subject.folder)
    return replace(subject, shown=shown if not shown.startswith("..") else str(subject.folder))


@contextmanager
def _importable(tree: Path) -> Iterator[None]:
    """The project's own source goes before an installed version of it."""
    before = list(sys.path)
    sys.path.insert(0, str(tree))
    try:
        yield
    finally:
        sys.path[:] = before
