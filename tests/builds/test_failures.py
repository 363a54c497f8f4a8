"""What happens when something goes wrong: one clear message, no output, nothing left behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.errors import HostError, StepFailed
from imagewright.testing.kit import ImageKit

SCRIPT_PHASES = (
    "block-device-size", "extra-data", "pre-install", "install", "post-install", "finalise", "cleanup", "block-device",
)  # fmt: skip

FAILING = "#!/bin/sh\necho the first line\necho the reason >&2\nexit 7\n"


@pytest.mark.parametrize("phase", SCRIPT_PHASES)
def test_a_failing_script_is_named_with_its_flavour_status_and_last_lines(image_kit: ImageKit, phase: str) -> None:
    folder = image_kit.flavour("unlucky", {f"{phase}.d/10-fail": FAILING})
    error = image_kit.fails("unlucky", types="raw", kind=StepFailed)
    text = str(error)
    assert error.exit_code == 1
    assert "exit status 7" in text
    assert "the first line" in text
    assert "the reason" in text
    assert f"flavour: unlucky ({folder})" in text
    assert str(folder / f"{phase}.d/10-fail") in text
    assert f"{phase}/10-fail" in text
    assert re.search(r"build-\d+\.log", text)


def test_later_phases_do_not_run_after_a_failure(image_kit: ImageKit) -> None:
    image_kit.flavour("unlucky", {"install.d/10-fail": FAILING, "finalise.d/10-late": "#!/bin/sh\necho too late\n"})
    image_kit.fails("unlucky")
    (log,) = image_kit.folder.glob("build-*.log")
    assert "too late" not in log.read_text()
    assert "finalise/10-late" not in log.read_text()


def test_the_command_says_it_on_stderr_and_ends_with_1(image_kit: ImageKit) -> None:
    image_kit.flavour("unlucky", {"install.d/10-fail": FAILING})
    done = image_kit.command("disk-image-create", "-t", "tar", "-o", "it", "toy", "--skip-base", "unlucky", check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "exit status 7" in done.stderr
    assert "Traceback" not in done.stderr
    (log,) = (image_kit.cache / "logs").iterdir()
    assert str(log) in done.stderr.replace("\n", "")
    assert "the reason" in log.read_text()
    assert not list(image_kit.output.iterdir())


def test_an_earlier_output_survives_a_failed_build(image_kit: ImageKit) -> None:
    image_kit.flavour("unlucky", {"finalise.d/10-fail": FAILING})
    before = {path: path.read_bytes() for path in image_kit.build().paths}
    image_kit.fails("unlucky")
    assert {path: path.read_bytes() for path in image_kit.output.iterdir()} == before


def test_a_script_that_cannot_start_is_named(image_kit: ImageKit) -> None:
    image_kit.flavour("strange", {"install.d/10-strange": "#!/usr/bin/no-such-shell\n"})
    error = image_kit.fails("strange", kind=StepFailed, match="install/10-strange")
    assert "strange" in str(error)


def test_a_script_that_a_signal_ends_is_named(image_kit: ImageKit) -> None:
    image_kit.flavour("violent", {"install.d/10-violent": "#!/bin/sh\nkill -9 $$\n"})
    image_kit.fails("violent", kind=StepFailed, match="signal 9")


def test_what_a_script_leaves_running_does_not_hold_the_build_up(image_kit: ImageKit) -> None:
    image_kit.flavour(
        "daemon", {"install.d/10-daemon": "#!/bin/sh\ncd /usr\nsleep 600 &\nsleep 601 >/dev/null 2>&1 &\n"}
    )
    assert image_kit.build("daemon").seconds < 60


def test_a_package_that_does_not_exist_is_named_with_who_wants_it(image_kit: ImageKit) -> None:
    image_kit.flavour("web", {"flavour.toml": 'packages = ["hello", "no-such-package"]\n'})
    wanted = ("no-such-package", "nor-this")
    error = image_kit.fails("web", packages=wanted, kind=StepFailed, match="there is no package no-such-package")
    assert [line for line in error.where if "wanted by" in line] == [
        "no-such-package: wanted by web, -p",
        "nor-this: wanted by -p",
    ]


def test_an_output_in_a_missing_folder_is_found_before_any_work(image_kit: ImageKit) -> None:
    error = image_kit.fails(output="missing/image", kind=HostError)
    assert "missing" in str(error)
    assert not list(image_kit.folder.glob("build-*.log")) or "==" not in "".join(
        path.read_text() for path in image_kit.folder.glob("build-*.log")
    )


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_an_output_in_a_folder_of_others_is_found_before_any_work(image_kit: ImageKit) -> None:
    image_kit.output.chmod(0o500)
    try:
        image_kit.fails(kind=HostError, match="written")
    finally:
        image_kit.output.chmod(0o700)


def test_an_output_below_a_file_is_found_before_any_work(image_kit: ImageKit) -> None:
    (image_kit.output / "file").write_text("")
    image_kit.fails(output="file/image", kind=HostError, match="file")


HUNGRY = """
    from imagewright.api import Flavour

    class Hungry(Flavour):
        summary = "needs more room than there is"
        disk_space = 2**60
"""


def test_too_little_room_is_found_before_any_work(image_kit: ImageKit) -> None:
    image_kit.pack("hungry-pack", HUNGRY, {"hungry": "Hungry"})
    error = image_kit.fails("hungry", kind=HostError, match="GiB are free")
    assert error.exit_code == 4


TOOL = """
    from imagewright.api import Flavour

    class Tool(Flavour):
        summary = "needs a program that nobody has"
        programs = ("no-such-program",)
"""


def test_a_missing_program_is_found_before_any_work(image_kit: ImageKit) -> None:
    image_kit.pack("tool-pack", TOOL, {"tool": "Tool"})
    image_kit.fails("tool", kind=HostError, match="no-such-program")


ON_A_SMALL_DISK = """
import subprocess, sys
mountpoint, size, *argv = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", mountpoint], check=True)
sys.exit(subprocess.run(argv).returncode)
"""


def on_a_small_disk(kit: ImageKit, mountpoint: Path, size: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run disk-image-create where a filesystem of ``size`` is mounted, for this process only."""
    from imagewright.testing.kit import program

    return subprocess.run(
        [
            "unshare",
            "--mount",
            sys.executable,
            "-c",
            ON_A_SMALL_DISK,
            str(mountpoint),
            size,
            program("disk-image-create"),
            "--skip-base",
            "toy",
            *arguments,
        ],
        env=kit.environment(),
        cwd=kit.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a small filesystem")
def test_a_disk_that_fills_up_during_the_build_is_said_clearly(image_kit: ImageKit) -> None:
    image_kit.flavour("bulky", {"install.d/10-bulk": "#!/bin/sh\ndd if=/dev/zero of=/bulk bs=1M count=400\n"})
    done = on_a_small_disk(image_kit, image_kit.work, "120M", "-t", "tar", "-o", "output/it", "bulky")
    # the script says it, in its own words, which are shown
    assert done.returncode == 1, done.stderr
    assert "No space left" in done.stderr
    assert "bulky" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(image_kit.output.iterdir())


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a small filesystem")
def test_a_disk_that_fills_up_while_the_artefact_is_written_is_said_clearly(image_kit: ImageKit) -> None:
    done = on_a_small_disk(image_kit, image_kit.output, "1M", "-t", "tar", "-o", "output/it")
    assert done.returncode == 4, done.stderr
    assert "the artefacts cannot be put in place: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
