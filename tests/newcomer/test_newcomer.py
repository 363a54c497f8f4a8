"""An ordinary account with a clone of its own and nothing else: the two commands of the README work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.build, pytest.mark.network, pytest.mark.timeout(3000)]

FILES = ("demo.qcow2", "demo.manifest.json", "demo.sha256")
LINUX_ROOT = ("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "0FC63DAF-8483-4772-8E79-3D69D8477DE4")


@pytest.fixture(scope="module")
def said(newcomer: Any) -> str:
    """What ``make image`` printed, from nothing."""
    printed = newcomer.run("make", "image", minutes=20)
    print(printed)  # beside every failure of a test that looks at the image
    return printed


@pytest.fixture(scope="module")
def raw(newcomer: Any, said: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image as a raw disk."""
    disk = tmp_path_factory.mktemp("newcomer") / "demo.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", newcomer.checkout / "demo.qcow2", disk], check=True)
    return disk


def test_make_image_says_what_it_does_and_where_the_image_is(said: str) -> None:
    assert "setup: making the Python environment .venv with /usr/bin/python3" in said
    assert {"demo.qcow2", "demo.manifest.json", "demo.sha256"} <= set(said.splitlines())


def test_the_image_belongs_to_the_account(newcomer: Any, said: str) -> None:
    image = newcomer.checkout / "demo.qcow2"
    assert image.stat().st_uid == newcomer.uid
    assert image.stat().st_size > 50 * 2**20
    subprocess.run(["qemu-img", "check", "-q", image], check=True)


def test_the_partition_table_is_sound(raw: Path) -> None:
    report = subprocess.run(["/sbin/sgdisk", "-v", raw], check=True, capture_output=True, text=True).stdout
    assert "No problems found" in report, report


def test_the_root_filesystem_is_clean(raw: Path) -> None:
    table = json.loads(subprocess.run(["/sbin/sfdisk", "-J", raw], check=True, capture_output=True).stdout)
    roots = [part for part in table["partitiontable"]["partitions"] if part["type"] in LINUX_ROOT]
    assert len(roots) == 1
    offset = roots[0]["start"] * table["partitiontable"].get("sectorsize", 512)
    result = subprocess.run(
        ["/sbin/e2fsck", "-fn", f"{raw}?offset={offset}"], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_process_of_the_account_is_left(newcomer: Any, said: str) -> None:
    assert not newcomer.processes()


def test_the_host_lacks_nothing_that_the_set_up_gives(newcomer: Any, said: str) -> None:
    newcomer.run(".venv/bin/imagewright", "doctor", minutes=5)


def test_the_set_up_says_nothing_and_is_quick_where_nothing_is_missing(newcomer: Any, said: str) -> None:
    start = time.monotonic()
    assert newcomer.run("scripts/setup", minutes=5) == ""
    # other builds run beside it, so that this is not the second that it takes alone
    assert time.monotonic() - start < 15


def inputs_of(folder: Path) -> tuple[Any, ...]:
    """What the world gave to a build: the date and the versions of its packages."""
    manifest = json.loads((folder / "demo.manifest.json").read_text())
    return manifest["source_date_epoch"], manifest["packages"]


def digests_of(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def test_root_makes_the_same_bytes_elsewhere(newcomer: Any, said: str, tmp_path: Path) -> None:
    cache, place = tmp_path / "cache", tmp_path / "a folder" / "of another name"
    place.mkdir(parents=True)
    shutil.copytree(newcomer.home / ".cache/imagewright/packages", cache / "packages")
    environment = newcomer.environment() | {
        "HOME": str(tmp_path),
        "USER": "root",
        "LOGNAME": "root",
        "HOSTNAME": "elsewhere",
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "tr_TR.UTF-8",
        "PYTHONHASHSEED": "7",
    }
    own = ("--no-cache", "--cache-dir", str(cache), "--work-dir", str(tmp_path), "--progress", "plain")
    argv = [newcomer.checkout / ".venv/bin/disk-image-create", *own, "-o", "demo.qcow2", "debian", "vm"]
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        done = subprocess.run(
            argv, cwd=place, env=environment, umask=0o077, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    finally:
        os.sched_setaffinity(0, cores)
    shutil.rmtree(cache)
    assert done.returncode == 0, done.stdout + done.stderr
    if inputs_of(place) != inputs_of(newcomer.checkout):
        # the archive has moved on since the account's build
        newcomer.run(".venv/bin/disk-image-create", "--refresh", "-o", "demo.qcow2", "debian", "vm", minutes=20)
    found = subprocess.run(
        [newcomer.checkout / ".venv/bin/imagewright", "diff", newcomer.checkout / "demo.qcow2", place / "demo.qcow2"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == "the same bytes\n", found.stdout + found.stderr
    assert digests_of(place) == digests_of(newcomer.checkout)


def test_the_account_passes_the_tests_of_builds(newcomer: Any, said: str) -> None:
    report = newcomer.checkout / "report.xml"
    own = (f"--junit-xml={report}", f"--basetemp={newcomer.home / 'pytest'}")
    newcomer.run(".venv/bin/python", "-m", "pytest", "-q", *own, "tests/builds", minutes=40)
    assert not newcomer.processes()
    # The gate counts these tests too.
    if wanted := os.environ.get("IMAGEWRIGHT_NEWCOMER_REPORT"):
        shutil.copyfile(report, wanted)
