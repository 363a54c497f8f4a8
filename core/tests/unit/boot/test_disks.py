from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from imagewright.boot.disks import check_startable, format_of, make_overlay
from imagewright.errors import UsageError


def test_a_format_is_read_from_the_file_not_from_its_name(tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(b"QFI\xfb and more")
    assert format_of(image) == "qcow2"
    image.write_bytes(b"\xeb\x63\x90")
    assert format_of(image) == "raw"


def test_an_image_that_is_missing_or_empty_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        format_of(tmp_path / "missing")
    (tmp_path / "empty").touch()
    with pytest.raises(UsageError, match="is empty"):
        format_of(tmp_path / "empty")


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
def test_an_overlay_is_larger_and_leaves_the_image_alone(tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(b"\xeb" * 65536)
    make_overlay(image, tmp_path / "overlay.qcow2", size=2**20)
    told = subprocess.run(
        ("qemu-img", "info", "--output=json", tmp_path / "overlay.qcow2"), capture_output=True, check=True
    )
    info = json.loads(told.stdout)
    assert info["virtual-size"] == 2**20
    assert info["full-backing-filename"] == str(image)
    assert image.read_bytes() == b"\xeb" * 65536


def test_a_file_that_no_firmware_could_start_from_is_refused(tmp_path):
    text = tmp_path / "words.raw"
    text.write_text("no disk at all\n" * 100)
    with pytest.raises(UsageError, match="no disk that a machine could start from"):
        check_startable(text)


def test_a_disk_with_a_partition_table_may_be_started(tmp_path):
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(510) + b"\x55\xaa" + bytes(4096))
    check_startable(disk)
