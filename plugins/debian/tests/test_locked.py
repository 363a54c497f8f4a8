"""The versions of a lock, held against the host's own apt: it takes them, and none that is newer."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from imagewright.api import ExactVersions, Package
from imagewright_debian.apt import Apt
from imagewright_debian.locked import archive_name, first_tree, index, preferences


def deb(folder: Path, name: str, version: str, depends: str = "") -> Package:
    """A package in ``folder``, under the name that apt gives it."""
    tree = folder / f"tree-{name}-{version.replace(':', '-')}"
    (tree / "DEBIAN").mkdir(parents=True)
    tree.chmod(0o755)
    (tree / "DEBIAN").chmod(0o755)
    needs = f"Depends: {depends}\n" if depends else ""
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Acme <acme@example.org>\n{needs}"
        f"Description: {name}\n of two lines\n"
    )
    package = Package(name=name, version=version, architecture="all")
    place = folder / archive_name(package)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, place], check=True, capture_output=True)
    shutil.rmtree(tree)
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    return Package(name=name, version=version, architecture="all", digest=digest)


class Host:
    """The host's apt on folders of its own, with two repositories: what is locked, and a mirror."""

    def __init__(self, folder: Path, locked: Path, mirror: Path) -> None:
        self.folder = folder
        for name in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        lines = [f"deb [trusted=yes] copy:{place} ./\n" for place in (mirror, locked)]
        (folder / "etc/sources.list").write_text("".join(lines))

    def run(self, program: str, *arguments: str) -> str:
        places = {"Dir": "/", "Dir::Etc": f"{self.folder}/etc", "Dir::State": f"{self.folder}/state"}
        places |= {"Dir::State::status": f"{self.folder}/status", "Dir::Cache": f"{self.folder}/cache"}
        places |= {"APT::Sandbox::User": "", "Acquire::ForceHash": "SHA256", "Acquire::Languages": "none"}
        options = [word for name, value in places.items() for word in ("-o", f"{name}={value}")]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        done = subprocess.run([program, *options, *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def locked(tmp_path: Path) -> tuple[Host, tuple[Package, ...]]:
    """Web 1:1.0 and its library 2.0 are locked; the mirror has newer ones of both."""
    here, mirror = tmp_path / "locked", tmp_path / "mirror"
    here.mkdir()
    mirror.mkdir()
    packages = (deb(here, "web", "1:1.0", "library"), deb(here, "library", "2.0"))
    index(here, packages)
    index(mirror, (deb(mirror, "web", "1:1.1", "library (>= 2.1)"), deb(mirror, "library", "2.1")))
    host = Host(tmp_path / "apt", here, mirror)
    host.run("apt-get", "-q", "--error-on=any", "update")
    return host, packages


def resolved(host: Host) -> dict[str, Package]:
    command = Apt().resolve(["web"])
    found = Apt().parse_resolution(host.run("apt-get", *command.argv[1:]))
    return {package.name: package for package in found}


def test_without_a_lock_the_newest_are_taken(locked: tuple[Host, tuple[Package, ...]]) -> None:
    host, _ = locked
    assert {name: one.version for name, one in resolved(host).items()} == {"web": "1:1.1", "library": "2.1"}


def test_with_a_lock_its_versions_and_archives_are_taken(locked: tuple[Host, tuple[Package, ...]]) -> None:
    host, packages = locked
    (host.folder / "etc/preferences.d/lock").write_text(preferences(packages))
    assert resolved(host) == {package.name: package for package in packages}


def test_the_archives_of_a_lock_can_be_had(locked: tuple[Host, tuple[Package, ...]]) -> None:
    host, packages = locked
    (host.folder / "etc/preferences.d/lock").write_text(preferences(packages))
    host.run("apt-get", *Apt().fetch(["web"]).argv[1:])
    for package in packages:
        fetched = host.folder / "cache/archives" / archive_name(package)
        assert hashlib.sha256(fetched.read_bytes()).hexdigest() == package.digest


def test_an_archive_that_is_not_what_the_lock_says_is_not_taken(locked: tuple[Host, tuple[Package, ...]]) -> None:
    host, packages = locked
    (host.folder / "etc/preferences.d/lock").write_text(preferences(packages))
    place = host.folder.parent / "locked" / archive_name(packages[1])
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    with pytest.raises(AssertionError, match="Hash Sum mismatch"):
        host.run("apt-get", *Apt().fetch(["web"]).argv[1:])


def test_the_indexes_say_where_installed_packages_come_from(
    locked: tuple[Host, tuple[Package, ...]], tmp_path: Path
) -> None:
    host, packages = locked
    gone = Package(name="gone", version="1", architecture="all")
    command = Apt().provenance((*packages, gone))
    # in the tree the program finds its settings by itself
    settings = [f'Dir::Etc "{host.folder}/etc";', f'Dir::State "{host.folder}/state";']
    settings += [f'Dir::State::status "{host.folder}/status";', f'Dir::Cache "{host.folder}/cache";']
    (tmp_path / "apt.conf").write_text("\n".join(settings))
    environment = {"PATH": os.environ["PATH"], "APT_CONFIG": str(tmp_path / "apt.conf")}
    done = subprocess.run(command.argv, env=environment, capture_output=True, text=True, check=True)
    assert sorted(Apt().parse_resolution(done.stdout), key=lambda one: one.name) == sorted(
        packages, key=lambda one: one.name
    )


def test_the_files_of_a_build_cover_what_a_lock_pins() -> None:
    plain = Apt()
    one, other = (plain.bound_to([Package(name="web", version=version)]) for version in ("1.0", "1.1"))
    assert isinstance(plain, ExactVersions)
    digests = {manager.build_files({}).digest for manager in (plain, one, other)}
    assert len(digests) == 3


def test_the_first_tree_is_pinned_too(tmp_path: Path) -> None:
    options, sources = first_tree(tmp_path, "deb http://mirror.example trixie main")
    assert len(options) == 1
    assert sources == [f"deb [trusted=yes] copy:{tmp_path} ./"]
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "preferences").write_text("pins\n")
    subprocess.run(["sh", "-c", options[0].removeprefix("--setup-hook="), "hook", str(root)], check=True)
    assert (root / "etc/apt/preferences.d/00imagewright-lock").read_text() == "pins\n"
    assert first_tree(None, "deb http://mirror.example trixie main") == ([], [])
