"""The reference is made from the code, and the code has words for all of it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from imagewright import api
from imagewright.checking import RULES, checked
from imagewright.checking.contract import VARIABLES
from imagewright.hookspecs import HOOKS
from imagewright.types import Phase

PACKS = sorted(
    path.parent
    for pattern in ("plugins/*", "flavour-packs/*")
    for path in Path(__file__).resolve().parents[2].glob(f"{pattern}/pyproject.toml")
    if "imagewright.flavours" in path.read_text()
)


def make_reference(top: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, top / "scripts/make-reference", *words], capture_output=True, text=True, check=False
    )


def test_the_reference_is_that_of_the_code(top: Path) -> None:
    done = make_reference(top, "--check")
    assert done.returncode == 0, done.stderr


def test_every_hook_phase_rule_variable_and_value_is_in_the_reference(top: Path) -> None:
    text = (top / "docs/reference.md").read_text()
    wanted = {
        *(f"`{hook}`" for hook in HOOKS),
        *(f"`{phase.folder}/NN-name`" for phase in Phase if phase is not Phase.PACKAGES),
        *(f"`{rule.name}`" for rule in RULES),
        *(f"`{variable.name}`" for variable in VARIABLES),
        *(f"### {name}\n" for name in api.__all__ if hasattr(getattr(api, name), "__dataclass_fields__")),
        *(f"### {name}\n" for name in api.__all__ if getattr(getattr(api, name), "_is_protocol", False)),
        *(f"`{part}" for part in vars(api.PackageManager) if not part.startswith("_")),
    }
    assert not {one for one in wanted if one not in text}


def test_every_error_of_the_source_is_in_the_errors_page(top: Path) -> None:
    page = (top / "docs/errors.md").read_text()
    made = {reference: where for path in sources(top) for reference, where in errors_made(path)}
    assert len(made) > 200
    assert {"images-failed", "images-refused"} <= made.keys()
    assert not {reference: where for reference, where in made.items() if f"| `{reference}` |" not in page}


def sources(top: Path) -> Iterator[Path]:
    for pattern in ("core/src", "plugins/*/src", "flavour-packs/*/src"):
        for folder in top.glob(pattern):
            yield from folder.rglob("*.py")


def errors_made(path: Path) -> Iterator[tuple[str, str]]:
    """References and where they are, found in a coarser way than the script's: raised or returned, a name in front."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        error = node.exc if isinstance(node, ast.Raise) else getattr(node, "value", None)
        if not isinstance(node, ast.Raise | ast.Return) or not isinstance(error, ast.Call) or len(error.args) < 2:
            continue
        first, maker = error.args[0], ast.unparse(error.func)
        if isinstance(node, ast.Return) and not maker.endswith(("Error", "Failed", "Unreadable")):
            continue
        if isinstance(first, ast.Constant) and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", str(first.value)):
            yield str(first.value), f"{path}:{node.lineno}"


def test_a_hook_without_words_and_a_stale_page_are_faults(top: Path, tmp_path: Path) -> None:
    # a copy of the script on copies of the pages, with one hook's words taken away
    for folder in ("docs", "scripts"):
        (tmp_path / folder).mkdir()
    script = (top / "scripts/make-reference").read_text()
    for page in ("reference.md", "errors.md", "blank-slate.md"):
        text = (top / "docs" / page).read_text()
        (tmp_path / "docs" / page).write_text(re.sub(r"\| `install` \|.*\n", "", text))
    (tmp_path / "scripts/make-reference").write_text(script)
    done = make_reference(tmp_path, "--check")
    assert done.returncode == 1
    assert "stale: docs/reference.md" in done.stderr
    silent = script.replace("def main() -> int:", "ImageSpecs.install.__doc__ = None\n\n\ndef main() -> int:")
    (tmp_path / "scripts/make-reference").write_text(silent)
    done = make_reference(tmp_path, "--check")
    assert done.returncode == 1
    assert "the hook install has no docstring" in done.stderr


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_our_own_flavours_have_no_faults(pack: Path) -> None:
    report = checked([str(pack)])
    assert report.flavours
    assert not [f"{finding.place}: {finding.message}" for finding in report.findings if finding.level == "error"]
