"""The command reads every image that a build writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.testing.kit import ImageKit

PROGRAM = [sys.executable, "-c", "from imagewright.cli.main import disk_image_get_kernel as main; main()"]
LINE = "root=UUID=00000000-1111-4222-8333-444444444444 ro console=ttyS0"

FILES = {
    "install.d/50-ramdisk": '#!/bin/sh\nset -e\nfor kernel in /boot/vmlinuz-*; do\n  cp "$(dirname "$0")/ramdisk" '
    '"/boot/initrd.img-${kernel#/boot/vmlinuz-}"\ndone\nmkdir -p /etc/kernel\n'
    f'echo "{LINE}" > /etc/kernel/cmdline\n',
    "install.d/ramdisk": "a ramdisk, were this not a toy\n" * 5000,
}


@pytest.mark.parametrize("kind", ["qcow2", "raw", "tar"])
def test_the_kernel_of_a_build_comes_out_of_each_type(image_kit: ImageKit, tmp_path: Path, kind: str) -> None:
    image_kit.flavour("ramdisk", FILES)
    built = image_kit.build("ramdisk", types=(kind,))
    image = built.path(kind)
    done = subprocess.run([*PROGRAM, image], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    kernel, ramdisk, line = done.stdout.splitlines()
    assert (kernel, ramdisk, line) == ("image.kernel", "image.ramdisk", LINE)
    assert (tmp_path / kernel).read_text() == "a kernel, were this not a toy\n"
    assert (tmp_path / ramdisk).read_text() == FILES["install.d/ramdisk"]
