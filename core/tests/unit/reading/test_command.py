"""``disk-image-get-kernel`` as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import NEW, OLD, UUID, Machine, ext4, make_machine, sh

PROGRAM = [sys.executable, "-c", "from imagewright.cli.main import disk_image_get_kernel as main; main()"]
MAIN = "imagewright.cli.main"
# each takes a millisecond or several, where the whole command has a few dozen
DEAR = {"dataclasses", "email", "inspect", "json", "platformdirs", "shutil", "subprocess", "tempfile", "typer", "uuid"}
LINE = f"root=UUID={UUID} ro console=tty0 console=ttyS0,115200"


@pytest.fixture
def web(tmp_path: Path, machine: Machine) -> Path:
    """A folder with ``web.qcow2``."""
    folder = tmp_path / "folder"
    folder.mkdir()
    sh("qemu-img", "convert", "-c", "-O", "qcow2", ext4(tmp_path / "disk.raw", machine), folder / "web.qcow2")
    return folder


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("IMAGEWRIGHT")}
    return subprocess.run(
        [*PROGRAM, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"LC_ALL": "C.UTF-8"},
    )


def test_it_writes_both_files_and_prints_paths_and_command_line(web: Path, machine: Machine) -> None:
    done = call(web, "web.qcow2")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"web.kernel\nweb.ramdisk\n{LINE}\n", "")
    assert (web / "web.kernel").read_bytes() == machine.kernels[NEW]
    assert (web / "web.ramdisk").read_bytes() == machine.ramdisks[NEW]
    assert sorted(path.name for path in web.iterdir()) == ["web.kernel", "web.qcow2", "web.ramdisk"]


def test_it_imports_nothing_that_takes_longer_than_the_image(web: Path) -> None:
    # what Python itself was told to load on this host is not the command's
    code = (
        "import sys\nbefore = set(sys.modules)\n"
        f"try:\n import {MAIN}; {MAIN}.disk_image_get_kernel()\n"
        "finally:\n print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "web.qcow2"], cwd=web, capture_output=True, text=True, check=True
    )
    modules = set(done.stderr.split())
    assert MAIN in modules
    assert not modules & DEAR


def test_a_prefix_and_a_version_are_honoured(web: Path, machine: Machine) -> None:
    (web / "out").mkdir()
    done = call(web, "web.qcow2", "-o", "out/old", "--kernel", OLD)
    assert done.stdout.splitlines()[:2] == ["out/old.kernel", "out/old.ramdisk"]
    assert (web / "out/old.kernel").read_bytes() == machine.kernels[OLD]


def test_the_list_is_of_all_kernels(web: Path) -> None:
    rows = [row.split() for row in call(web, "web.qcow2", "--list").stdout.splitlines()]
    assert rows == [[one, f"/boot/vmlinuz-{one}", f"/boot/initrd.img-{one}"] for one in (NEW, OLD)]
    document = json.loads(call(web, "web.qcow2", "--list", "--json").stdout)
    assert [kernel["version"] for kernel in document["kernels"]] == [NEW, OLD]
    assert sorted(path.name for path in web.iterdir()) == ["web.qcow2"]


def test_json_says_everything(web: Path) -> None:
    document = json.loads(call(web, "web.qcow2", "--json", "--pxe", "net").stdout)
    assert document == {
        "schema": 1,
        "image": "web.qcow2",
        "version": NEW,
        "kernel": "web.kernel",
        "ramdisk": "web.ramdisk",
        "command_line": LINE,
        "sources": {"kernel": f"/boot/vmlinuz-{NEW}", "ramdisk": f"/boot/initrd.img-{NEW}"},
        "pxe": "net",
    }


def test_a_folder_for_network_boot_is_complete(web: Path, machine: Machine) -> None:
    done = call(web, "web.qcow2", "--pxe", "net")
    assert done.returncode == 0
    assert done.stdout.splitlines()[2:] == [LINE, "net"]
    assert (web / "net/web.kernel").read_bytes() == machine.kernels[NEW]
    assert (web / "net/web.ramdisk").read_bytes() == machine.ramdisks[NEW]
    script = (web / "net/boot.ipxe").read_text().splitlines()
    assert script == ["#!ipxe", f"kernel web.kernel initrd=web.ramdisk {LINE}", "initrd web.ramdisk", "boot"]
    menu = (web / "net/pxelinux.cfg/default").read_text()
    assert f"  KERNEL web.kernel\n  INITRD web.ramdisk\n  APPEND {LINE}\n" in menu
    assert call(web, "web.qcow2", "--pxe", ".", "-o", "net/web").returncode == 0


def test_what_was_there_stays_if_the_image_is_cut_and_is_replaced_if_not(web: Path, machine: Machine) -> None:
    for name in ("web.kernel", "web.ramdisk"):
        (web / name).write_text("before")
    whole = (web / "web.qcow2").read_bytes()
    (web / "web.qcow2").write_bytes(whole[: len(whole) * 2 // 3])
    done = call(web, "web.qcow2")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert {path.name: path.stat().st_size for path in web.glob("web.[kr]*")} == {"web.kernel": 6, "web.ramdisk": 6}
    assert len(list(web.iterdir())) == 3
    (web / "web.qcow2").write_bytes(whole)
    assert call(web, "web.qcow2").returncode == 0
    assert (web / "web.ramdisk").read_bytes() == machine.ramdisks[NEW]
    assert len(list(web.iterdir())) == 3


def test_a_second_file_that_cannot_be_placed_leaves_the_first_as_it_was(web: Path) -> None:
    (web / "web.kernel").write_text("before")
    (web / "web.ramdisk").mkdir()
    done = call(web, "web.qcow2")
    assert done.returncode == 2
    assert "web.ramdisk` is a folder" in done.stderr
    assert (web / "web.kernel").read_text() == "before"


def test_the_image_itself_is_never_the_output(web: Path) -> None:
    (web / "web.qcow2").rename(web / "x.kernel")
    before = (web / "x.kernel").read_bytes()
    done = call(web, "x.kernel", "-o", "x")
    assert done.returncode == 2
    assert "the image itself" in done.stderr
    assert (web / "x.kernel").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "no image was named"),
        (("gone.qcow2",), 2, "there is no image gone.qcow2"),
        (("web.qcow2", "-o", "gone/web"), 2, "the folder gone"),
        (("web.qcow2", "-o", "."), 2, "names a folder"),
        (("web.qcow2", "--kernel", "1.2"), 1, "no kernel 1.2"),
        (("web.qcow2", "--pxe", "web.qcow2"), 4, "cannot be made"),
        (("/",), 1, "it is a folder"),
    ],
)
def test_a_mistake_gives_one_message(web: Path, words: tuple[str, ...], code: int, message: str) -> None:
    done = call(web, *words)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in web.iterdir()) == ["web.qcow2"]


def test_x_says_what_is_found(web: Path) -> None:
    done = call(web, "web.qcow2", "-x", "--list")
    assert f"the image: ext4 UUID={UUID} LABEL=cloud (root)" in done.stderr
    assert f"kernel {NEW}: /boot/vmlinuz-{NEW}, /boot/initrd.img-{NEW}" in done.stderr


def test_an_ordinary_umask_holds_and_a_private_kernel_can_be_served(tmp_path: Path) -> None:
    machine = make_machine(tmp_path / "root")
    for path in machine.folder.glob("boot/vmlinuz-*"):
        path.chmod(0o600)
    ext4(tmp_path / "disk.raw", machine)
    before = os.umask(0o022)
    try:
        assert call(tmp_path, "disk.raw").returncode == 0
    finally:
        os.umask(before)
    assert (tmp_path / "disk.kernel").stat().st_mode & 0o777 == 0o644
