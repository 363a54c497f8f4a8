"""The index of a kernel's modules is made from modules without compression, where the tree has those very modules."""

from __future__ import annotations

import lzma
import os
import subprocess
import tarfile
from importlib import resources
from pathlib import Path

import pytest
from imagewright_debian.plain import plain_form

VERSION = "6.12+deb-amd64"
CONTENT = {f"kernel/fs/m{number}.ko.xz": bytes([number]) * 5000 for number in range(3)}


def run(*argv: str | Path) -> bytes:
    return subprocess.run([str(word) for word in argv], check=True, capture_output=True).stdout


def write_modules(tree: Path) -> Path:
    """A tree with a kernel's folder of modules; the folder."""
    folder = tree / "usr/lib/modules" / VERSION
    for name, content in CONTENT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(lzma.compress(content))
    (folder / "modules.order").write_text("in order\n")
    return folder


def write_package(tree: Path, destination: Path) -> None:
    """Make a package of a tree, of the kernel."""
    (tree / "DEBIAN").mkdir()
    control = f"Package: linux-image-{VERSION}\nVersion: 1\nArchitecture: amd64\nMaintainer: A <a@example>\n"
    (tree / "DEBIAN/control").write_text(control + "Description: kernel\n")
    for folder, _names, _files in os.walk(tree):
        Path(folder).chmod(0o755)
    run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, destination)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The plain form of a package with a kernel's modules."""
    write_modules(tmp_path / "package")
    write_package(tmp_path / "package", tmp_path / "kernel.deb")
    (tmp_path / "plain").mkdir()
    form = tmp_path / "plain" / f"linux-image-{VERSION}_1_amd64.deb"
    plain_form(tmp_path / "kernel.deb", form)
    return form


@pytest.fixture
def indexed(tmp_path: Path):
    """Have the index made in the tree ``tmp_path/tree``; what depmod was called with and saw."""
    script = (resources.files("imagewright_debian") / "build-files/depmod").read_text()
    program = f"""#!/bin/sh
        set -eu
        cd {tmp_path}/tree
        [ "$1" != -b ] || {{ cd "$2"; [ -d etc ] && [ -h usr/lib/depmod.d ]; shift 2; }}
        cd usr/lib/modules/"$1"
        find . -name '*.ko.xz' | sort | xargs head -q -c 6 | od -A n -c >{tmp_path}/seen
        echo index >modules.dep
    """
    (tmp_path / "depmod").write_text(program)
    (tmp_path / "depmod").chmod(0o755)
    script = script.replace("/run/imagewright/plain", str(tmp_path / "plain"))
    script = script.replace("/var/tmp", str(tmp_path / "passing")).replace("/sbin/depmod", str(tmp_path / "depmod"))
    script = script.replace(" /lib/modules", f" {tmp_path}/tree/usr/lib/modules")
    script = script.replace("=/lib/modules", f"={tmp_path}/tree/usr/lib/modules")
    script = script.replace('"/lib/modules', f'"{tmp_path}/tree/usr/lib/modules')
    (tmp_path / "passing").mkdir()

    def make() -> str:
        run("sh", "-c", script, "depmod", VERSION)
        assert not list((tmp_path / "passing").iterdir())
        return "".join((tmp_path / "seen").read_text().split())

    return make


PACKED = "3757zXZ\\0" * 3
UNPACKED = "\\0" * 6 + "001" * 6 + "002" * 6


def test_the_plain_form_of_a_kernel_is_the_same_package_and_holds_its_modules_unpacked(plain: Path, tmp_path: Path):
    assert run("dpkg-deb", "--fsys-tarfile", plain) == run("dpkg-deb", "--fsys-tarfile", tmp_path / "kernel.deb")
    again = tmp_path / "again.deb"
    plain_form(tmp_path / "kernel.deb", again)
    assert again.read_bytes() == plain.read_bytes()
    place = plain.read_bytes().index(b"_modules.tar    ") + 60
    with plain.open("rb") as stream:
        stream.seek(place)
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            found = {member.name: archive.extractfile(member).read() for member in archive}
    top = f"usr/lib/modules/{VERSION}/"
    assert {name: found[top + name] for name in CONTENT} == CONTENT
    assert found[f"{top}modules.order"] == b"in order\n"
    assert found["SHA256SUMS"].count(b"\n") == len(CONTENT)


def test_depmod_reads_the_modules_of_the_plain_form_and_its_index_comes_into_the_tree(plain, indexed, tmp_path):
    folder = write_modules(tmp_path / "tree")
    os.utime(folder / "modules.order", (1, 1))
    assert indexed() == UNPACKED
    assert (folder / "modules.dep").read_text() == "index\n"
    # what the package brought is not written again
    assert (folder / "modules.order").stat().st_mtime == 1


def changed(folder: Path) -> None:
    (folder / "kernel/fs/m1.ko.xz").write_bytes(lzma.compress(b"another"))


def one_more(folder: Path) -> None:
    (folder / "updates").mkdir()
    (folder / "updates/own.ko").write_bytes(lzma.compress(b"own"))


def one_less(folder: Path) -> None:
    (folder / "kernel/fs/m2.ko.xz").unlink()


@pytest.mark.parametrize("change", [changed, one_more, one_less])
def test_of_other_modules_than_the_packages_depmod_reads_the_trees_own(change, plain, indexed, tmp_path):
    folder = write_modules(tmp_path / "tree")
    change(folder)
    assert indexed() == (PACKED if change is not one_less else PACKED[: len(PACKED) * 2 // 3])
    assert (folder / "modules.dep").read_text() == "index\n"


def test_without_a_plain_form_depmod_reads_the_trees_own(indexed, tmp_path):
    folder = write_modules(tmp_path / "tree")
    assert indexed() == PACKED
    assert (folder / "modules.dep").read_text() == "index\n"


def test_a_broken_module_leaves_a_plain_form_without_modules(tmp_path):
    tree = tmp_path / "package"
    folder = write_modules(tree)
    broken = folder / "kernel/fs/m0.ko.xz"
    broken.write_bytes(broken.read_bytes()[:40])
    write_package(tree, tmp_path / "kernel.deb")
    plain_form(tmp_path / "kernel.deb", tmp_path / "plain.deb")
    assert b"_modules.tar" not in (tmp_path / "plain.deb").read_bytes()
    assert run("dpkg-deb", "--field", tmp_path / "plain.deb", "Package").startswith(b"linux-image-")
