"""The documents say what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from imagewright.hookspecs import HOOKS
from imagewright.types import Phase

CORE = Path(__file__).resolve().parents[2] / "core" / "pyproject.toml"
COMMANDS = sorted(tomllib.loads(CORE.read_text())["project"]["scripts"])


def documents(top: Path) -> list[Path]:
    """All documents for people."""
    return [*top.glob("*.md"), *(top / "docs").glob("**/*.md")]


def test_every_link_between_documents_leads_somewhere(top: Path) -> None:
    for document in documents(top):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_index_names_every_document(top: Path) -> None:
    index = (top / "docs" / "README.md").read_text()
    missing = [path.name for path in (top / "docs").glob("*.md") if path.name != "README.md" and path.name not in index]
    assert not missing


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_every_hook_is_documented(top: Path, hook: str) -> None:
    assert f"`{hook}`" in (top / "docs" / "flavours.md").read_text()


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_of_a_directory_flavour_is_documented(top: Path, phase: Phase) -> None:
    assert f"`{phase.folder}`" in (top / "docs" / "flavours.md").read_text() or phase is Phase.PACKAGES


def test_every_command_of_make_that_a_document_names_exists(top: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (top / "Makefile").read_text(), re.MULTILINE))
    mention = re.compile(r"(?:`|^\s*\$? ?)make ([a-z-]+)", re.MULTILINE)
    named = {name for path in documents(top) for name in mention.findall(path.read_text())}
    assert {"image", "test"} <= named
    assert named <= targets


def test_the_readme_opens_with_the_two_commands(top: Path) -> None:
    opening = (top / "README.md").read_text()[:2000]
    assert "make image" in opening
    assert "make test" in opening


def test_the_changelog_has_an_entry_for_this_version(top: Path) -> None:
    import imagewright

    text = (top / "CHANGELOG.md").read_text()
    section = re.search(
        rf"^## \[?(?:Unreleased|{re.escape(imagewright.__version__)})\]?.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert section
    assert re.search(r"^- \S", section[0], re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_documented(top: Path, command: str) -> None:
    text = (top / "docs" / "commands.md").read_text()
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "200", "HOME": "/nonexistent", "TERM": "dumb"}
    program = Path(sys.executable).parent / command
    pages, shown = [[]], ""
    for words in pages:
        page = subprocess.run(
            [program, *words, "--help"], check=True, capture_output=True, text=True, env=environment
        ).stdout
        shown += page
        if not words:
            _, _, listing = page.partition("Commands")
            pages += [[name] for name in re.findall(r"^[\s│]{1,4}([a-z][a-z-]+)\s{2,}", listing, re.MULTILINE)]
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", shown))
    assert "--help" in options
    undocumented = sorted(option for option in options if f"`{option}" not in text and f"{option}`" not in text)
    assert not undocumented
