"""The distributions of the workspace agree with each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Distributions = Mapping[Path, Mapping[str, Any]]


def test_every_distribution_is_installed_for_development(top: Path, distributions: Distributions) -> None:
    lines = (top / "requirements-dev.txt").read_text().splitlines()
    installed = sorted(line.split()[1].removeprefix("./") for line in lines if line.startswith("-e "))
    templates = {folder for folder in distributions if folder.name.startswith("_")}
    assert installed == sorted(str(folder) for folder in distributions if folder not in templates)


def test_the_first_distribution_is_the_framework_so_that_the_others_find_it(top: Path) -> None:
    assert (top / "requirements-dev.txt").read_text().splitlines()[0] == "-e ./core"


def test_all_distributions_have_one_version(distributions: Distributions) -> None:
    versions = {str(folder): data["project"]["version"] for folder, data in distributions.items()}
    assert len(set(versions.values())) == 1, versions


def test_the_framework_says_the_version_of_its_distribution(distributions: Distributions) -> None:
    import imagewright

    assert imagewright.__version__ == distributions[Path("core")]["project"]["version"]


def test_every_distribution_says_what_it_is_and_under_which_licence(top: Path, distributions: Distributions) -> None:
    for folder, data in distributions.items():
        project = data["project"]
        assert project["license"] == "Apache-2.0", folder
        assert project["requires-python"] == ">=3.11", folder
        assert project["description"], folder
        assert (top / folder / project["readme"]).read_text().startswith(f"# {project['name']}"), folder


def test_every_distribution_ships_a_typed_package(top: Path, distributions: Distributions) -> None:
    for folder in distributions:
        packages = [init.parent for init in (top / folder / "src").glob("*/__init__.py")]
        assert packages, folder
        assert all((package / "py.typed").exists() for package in packages), folder


def test_every_other_distribution_needs_the_framework(distributions: Distributions) -> None:
    for folder, data in distributions.items():
        needs = data["project"].get("dependencies", [])
        assert folder == Path("core") or any(need.startswith("imagewright") for need in needs), folder


def test_the_licence_is_the_one_that_is_named(top: Path) -> None:
    text = (top / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
