"""Whom an image lets in, as its cloud-init's settings say: in tar archives, which the same code reads."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from imagewright.boot.logins import login_user, scalar
from imagewright.errors import UsageError

MAIN = """
# system_info: {default_user: {name: comment}}
users:
   - default
system_info:
   distro: debian
   paths:
      name: other
   default_user:
     # name: nobody
     groups: [adm]
     name: 'debian'  # a comment
     shell: /bin/bash
   name: outside
name: outside
"""


def image(folder: Path, files: Mapping[str, str]) -> Path:
    path = folder / "image.tar"
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def default(user: str) -> str:
    return f"system_info:\n  default_user:\n    name: {user}\n"


def test_it_is_the_default_user_and_nothing_else_that_has_a_name(tmp_path: Path) -> None:
    assert login_user(image(tmp_path, {"etc/cloud/cloud.cfg": MAIN})) == "debian"


def test_the_last_of_the_folders_files_that_names_one_is_the_strongest(tmp_path: Path) -> None:
    files = {
        "etc/cloud/cloud.cfg": MAIN,
        "etc/cloud/cloud.cfg.d/95-user.cfg": default("ubuntu"),
        "etc/cloud/cloud.cfg.d/10-user.cfg": default("early"),
        "etc/cloud/cloud.cfg.d/99-network.cfg": "system_info:\n  network:\n    renderers: [networkd]\n",
        "etc/cloud/cloud.cfg.d/99-user.cfg.bak": default("never"),
    }
    assert login_user(image(tmp_path, files)) == "ubuntu"


@pytest.mark.parametrize(
    "text",
    ["", "users: [default]\n", default(""), default("$USER"), "system_info: {default_user: {name: a}}\n"],
    ids=["empty", "no user", "no name", "impossible", "another form"],
)
def test_no_user_is_one_clear_message(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        login_user(image(tmp_path, {"etc/cloud/cloud.cfg": text}))
    assert caught.value.reference == "no-login-user"
    assert "--user" in caught.value.hint


def test_a_form_that_is_not_read_hides_the_user_of_a_weaker_file(tmp_path: Path) -> None:
    other = "system_info:\n  default_user: {name: ubuntu}\n"
    with pytest.raises(UsageError, match="nobody is known"):
        login_user(image(tmp_path, {"etc/cloud/cloud.cfg": MAIN, "etc/cloud/cloud.cfg.d/50.cfg": other}))


def test_an_image_that_is_not_read_says_why(tmp_path: Path) -> None:
    path = tmp_path / "image.vmdk"
    path.write_bytes(b"KDMV" + bytes(4096))
    with pytest.raises(UsageError) as caught:
        login_user(path)
    assert "VMDK" in caught.value.cause


def test_a_value_that_is_not_there_differs_from_an_empty_one() -> None:
    assert scalar("a:\n  c: 1\n", "a", "b") is None
    assert scalar("a:\n  b:\n", "a", "b") == ""
    assert scalar("a:\n- b: 1\n", "a", "b") is None
