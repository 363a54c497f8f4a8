"""Repositories that serve the build alone, with the host's apt on a tree of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from imagewright.drivers import PRIVATE, PrivateRepositories
from imagewright.testing.aptrepository import AptRepository, apt_repository
from imagewright.types import Repository
from imagewright_debian.apt import Apt

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("apt-get", "dpkg-deb", "gpg")), reason="the host has no apt or no gpg"
)

FOLDERS = ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d", "var/lib/dpkg", "var/cache/apt")
PASSWORD = "s3cr3t-login-of-acme"


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AptRepository]:
    # a short path: gpg-agent's socket lies in it
    with apt_repository(tmp_path_factory.mktemp("acme"), {"acme-agent": {"usr/share/acme/agent": "an agent\n"}}) as it:
        yield it


class Tree:
    """A folder with the build files as a build shows them, and apt on it."""

    def __init__(self, top: Path, repositories: Sequence[Repository]) -> None:
        self.top = top
        manager = Apt(repositories=tuple(repositories))
        for folder in FOLDERS:
            (top / folder).mkdir(parents=True)
        (top / "var/lib/dpkg/status").touch()
        private = top / "private"
        private.mkdir()
        for place, tree in ((top, manager.build_files({})), (private, manager.private_files())):
            for entry in tree.entries:
                path = place / entry.path
                path.parent.mkdir(parents=True, exist_ok=True)
                # the host's apt has no private folder of a build
                path.write_bytes(entry.content.replace(PRIVATE.encode(), str(private).encode()))
                path.chmod(entry.mode)

    def apt(self, *words: str) -> subprocess.CompletedProcess[str]:
        # read before the folder of settings, so that this tree's are read and not the host's
        first = self.top / "first.conf"
        first.write_text(f'Dir "{self.top}";\nDir::State::status "{self.top}/var/lib/dpkg/status";\n')
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "APT_CONFIG": str(first)}
        return subprocess.run(["apt-get", "-q", *words], env=environment, capture_output=True, text=True, check=False)

    def update(self) -> subprocess.CompletedProcess[str]:
        return self.apt("--error-on=any", "update")


def test_apt_takes_a_package_from_it_with_key_and_login(acme: AptRepository, tmp_path: Path) -> None:
    tree = Tree(tmp_path, [acme.value])
    updated = tree.update()
    assert updated.returncode == 0, updated.stderr
    fetched = tree.apt("install", "--download-only", "acme-agent")
    assert fetched.returncode == 0, fetched.stderr
    assert list((tmp_path / "var/cache/apt/archives").glob("acme-agent_*.deb"))
    assert "/debian/pool/acme-agent_1.0_all.deb" in acme.served
    assert PASSWORD not in updated.stdout + updated.stderr + fetched.stdout + fetched.stderr


def test_without_the_login_there_is_nothing(acme: AptRepository, tmp_path: Path) -> None:
    updated = Tree(tmp_path, [replace(acme.value, login="")]).update()
    assert updated.returncode != 0
    assert "401" in updated.stdout + updated.stderr


def test_without_the_key_nothing_is_trusted(acme: AptRepository, tmp_path: Path) -> None:
    with apt_repository(tmp_path / "other", {}) as other:
        updated = Tree(tmp_path / "tree", [replace(acme.value, keys=(other.key,))]).update()
    assert updated.returncode != 0
    assert "NO_PUBKEY" in updated.stdout + updated.stderr


def test_of_several_keys_one_has_to_fit(acme: AptRepository, tmp_path: Path) -> None:
    with apt_repository(tmp_path / "other", {}) as other:
        assert Tree(tmp_path / "tree", [replace(acme.value, keys=(other.key, acme.key))]).update().returncode == 0


def test_the_login_goes_to_its_own_repository_alone(acme: AptRepository, tmp_path: Path) -> None:
    with apt_repository(tmp_path / "other", {"other": {"usr/share/other": "x\n"}}) as other:
        stranger = replace(other.value, login="")
        assert Tree(tmp_path / "tree", [acme.value, stranger]).update().returncode != 0
        assert other.refused
        assert not other.served


def test_a_key_in_binary_form_serves_too(acme: AptRepository, tmp_path: Path) -> None:
    binary = subprocess.run(["gpg", "--dearmor"], input=acme.key, capture_output=True, check=True).stdout
    assert Tree(tmp_path, [replace(acme.value, keys=(binary,))]).update().returncode == 0


def test_what_lies_in_the_tree_during_the_build_holds_neither_key_nor_login(acme: AptRepository) -> None:
    manager = Apt(repositories=(acme.value,))
    in_tree = b"".join(entry.content for entry in manager.build_files({}).entries)
    assert acme.address.encode() in in_tree
    assert PASSWORD.encode() not in in_tree
    assert acme.key.splitlines()[3] not in in_tree
    private = manager.private_files()
    assert PASSWORD.encode() in b"".join(entry.content for entry in private.entries)
    assert {entry.mode for entry in private.entries} == {0o600}


def test_apt_takes_repositories_and_without_any_has_nothing_private() -> None:
    assert isinstance(Apt(), PrivateRepositories)
    assert Apt().private_files().entries == ()
    assert not [entry for entry in Apt().build_files({}).entries if "sources.list" in entry.path]
