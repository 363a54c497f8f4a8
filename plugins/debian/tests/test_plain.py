"""Plain forms of .deb files are the same packages to dpkg, apt takes them, and what can wait is done at the end."""

from __future__ import annotations

import subprocess
from importlib import resources
from pathlib import Path

import pytest
from imagewright_debian.plain import plain_form


def run(*argv: str | Path) -> bytes:
    return subprocess.run([str(word) for word in argv], check=True, capture_output=True).stdout


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "usr/bin/hello").write_text("#!/bin/sh\necho hello\n")
    (tree / "usr/bin/hello").chmod(0o4755)
    (tree / "usr/bin/hi").symlink_to("hello")
    (tree / "etc/odd").write_text("x" * 1001)
    control = "Package: hello\nVersion: 1:2.0-1\nArchitecture: all\nMaintainer: A <a@example>\nDescription: hello\n"
    (tree / "DEBIAN/control").write_text(control)
    (tree / "DEBIAN/conffiles").write_text("/etc/odd\n")
    for name in ("tree/DEBIAN", "tree", "tree/usr", "tree/usr/bin", "tree/etc"):
        (tmp_path / name).chmod(0o755)
    run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, tmp_path / "hello.deb")
    return tmp_path / "hello.deb"


def members(content: bytes) -> list[str]:
    """The names in an archive of ar(5)."""
    names, place = [], 8
    while place < len(content):
        header = content[place : place + 60].decode()
        names.append(header[:16].rstrip())
        size = int(header[48:58])
        place += 60 + size + size % 2
    return names


def test_a_plain_form_holds_the_same_members_without_compression(archive: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.deb"
    plain_form(archive, plain)
    assert members(plain.read_bytes()) == ["debian-binary", "control.tar", "data.tar"]
    for part in ("--ctrl-tarfile", "--fsys-tarfile"):
        assert run("dpkg-deb", part, plain) == run("dpkg-deb", part, archive)
    assert run("dpkg-deb", "--field", plain) == run("dpkg-deb", "--field", archive)


def test_a_plain_form_says_nothing_of_when_it_was_made(archive: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.deb", tmp_path / "second.deb"
    plain_form(archive, first)
    second.write_bytes(b"what was there before" * 10000)
    plain_form(archive, second)
    assert first.read_bytes() == second.read_bytes()


def test_of_what_is_no_archive_no_plain_form_is_made(tmp_path: Path) -> None:
    (tmp_path / "no.deb").write_text("no archive\n")
    with pytest.raises(subprocess.CalledProcessError):
        plain_form(tmp_path / "no.deb", tmp_path / "plain.deb")


def as_apt_calls(tmp_path: Path, *arguments: str) -> list[str]:
    """What dpkg is given by the program that apt calls in its place, with folders of the test's."""
    script = (resources.files("imagewright_debian") / "build-files" / "dpkg").read_text()
    (tmp_path / "real").write_text('#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done\n')
    (tmp_path / "real").chmod(0o755)
    script = script.replace("/usr/bin/dpkg", str(tmp_path / "real"))
    script = script.replace("/run/imagewright/plain", str(tmp_path / "plain"))
    return run("sh", "-c", script, "dpkg", *arguments).decode().splitlines()


def test_dpkg_is_given_plain_forms_in_place_of_archives(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/a_1%3a2_all.deb").touch()
    words = ["--status-fd", "7", "--unpack", "--auto-deconfigure", "/archives/a_1%3a2_all.deb", "/archives/b_1_all.deb"]
    assert as_apt_calls(tmp_path, *words) == [*words[:4], f"{tmp_path}/plain/a_1%3a2_all.deb", "/archives/b_1_all.deb"]


def test_dpkg_is_given_the_archives_of_a_folder_in_the_order_of_apt(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    links = tmp_path / "apt links"
    links.mkdir()
    for name in ("001-z_1_all.deb", "002-a-b_1_all.deb", "003-c_1_all.deb"):
        (links / name).touch()
    for name in ("z_1_all.deb", "a-b_1_all.deb"):
        (tmp_path / "plain" / name).touch()
    given = as_apt_calls(tmp_path, "--unpack", "--recursive", str(links))
    assert given == [
        "--unpack",
        f"{tmp_path}/plain/z_1_all.deb",
        f"{tmp_path}/plain/a-b_1_all.deb",
        f"{links}/003-c_1_all.deb",
    ]


def test_dpkg_is_called_as_ever_where_no_plain_forms_lie(tmp_path: Path) -> None:
    words = ["--configure", "--pending", "/archives/a_1_all.deb", "--recursive", "two words", ""]
    assert as_apt_calls(tmp_path, *words) == words


SCRIPT = {"DPKG_MAINTSCRIPT_NAME": "postinst", "DPKG_MAINTSCRIPT_PACKAGE": "linux-image-6.12-amd64"}


@pytest.fixture
def transaction(tmp_path: Path) -> Path:
    """The programs around a transaction, with folders of the test's; depmod and py3compile write down their calls."""
    shipped = resources.files("imagewright_debian") / "build-files"
    for name in ("install", "later"):
        script = (shipped / name).read_text()
        script = script.replace("/run/imagewright/later", str(tmp_path / "run-later"))
        script = script.replace("/usr/sbin/imagewright-later", str(tmp_path / "later"))
        for real in ("/usr/sbin/imagewright-depmod", "/sbin/depmod", "/usr/bin/py3compile"):
            script = script.replace(real, str(tmp_path / real.rpartition("-")[2].rpartition("/")[2]))
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    for name in ("depmod", "py3compile"):
        program = f"""#!/bin/sh
            [ "$1" != fails ] || exit 3
            {{ printf {name}; printf '|%s' "$@"; echo; }} >>{tmp_path}/done
        """
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def carried_out(folder: Path, script: str, **environment: str) -> tuple[int, list[str]]:
    """Run a shell script as a transaction, with the PATH that apt would give; its status and what was done in all."""
    path = f"{folder / 'run-later' / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
    argv = [folder / "install", "sh", "-euc", script]
    (folder / "done").write_text("")
    status = subprocess.run(argv, env={"PATH": path, **environment}, check=False, capture_output=True).returncode
    return status, (folder / "done").read_text().splitlines()


def test_what_can_wait_is_done_at_the_end_of_the_transaction_with_its_very_arguments(transaction: Path) -> None:
    script = f"py3compile -p 'a b' '' -X '*'; depmod 6.12; cat {transaction}/done; echo configured >>{transaction}/done"
    status, done = carried_out(transaction, script, **SCRIPT)
    assert status == 0
    assert done[0] == "configured"
    assert sorted(done[1:]) == ["depmod|6.12", "py3compile|-p|a b||-X|*"]


def test_what_others_than_scripts_of_packages_ask_for_is_done_at_once(transaction: Path) -> None:
    script = f"py3compile -p one; depmod -a 6.12; echo configured >>{transaction}/done"
    assert carried_out(transaction, script) == (0, ["py3compile|-p|one", "depmod|-a|6.12", "configured"])
    # another's index of modules, such as that of modules made on the spot, is looked at by who made it
    other = {**SCRIPT, "DPKG_MAINTSCRIPT_PACKAGE": "acme-dkms"}
    assert (
        carried_out(transaction, f"depmod 6.12; echo configured >>{transaction}/done", **other)[1][0] == "depmod|6.12"
    )


def test_what_fails_at_the_end_fails_the_transaction(transaction: Path) -> None:
    assert carried_out(transaction, "py3compile fails", **SCRIPT)[0] != 0
    assert carried_out(transaction, "exit 100", **SCRIPT)[0] == 100
