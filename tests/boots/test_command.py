"""Boot 7: the command that users call."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from boots_kit.lab import Lab

CHECKS = (
    "systemctl is-system-running --wait",
    "test -d /sys/firmware/efi",
    "sudo -n true && grep -q '^ID=debian' /etc/os-release",
)


@pytest.fixture(scope="module")
def ran(lab: Lab, folder: Callable[[str], Path]) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Boot 7."""
    where = folder("boot-7")
    before = _digest(lab.image)
    words = [word for check in CHECKS for word in ("--check", check)]
    argv = (
        str(Path(sys.executable).parent / "imagewright"), "boot", str(lab.image), *words,
        "--uefi", "--timeout", str(int(lab.patience)), "--junit", str(where / "report.xml"), "--json",
    )  # fmt: skip
    environment = {**os.environ, "XDG_CACHE_HOME": str(where / "cache")}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=4 * lab.patience, env=environment)
    assert _digest(lab.image) == before, "the image was changed"
    return done, where


def test_it_ends_well_and_prints_one_document(ran: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, _ = ran
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["passed"]
    assert document["login_seconds"] > 0
    assert [outcome["name"] for outcome in document["outcomes"]] == ["login", *CHECKS]
    assert all(outcome["passed"] for outcome in document["outcomes"])


def test_it_writes_junit(ran: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    suite = ET.parse(ran[1] / "report.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("4", "0")


def test_it_leaves_nothing_else(ran: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    left = [path for path in (ran[1] / "cache").rglob("*") if path.is_file()]
    assert left == []


def _digest(image: Path) -> str:
    with image.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
