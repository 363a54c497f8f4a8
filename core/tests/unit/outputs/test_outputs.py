"""The output formats, found as any user finds them."""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from imagewright.drivers import BuiltImage, Output
from imagewright.errors import HostError
from imagewright.outputs.qcow2 import Qcow2
from imagewright.types import MIB


def driver(name: str) -> Output:
    (found,) = entry_points(group="imagewright.outputs", name=name)
    output: Output = found.load()()
    return output


@pytest.fixture
def image(tmp_path: Path) -> BuiltImage:
    raw = tmp_path / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(256 * MIB)
        for at in range(0, 200, 10):
            file.seek(at * MIB)
            file.write(os.urandom(100_000) + b"text" * 500_000)
    (tmp_path / "tree.tar").write_bytes(b"an archive")
    return BuiltImage(name="web", raw=raw, tar=tmp_path / "tree.tar", epoch=1)


@pytest.mark.parametrize("name", ["qcow2", "raw", "tar"])
def test_each_type_is_a_driver_with_its_suffix(name: str) -> None:
    output = driver(name)
    assert output.suffix == f".{name}"
    assert output.needs == ("tar" if name == "tar" else "raw")


def test_qcow2_is_compressed_complete_and_the_same_each_time(image: BuiltImage, tmp_path: Path) -> None:
    for name in ("a:b.qcow2", "b.qcow2"):
        driver("qcow2").write(image, tmp_path / name)
        time.sleep(1.1)
    one = tmp_path / "b.qcow2"
    assert filecmp.cmp(one, tmp_path / "a:b.qcow2", shallow=False)
    said = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", str(one)]))
    assert said["format-specific"]["data"]["compression-type"] == "zstd"
    assert said["virtual-size"] == 256 * MIB
    assert one.stat().st_size < 8 * MIB
    subprocess.run(["qemu-img", "compare", str(image.raw), str(one)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["qemu-img", "check", str(one)], check=True, stdout=subprocess.DEVNULL)


def test_raw_has_the_same_bytes_and_keeps_its_holes(image: BuiltImage, tmp_path: Path) -> None:
    assert image.raw is not None
    driver("raw").write(image, tmp_path / "web.raw")
    assert filecmp.cmp(image.raw, tmp_path / "web.raw", shallow=False)
    assert (tmp_path / "web.raw").stat().st_blocks * 512 < 64 * MIB


def test_tar_is_the_archive(image: BuiltImage, tmp_path: Path) -> None:
    driver("tar").write(image, tmp_path / "web.tar")
    assert (tmp_path / "web.tar").read_bytes() == b"an archive"


def test_a_limit_of_the_file_size_is_told_as_such(image: BuiltImage, tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        with pytest.raises(HostError, match="no file of that size"):
            Qcow2().write(image, tmp_path / "x.qcow2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
