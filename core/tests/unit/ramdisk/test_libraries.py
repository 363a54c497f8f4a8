"""The closure of shared libraries: what the loader of this machine loads, and the rules of ld.so(8) one by one."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.errors import StepFailed
from imagewright.ramdisk.elf import read_versions
from imagewright.ramdisk.libraries import Libraries, configured_folders
from imagewright.ramdisk.roots import Root

Elf = Callable[..., bytes]


def found(root: Root, path: str) -> list[str]:
    return sorted(one.found.path for one in Libraries([root]).of(root, path))


@pytest.fixture
def root(tmp_path: Path) -> Root:
    for folder in ("usr/bin", "usr/lib/x86_64-linux-gnu", "etc/ld.so.conf.d", "opt/thing/lib", "opt/thing/bin"):
        (tmp_path / folder).mkdir(parents=True)
    return Root(str(tmp_path), "tree")


def write(root: Root, path: str, content: bytes) -> None:
    place = Path(root.place(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    place.chmod(0o755)


@pytest.mark.parametrize("name", ["env", "ssh", "tar", "bash", "git", "qemu-img"])
def test_it_finds_what_the_loader_of_this_machine_finds(name: str) -> None:
    place = shutil.which(name)
    if place is None:
        pytest.skip(f"{name} is not installed")
    place = str(Path(place).resolve())
    done = subprocess.run(["ldd", place], capture_output=True, text=True, check=True)
    loaded = re.findall(r"(/\S+) \(0x", done.stdout)
    root = Root("", "host")
    mine = {one.found.path for one in Libraries([root]).of(root, place)}
    # glibc-hwcaps are left out on purpose
    theirs = {str(Path(path).resolve()).lstrip("/") for path in loaded if "hwcaps" not in path}
    assert theirs <= mine
    assert len(mine) >= len(loaded)


def test_runpath_with_origin_serves_the_program_and_not_its_libraries(root: Root, elf: Elf) -> None:
    write(root, "opt/thing/bin/program", elf(needed=("libone.so.1",), runpath="$ORIGIN/../lib"))
    write(root, "opt/thing/lib/libone.so.1", elf(needed=("libtwo.so.2",)))
    write(root, "opt/thing/lib/libtwo.so.2", elf())
    with pytest.raises(StepFailed, match=r"the library libtwo\.so\.2 is missing, and /opt/thing/lib/libone\.so\.1"):
        found(root, "opt/thing/bin/program")
    write(root, "usr/lib/libtwo.so.2", elf())
    assert found(Root(root.folder, "tree"), "opt/thing/bin/program") == [
        "opt/thing/lib/libone.so.1",
        "usr/lib/libtwo.so.2",
    ]


def test_rpath_serves_libraries_of_libraries_too(root: Root, elf: Elf) -> None:
    write(root, "opt/thing/bin/program", elf(needed=("libone.so.1",), rpath="/opt/thing/lib"))
    write(root, "opt/thing/lib/libone.so.1", elf(needed=("libtwo.so.2",)))
    write(root, "opt/thing/lib/libtwo.so.2", elf())
    assert found(root, "opt/thing/bin/program") == ["opt/thing/lib/libone.so.1", "opt/thing/lib/libtwo.so.2"]


def test_a_library_of_another_machine_is_passed_over(root: Root, elf: Elf) -> None:
    write(root, "usr/bin/program", elf(needed=("libone.so.1",)))
    write(root, "usr/lib/x86_64-linux-gnu/libone.so.1", elf(machine=183))
    write(root, "usr/lib/libone.so.1", elf())
    assert found(root, "usr/bin/program") == ["usr/lib/libone.so.1"]


def test_folders_of_ld_so_conf_are_searched_and_get_a_link_that_needs_no_cache(root: Root, elf: Elf) -> None:
    write(root, "etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n")
    write(root, "etc/ld.so.conf.d/thing.conf", b"# ours\n/opt/thing/lib\n")
    write(root, "usr/bin/program", elf(needed=("libone.so.1",)))
    write(root, "opt/thing/lib/libone.so.1", elf())
    assert configured_folders(root) == ("/opt/thing/lib",)
    (library,) = Libraries([root]).of(root, "usr/bin/program")
    assert (library.found.path, library.link) == ("opt/thing/lib/libone.so.1", "lib/x86_64-linux-gnu/libone.so.1")


def test_the_interpreter_is_among_them_and_a_missing_one_is_named(root: Root, elf: Elf) -> None:
    write(root, "usr/bin/program", elf(interpreter="/lib64/ld-linux-x86-64.so.2"))
    with pytest.raises(StepFailed, match=r"the library ld-linux-x86-64\.so\.2 is missing"):
        found(root, "usr/bin/program")
    write(root, "lib64/ld-linux-x86-64.so.2", elf())
    assert found(Root(root.folder, "tree"), "usr/bin/program") == ["lib64/ld-linux-x86-64.so.2"]


def test_what_is_opened_at_run_time_comes_if_it_is_there(root: Root, elf: Elf) -> None:
    write(root, "usr/bin/program", elf(opened=("libkmod.so.2",)))
    assert found(root, "usr/bin/program") == []
    write(root, "usr/lib/libkmod.so.2", elf(needed=("libzstd.so.1",)))
    write(root, "usr/lib/libzstd.so.1", elf())
    assert found(Root(root.folder, "tree"), "usr/bin/program") == ["usr/lib/libkmod.so.2", "usr/lib/libzstd.so.1"]


def test_the_hint_names_the_package_as_debian_calls_it(root: Root, elf: Elf) -> None:
    write(root, "usr/bin/program", elf(needed=("libnl-3.so.200",)))
    with pytest.raises(StepFailed) as caught:
        found(root, "usr/bin/program")
    assert "the package libnl-3-200 brings it" in caught.value.hint


def test_libraries_that_need_each_other_end(root: Root, elf: Elf) -> None:
    write(root, "usr/bin/program", elf(needed=("liba.so", "libb.so")))
    write(root, "usr/lib/liba.so", elf(needed=("libb.so",)))
    write(root, "usr/lib/libb.so", elf(needed=("liba.so",)))
    assert found(root, "usr/bin/program") == ["usr/lib/liba.so", "usr/lib/libb.so"]


def test_a_program_of_this_machine_is_refused_the_older_library_of_the_tree(root: Root) -> None:
    env, host = str(Path(shutil.which("env") or "/usr/bin/env").resolve()), Root("", "host")
    libc = next(one.found.path for one in Libraries([host]).of(host, env) if one.found.path.endswith("/libc.so.6"))
    content = Path("/", libc).read_bytes()
    write(root, libc, content)
    assert ("tree", libc) in {(one.root.name, one.found.path) for one in Libraries([root, host]).of(host, env)}
    needs = read_versions(env).needs["libc.so.6"]
    newest = max(needs, key=lambda name: [int(part) for part in name.removeprefix("GLIBC_").split(".")])
    # the same library, as it was before that version came
    write(root, libc, content.replace(newest.encode() + b"\0", b"0" * len(newest) + b"\0"))
    message = rf"of host needs {re.escape(newest)} of libc\.so\.6, which that of tree has not"
    with pytest.raises(StepFailed, match=message):
        list(Libraries([Root(root.folder, "tree"), host]).of(host, env))
