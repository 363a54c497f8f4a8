"""What a user of a package index gets: wheels that install into an empty environment and work there."""

from __future__ import annotations

import stat
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = sorted(
    path.parent
    for pattern in ("core", "plugins/*", "flavour-packs/[!_]*")
    for path in TOP.glob(f"{pattern}/pyproject.toml")
)
COMMANDS = sorted(tomllib.loads((TOP / "core" / "pyproject.toml").read_text())["project"]["scripts"])

pytestmark = pytest.mark.timeout(600)


def run(*argv: str | Path) -> str:
    """The standard output of a program that has to succeed; its messages are shown where it does not."""
    result = subprocess.run([str(word) for word in argv], check=False, capture_output=True, text=True, cwd="/")
    assert result.returncode == 0, f"{argv}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """The wheel of every distribution."""
    built = {}
    for folder in DISTRIBUTIONS:
        out = tmp_path_factory.mktemp("wheel")
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, folder)
        (built[folder],) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheels: dict[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an empty environment into which all wheels were installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-q")
    run(*pip, "install", "--only-binary", ":all:", *wheels.values())
    return folder / "bin"


def files(folder: Path) -> dict[str, int]:
    """The mode of each file of a distribution's packages, by its path in a wheel; those that git knows."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "src"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    paths = [folder / name for name in listing.split("\0") if name]
    return {str(path.relative_to(folder / "src")): stat.S_IMODE(path.stat().st_mode) for path in paths if path.exists()}


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_a_wheel_holds_every_file_of_its_packages_with_its_execute_bit(wheels: dict[Path, Path], folder: Path) -> None:
    with zipfile.ZipFile(wheels[folder]) as archive:
        held = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    expected = files(folder)
    assert expected
    assert not set(expected) - set(held)
    assert {name: bool(held[name] & 0o100) for name in expected} == {
        name: bool(mode & 0o100) for name, mode in expected.items()
    }


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_a_wheel_holds_nothing_that_git_does_not_know(wheels: dict[Path, Path], folder: Path) -> None:
    with zipfile.ZipFile(wheels[folder]) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert not held - set(files(folder))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_its_version(installed: Path, command: str) -> None:
    import imagewright

    assert imagewright.__version__ in run(installed / command, "--version")


def test_what_is_installed_is_consistent(installed: Path) -> None:
    run(installed / "python", "-m", "pip", "check")


def test_the_installed_flavours_are_found_and_planned(installed: Path, tmp_path: Path) -> None:
    plan = run(installed / "disk-image-create", "--plan", "-o", tmp_path / "demo", "debian", "vm")
    for name in ("debian", "vm", "base"):
        assert name in plan
    assert not list(tmp_path.iterdir())
