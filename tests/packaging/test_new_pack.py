"""A pack made by ``imagewright flavours new``, with nothing but wheels in an empty environment."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = [TOP / "core", TOP / "plugins/debian", TOP / "flavour-packs/standard"]

pytestmark = [pytest.mark.timeout(900), pytest.mark.build]


def run(*argv: str | Path, cwd: Path) -> str:
    """The standard output of a program that has to succeed."""
    done = subprocess.run([str(word) for word in argv], check=False, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wheel(project: Path, out: Path) -> Path:
    """The wheel of a project."""
    out.mkdir()
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, project, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheels of this repository and pytest."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", with_pip=True)
    wheels = [wheel(project, folder / f"wheel-{project.name}") for project in DISTRIBUTIONS]
    pip = (folder / "venv/bin/python", "-m", "pip", "--disable-pip-version-check", "-q", "install")
    run(*pip, "--only-binary", ":all:", *wheels, "pytest>=8", cwd=folder)
    return folder / "venv/bin"


@pytest.mark.parametrize("form", ["--pack", "--python"])
def test_a_new_pack_is_checked_installed_listed_tested_and_planned(
    environment: Path, tmp_path: Path, form: str
) -> None:
    name = f"acme-{form.strip(chr(45))}"
    imagewright = environment / "imagewright"
    made = tmp_path / run(imagewright, "flavours", "new", name, form, cwd=tmp_path).strip()
    assert "no findings" in run(imagewright, "flavours", "check", "--strict", f"{made}/", cwd=tmp_path)
    built = wheel(made, tmp_path / "wheel")
    run(environment / "python", "-m", "pip", "-q", "install", "--no-deps", "--no-index", built, cwd=tmp_path)
    assert f"imagewright-flavours-{name} 0.1.0" in run(imagewright, "flavours", "list", cwd=tmp_path)
    assert f"{name}.greeting" in run(imagewright, "flavours", "show", name, cwd=tmp_path)
    assert "no findings" in run(imagewright, "flavours", "check", "--strict", name, cwd=tmp_path)
    # the tests see what is installed, as they lie beside no source
    (made / "tests").rename(tmp_path / "tests")
    tests = (environment / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "tests")
    assert " passed" in run(*tests, cwd=tmp_path)
    plan = run(environment / "disk-image-create", "--plan", "-o", "x", "debian", "vm", name, cwd=tmp_path)
    assert f"50-{name}" in plan
