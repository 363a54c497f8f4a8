"""qcow2 as qemu-img makes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from imagewright.reading.errors import ImageUnreadable
from imagewright.reading.images import open_image

from .conftest import MIB, NEW, Machine, ext4, joined, same, sh, taken

ALL = 64


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory, machine: Machine) -> Path:
    return ext4(tmp_path_factory.mktemp("raw") / "disk.raw", machine)


def convert(raw: Path, path: Path, *options: str) -> Path:
    sh("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, path)
    return path


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-o", "compat=0.10"),
        ("-o", "cluster_size=512"),
        ("-o", "cluster_size=2M"),
        ("-o", "extended_l2=on,cluster_size=128k"),
        ("-o", "preallocation=metadata"),
        ("-c",),
        ("-c", "-o", "compat=0.10,cluster_size=4k"),
        ("-c", "-o", "compression_type=zstd"),
        ("-c", "-o", "compression_type=zstd,cluster_size=1M", "-m", "4", "-W"),
        ("-c", "-o", "extended_l2=on"),
    ],
    ids=",".join,
)
def test_kernels_come_out_to_the_byte(tmp_path: Path, machine: Machine, raw: Path, options: tuple[str, ...]) -> None:
    same(convert(raw, tmp_path / "disk.qcow2", *options), machine)


@pytest.mark.parametrize("said", [("-F", "qcow2"), ("-F", "qcow2", "-o", "extended_l2=on")], ids=["plain", "extended"])
def test_a_chain_of_backing_files_is_followed(
    tmp_path: Path, machine: Machine, raw: Path, said: tuple[str, ...]
) -> None:
    (tmp_path / "base").mkdir()
    convert(raw, tmp_path / "base/disk.qcow2", "-c")
    sh("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base/disk.qcow2", *said, "middle.qcow2", "90M", cwd=tmp_path)
    sh("qemu-img", "create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", "top.qcow2", cwd=tmp_path)
    same(tmp_path / "top.qcow2", machine)
    with open_image(tmp_path / "top.qcow2") as image:
        assert [path.name for path in image.files] == ["top.qcow2", "middle.qcow2", "disk.qcow2"]
        assert image.size == 90 * MIB


def test_what_an_overlay_changed_counts(tmp_path: Path, machine: Machine, raw: Path) -> None:
    sh("qemu-img", "create", "-q", "-f", "qcow2", "-b", raw, "-F", "raw", tmp_path / "top.qcow2")
    with raw.open("rb") as file:
        disk = file.read()
    expected = bytearray(machine.kernels[NEW])
    first, second = (disk.index(expected[at : at + 4096]) for at in (32768, 40960))
    sh("qemu-io", "-c", f"write -P 0x41 {first} 512", "-c", f"write -z {second} 4096", tmp_path / "top.qcow2")
    expected[32768 : 32768 + 512] = b"A" * 512
    expected[40960 : 40960 + 4096] = bytes(4096)
    assert taken(tmp_path / "top.qcow2")[1] == bytes(expected)


def test_backing_files_that_form_a_loop_are_refused(tmp_path: Path, raw: Path) -> None:
    convert(raw, tmp_path / "a.qcow2")
    sh("qemu-img", "create", "-q", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", "b.qcow2", cwd=tmp_path)
    sh("qemu-img", "rebase", "-u", "-b", "b.qcow2", "-F", "qcow2", "a.qcow2", cwd=tmp_path)
    refused(tmp_path / "a.qcow2", "loop")


def test_a_backing_file_that_is_missing_or_elsewhere_is_named(tmp_path: Path, raw: Path) -> None:
    sh("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "gone.raw", "-F", "raw", tmp_path / "a.qcow2", "48M")
    refused(tmp_path / "a.qcow2", "gone.raw")
    sh("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "nbd://h/x", "-F", "raw", tmp_path / "b.qcow2", "48M")
    refused(tmp_path / "b.qcow2", "nbd://h/x")


@pytest.mark.parametrize("options", [(), ("-c",), ("-c", "-o", "compression_type=zstd")], ids=",".join)
def test_a_truncated_image_gives_the_bytes_or_one_error(
    tmp_path: Path, machine: Machine, raw: Path, options: tuple[str, ...]
) -> None:
    path = convert(raw, tmp_path / "disk.qcow2", *options)
    whole = path.stat().st_size
    refusals = 0
    for part in reversed(range(16)):
        with path.open("r+b") as file:
            file.truncate(whole * part // 16)
        try:
            same(path, machine)
        except ImageUnreadable:
            refusals += 1
    assert refusals >= 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"), "encrypted"),
        (("-o", "data_file=data"), "another file"),
    ],
)
def test_what_is_not_read_is_said(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    secret = ("--object", "secret,id=s,data=x") if "encrypt" in options[1] else ()
    sh("qemu-img", "create", "-q", *secret, "-f", "qcow2", *options, "disk.qcow2", "8M", cwd=tmp_path)
    refused(tmp_path / "disk.qcow2", words)


@pytest.mark.parametrize("kind", ["vmdk", "vdi", "vhdx"])
def test_another_kind_of_image_is_named_with_the_way_to_convert_it(tmp_path: Path, kind: str) -> None:
    sh("qemu-img", "create", "-q", "-f", kind, tmp_path / f"disk.{kind}", "8M")
    assert "qemu-img convert" in refused(tmp_path / f"disk.{kind}", kind.upper()).hint


def test_a_partitioned_disk_with_boot_of_its_own_gives_its_kernel(tmp_path: Path, machine: Machine, raw: Path) -> None:
    disk = joined(tmp_path / "disk.raw", "gpt", None, raw, sizes=ALL)
    same(convert(disk, tmp_path / "disk.qcow2", "-c"), machine)


def test_the_image_is_never_changed(tmp_path: Path, machine: Machine, raw: Path) -> None:
    path = convert(raw, tmp_path / "disk.qcow2")
    shutil.copy2(path, tmp_path / "before")
    path.chmod(0o444)
    before = path.stat()
    same(path, machine)
    after = path.stat()
    assert (before.st_mtime_ns, before.st_size, before.st_ino) == (after.st_mtime_ns, after.st_size, after.st_ino)
    assert path.read_bytes() == (tmp_path / "before").read_bytes()


def refused(path: Path, words: str) -> ImageUnreadable:
    with pytest.raises(ImageUnreadable) as caught:
        taken(path)
    assert words in str(caught.value)
    return caught.value
