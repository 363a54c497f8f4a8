"""The options of repositories that serve the build alone, and their files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.cli.options import kinds
from imagewright.cli.repositories import repositories_of
from imagewright.errors import UsageError

ADDRESS = "https://packages.example.org:8443/debian"


def asked(tmp_path: Path, logins: str | None = None, *, addresses: tuple[str, ...] = (ADDRESS,), keys=()):
    file = None
    if logins is not None:
        file = tmp_path / "logins"
        file.write_text(logins)
    values = {
        "repository": tuple(kinds.repository(f"{address} stable main extra") for address in addresses),
        "repository-key": keys,
        "repository-login": file,
    }
    return repositories_of(values)


def test_an_option_is_address_suite_and_components(tmp_path):
    (one,) = asked(tmp_path)
    assert (one.address, one.suite, one.components, one.login) == (ADDRESS, "stable", ("main", "extra"), "")


@pytest.mark.parametrize("text", ["https://packages.example.org", "packages.example.org stable main", ""])
def test_an_option_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="it must"):
        kinds.repository(text)


def test_each_repository_gets_all_keys(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    found = asked(tmp_path, addresses=(ADDRESS, "http://x.example"), keys=(tmp_path / "a", tmp_path / "b"))
    assert [one.keys for one in found] == [(b"a", b"b"), (b"a", b"b")]


@pytest.mark.parametrize(
    "machine",
    [
        "packages.example.org",
        "packages.example.org:8443",
        "packages.example.org:8443/debian",
        "packages.example.org/debian/",
        "https://packages.example.org:8443/",
    ],
)
def test_a_login_is_found_by_host_port_and_path(tmp_path, machine):
    (one,) = asked(tmp_path, f"machine {machine} login ann password pa55word\n")
    assert one.login == "ann:pa55word"


@pytest.mark.parametrize(
    "machine", ["example.org", "packages.example.org:80", "packages.example.org/deb", "packages.example.org.evil.net"]
)
def test_a_login_of_another_place_is_not_taken(tmp_path, machine):
    with pytest.raises(UsageError, match="none of the repositories") as caught:
        asked(tmp_path, f"machine {machine} login ann password pa55word\n")
    assert "pa55word" not in str(caught.value)


def test_the_login_that_fits_best_is_taken(tmp_path):
    logins = (
        "machine packages.example.org login ann password one\n"
        "machine packages.example.org/debian login bob password two\n"
        "default login carol password three\n"
    )
    found = asked(tmp_path, logins, addresses=(ADDRESS, "http://x.example"))
    assert [one.login for one in found] == ["bob:two", "carol:three"]


@pytest.mark.parametrize("text", ["machine x login ann pa55word\n", "pa55word\n", "machine\n"])
def test_a_file_of_another_form_is_refused_without_its_words(tmp_path, text):
    with pytest.raises(UsageError, match="line [0-9]+ of") as caught:
        asked(tmp_path, text)
    assert "pa55word" not in str(caught.value)
    assert "pa55word" not in str(caught.value.__cause__)


@pytest.mark.parametrize("option", ["repository-key", "repository-login"])
def test_a_key_or_login_without_a_repository_is_refused(tmp_path, option):
    values = {"repository": (), "repository-key": (), "repository-login": None} | {option: (tmp_path,)}
    with pytest.raises(UsageError, match=f"`--{option}` is given, and no repository"):
        repositories_of(values)


def test_the_page_of_a_flavour_names_its_repositories(tmp_path):
    folder = tmp_path / "acme"
    folder.mkdir()
    (folder / "flavour.toml").write_text('[repositories.a]\naddress = "https://acme.example/debian"\n')
    words = ("flavours", "show", "acme", "--flavour-path", str(tmp_path))
    argv = [Path(sys.executable).parent / "imagewright", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert re.search(r"repositories +https://acme.example/debian\n", done.stdout)
    assert json.loads(subprocess.run([*argv, "--json"], capture_output=True, check=True, cwd=tmp_path).stdout)[
        "flavour"
    ]["repositories"] == ["https://acme.example/debian"]


def test_a_settings_file_names_the_repository_and_the_files_beside_it(tmp_path):
    folder = tmp_path / "project"
    (folder / "flavours/taking").mkdir(parents=True)
    (folder / "flavours/taking/flavour.toml").write_text('provides = ["operating-system"]\n')
    (folder / "imagewright.toml").write_text(
        'repository = ["https://acme.example/debian stable main"]\n'
        'repository-key = ["acme.asc"]\nrepository-login = "acme.login"\nflavour-path = ["flavours"]\n'
    )
    (folder / "acme.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    (folder / "acme.login").write_text("machine acme.example login ann password pa55word\n")
    argv = [Path(sys.executable).parent / "disk-image-create", "--plan", "--skip-base", "taking"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=folder)
    # it got as far as the operating system, which has no package manager at all
    assert done.returncode == 3
    assert "https://acme.example/debian: given by --repository" in done.stderr
    assert "pa55word" not in done.stderr
    (folder / "acme.login").unlink()
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 2
    assert "`repository-login`" in done.stderr
    assert "acme.login" in done.stderr
