"""Rules about the source project of a flavour pack."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imagewright.checking.findings import Hit, Level, Rule
from imagewright.checking.subjects import PackSubject


def _readme(pack: PackSubject) -> Iterator[Hit]:
    given = pack.project.get("readme")
    name = given.get("file", "") if isinstance(given, dict) else given
    if isinstance(given, dict) and given.get("text"):
        return
    if not name:
        yield Hit(file="pyproject.toml", message="the project names no readme", fix='readme = "README.md"')
    elif not (pack.folder / str(name)).is_file():
        yield Hit(file="pyproject.toml", message=f"the readme `{name}` does not exist", fix=f"write {name}")


def _dependency(pack: PackSubject) -> Iterator[Hit]:
    wanted = [str(one) for one in pack.project.get("dependencies", ())]
    if not any(re.match(r"imagewright\s*([<>=!~;\[(@]|$)", one) for one in wanted):
        yield Hit(
            file="pyproject.toml",
            message="the project does not depend on imagewright",
            fix='dependencies = ["imagewright>=0.1"]',
        )


def _tests(pack: PackSubject) -> Iterator[Hit]:
    modules = [path for path in pack.folder.glob("tests/**/*.py") if path.is_file()]
    if not any(b"PackContract" in path.read_bytes() for path in modules):
        yield Hit(
            file="tests",
            message="no test runs the contract's tests on the pack",
            fix="subclass imagewright.testing.contract.PackContract in a module of tests/",
        )


RULES: tuple[Rule[PackSubject], ...] = (
    Rule(
        name="pack-readme",
        what="a pack without a readme",
        reason="a package index shows it",
        check=_readme,
    ),
    Rule(
        name="pack-dependency",
        what="a pack that does not depend on `imagewright`",
        reason="pip would install the pack without what loads it, or with a version that is too old for it",
        check=_dependency,
    ),
    Rule(
        name="pack-tests",
        what="a pack without the contract's tests",
        reason="they tell at once what a new version of Imagewright would refuse",
        check=_tests,
        level=Level.WARNING,
    ),
)
"""The rules of this page, in the order of their findings."""
