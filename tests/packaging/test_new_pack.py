"""A pack made by ``imagewright flavours new``, with nothing but wheels in an empty environment, as an ordinary user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import Somebody

TOP = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = [TOP / "core", TOP / "plugins/debian", TOP / "flavour-packs/standard"]
BROKEN = {
    "broken-import": "does not load",
    "wrong-api": "is written for version 2 of the contract",
    "bad-signature": "has a wrong signature",
    "missing-hookimpl": "is a hook and lacks @hookimpl",
}
"""Packs of tests/packs with what is said of them; their flavours have the same names."""

pytestmark = [pytest.mark.timeout(900), pytest.mark.build]


def wheel(project: Path, out: Path) -> Path:
    """The wheel of a project of this repository."""
    argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(project)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    (built,) = out.glob("*.whl")
    return built


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An environment of somebody's with the wheels of this repository, pytest and what builds wheels."""

    somebody: Somebody
    bin: Path

    def run(self, name: str, *words: str | Path, cwd: Path | None = None) -> str:
        """What a command of the environment printed; it has to succeed."""
        return self.somebody.run(self.bin / name, *words, cwd=cwd)

    def pip(self, *words: str | Path) -> None:
        """Install something."""
        self.run("python", "-m", "pip", "--disable-pip-version-check", "-q", "install", *words)


@pytest.fixture(scope="module")
def environment(somebody: Somebody, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    wheels = [wheel(project, tmp_path_factory.mktemp(f"wheel-{project.name}")) for project in DISTRIBUTIONS]
    # the checkout's own Python may lie where only its owner can read
    somebody.run("/usr/bin/python3", "-m", "venv", somebody.home / "venv")
    it = Environment(somebody=somebody, bin=somebody.home / "venv/bin")
    it.pip("--only-binary", ":all:", *somebody.give(wheels, "wheels"), "pytest>=8", "hatchling")
    return it


@pytest.fixture(scope="module")
def toy(somebody: Somebody) -> Path:
    """The toy operating system as a folder of the search path."""
    folder = somebody.home / "toy"
    information = folder / "imagewright_toy-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: imagewright-toy\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[imagewright.flavours]\ntoy = imagewright.testing.toy:Toy\n")
    return folder


@pytest.mark.parametrize("form", ["--pack", "--python"])
def test_a_new_pack_is_checked_installed_listed_tested_planned_and_built_with(
    environment: Environment, toy: Path, form: str
) -> None:
    name = f"acme-{form.strip('-')}"
    home = environment.somebody.home
    made = home / environment.run("imagewright", "flavours", "new", name, form).strip()
    assert "no findings" in environment.run("imagewright", "flavours", "check", "--strict", f"{made}/")
    environment.pip("--no-deps", "--no-index", "--no-build-isolation", made)
    assert f"imagewright-flavours-{name} 0.1.0" in environment.run("imagewright", "flavours", "list")
    assert f"{name}.greeting" in environment.run("imagewright", "flavours", "show", name)
    assert "no findings" in environment.run("imagewright", "flavours", "check", "--strict", name)
    # the tests see what is installed, as they lie beside no source
    (made / "tests").rename(home / f"tests-{name}")
    own = ("-p", "no:cacheprovider", f"--basetemp={home}/t")
    tested = environment.run("python", "-m", "pytest", "-q", *own, home / f"tests-{name}")
    assert " passed" in tested
    assert "skipped" not in tested
    plan = environment.run("disk-image-create", "--plan", "-o", "x", "debian", "vm", name)
    assert f"50-{name}" in plan
    words = ("--flavour-path", toy, "--skip-base", "-t", "tar,qcow2", "--set", f"{name}.greeting=Welcome")
    printed = environment.run("disk-image-create", "-o", name, *words, "toy", name)
    assert f"{name}.qcow2" in printed
    with tarfile.open(home / f"{name}.tar") as archive:
        member = next(one for one in archive if one.name.lstrip("./") == "etc/motd")
        stream = archive.extractfile(member)
        assert stream is not None
        assert stream.read().startswith(b"Welcome\n")
        assert (member.uid, member.gid) == (0, 0)
    assert (home / f"{name}.qcow2").stat().st_uid == environment.somebody.uid
    assert not list((home / ".cache/imagewright/work").glob("build-*"))


@pytest.fixture(scope="module")
def broken(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed every broken pack."""
    somebody = environment.somebody
    packs = [TOP / "tests/packs" / name for name in (*BROKEN, "duplicate-name", "oldest-contract")]
    wheels = somebody.give([wheel(pack, tmp_path_factory.mktemp(f"wheel-{pack.name}")) for pack in packs], "broken")
    environment.pip("--no-deps", "--no-index", "--target", somebody.home / "flavours", *wheels)
    return somebody.home / "flavours"


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_pack_gives_one_message_with_distribution_version_and_cause(
    environment: Environment, broken: Path, name: str
) -> None:
    # one of the packs has a second `base`
    words = ("--plan", "--skip-base", "--flavour-path", broken, "-o", "x", "debian", name)
    done = environment.somebody.tried(environment.bin / "disk-image-create", *words)
    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr.count("error:") == 1
    assert f"`{name}`" in done.stderr
    assert f"imagewright-test-{name} 0.3" in done.stderr
    assert BROKEN[name] in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_two_packs_have_names_both(environment: Environment, broken: Path) -> None:
    words = ("--plan", "--flavour-path", broken, "-o", "x", "debian", "base")
    done = environment.somebody.tried(environment.bin / "disk-image-create", *words)
    assert done.returncode != 0
    assert "imagewright-flavours-standard" in done.stderr
    assert "imagewright-test-duplicate-name 0.3" in done.stderr


def test_broken_packs_are_listed_with_what_is_wrong_and_stop_nobody_else(
    environment: Environment, broken: Path, toy: Path
) -> None:
    path = f"{broken}:{toy}"
    rows = json.loads(environment.run("imagewright", "flavours", "list", "--json", "--flavour-path", path))
    found = {row["name"]: row for row in rows["flavours"] if row["distribution"].startswith("imagewright-test")}
    assert set(found) >= set(BROKEN)
    # what only running its code would show is not known to the list, which runs none
    assert "version 2" in found["wrong-api"]["error"]
    words = ("--flavour-path", path, "--skip-base", "-o", "old", "-t", "tar", "toy", "oldest")
    environment.run("disk-image-create", *words)
    with tarfile.open(environment.somebody.home / "old.tar") as archive:
        names = {one.name.lstrip("./") for one in archive}
    assert {"etc/oldest", "etc/oldest-old", "usr/bin/hello"} <= names


@pytest.mark.skipif(os.geteuid() != 0, reason="the caller is that ordinary user already")
def test_root_is_not_needed_for_any_of_it(environment: Environment) -> None:
    assert environment.run("python", "-c", "import os; print(os.getuid())").strip() == str(environment.somebody.uid)
    assert environment.somebody.uid >= 1000
