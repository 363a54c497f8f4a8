"""Failures that diskimage-builder met, where no other test has them; docs/forty-failures.md names the test of each."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.building.host.workfolder import clear_abandoned
from imagewright.errors import PlanError
from imagewright.testing.kit import ImageKit, program
from imagewright.testing.reliability import Recorder
from imagewright.testing.trees import TarView

from .harness import PATIENT, Host

pytestmark = pytest.mark.timeout(PATIENT)

PHASES = (
    "block-device-size", "extra-data", "pre-install", "install", "post-install", "finalise", "cleanup", "block-device",
)  # fmt: skip

HOLDER = """#!/bin/sh
# whoever leaves the tree sees the devices and the folder in use until the very end
set -eu
cd /usr/bin
exec 7</dev/null 8</dev/zero 9</proc/self/status
setsid sleep 613 </dev/null >/dev/null 2>&1 &
"""


def test_a_daemon_that_holds_devices_and_the_tree_open_holds_nothing_up(image_kit: ImageKit) -> None:
    before = Host.now(image_kit.folder)
    image_kit.flavour("holder", {"install.d/50-hold": HOLDER, "cleanup.d/50-hold": HOLDER.replace("/usr/bin", "/")})
    built = image_kit.build("holder")
    assert built.exists("usr/bin/busybox")
    assert Host.now(image_kit.folder) == before
    assert not list(image_kit.work.iterdir())


@pytest.mark.parametrize("phase", PHASES)
def test_a_script_that_fails_in_any_phase_fails_the_build_in_the_same_way(
    image_kit: ImageKit, reliability: Recorder, phase: str
) -> None:
    with reliability.trying("faults", "a script that fails"):
        host = Host.now(image_kit.folder)
        image_kit.flavour("failing", {f"{phase}.d/50-fail": "#!/bin/sh\necho the last words\nexit 23\n"})
        done = image_kit.command(
            "disk-image-create", "-t", "raw", "--image-size", "0.0625", "--skip-base", "-o", "it", "toy", "failing",
            check=False,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert "exit status 23" in done.stderr
        assert "the last words" in done.stderr
        assert f"{phase}/50-fail" in done.stderr
        assert "flavour: failing" in done.stderr
        assert Host.now(image_kit.folder) == host
        assert not list(image_kit.work.iterdir())
        assert not list(image_kit.output.iterdir())


def test_clearing_up_twice_or_when_pieces_are_missing_already_is_no_failure(image_kit: ImageKit) -> None:
    for number, missing in enumerate(("", "lock", "layers", "lib", "out")):
        folder = image_kit.work / f"build-{number}"
        for name in ("layers/000", "lib/bin", "out"):
            (folder / name).mkdir(parents=True)
        (folder / "lock").touch()
        if missing:
            (shutil.rmtree if missing != "lock" else os.unlink)(folder / missing)
    assert len(clear_abandoned(image_kit.work)) == 5
    assert clear_abandoned(image_kit.work) == ()
    assert not list(image_kit.work.iterdir())
    image_kit.build()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_ramdisk_builder_that_ends_leaves_nothing_to_the_one_after_the_next(
    image_kit: ImageKit, reliability: Recorder, number: signal.Signals
) -> None:
    image_kit.flavour("probe", {"init": "echo probe\n"})
    argv = [program("ramdisk-image-create"), "-o", "it", "--operating-system", "toy", "probe"]
    for line in range(1, 5):
        with reliability.trying("faults", f"{number.name} to the builder of a ramdisk"):
            process = subprocess.Popen(
                argv, env=image_kit.environment(), cwd=image_kit.output, text=True, bufsize=1,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            assert process.stderr is not None
            for _ in range(line):
                process.stderr.readline()
            process.send_signal(number)
            _stdout, stderr = process.communicate(timeout=120)
            assert process.returncode in (0, -9, 128 + number), stderr
            assert "Traceback" not in stderr
            done = image_kit.command("ramdisk-image-create", "-o", "it", "--operating-system", "toy", "probe")
            assert done.stdout.splitlines()[0] == "it"
            assert not list(image_kit.work.iterdir())
            assert {path.name.partition(".")[0] for path in image_kit.output.iterdir()} == {"it"}
            shutil.rmtree(image_kit.cache / "images", ignore_errors=True)


QUIET = """
import os, subprocess, sys
for number in (0, 1, 2):
    os.close(number)
os.pipe()  # its ends are now streams of whoever comes; nobody reads
os.open(os.devnull, os.O_WRONLY)
os.setsid()
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("streams", ["a reader that does not read", "no streams at all"])
def test_a_build_without_a_terminal_or_a_reader_comes_to_its_end(image_kit: ImageKit, streams: str) -> None:
    arguments = ["-o", "it", "-t", "tar", "--skip-base", "toy"]
    if streams == "no streams at all":
        script = QUIET.replace("os.pipe()  # its ends are now streams of whoever comes; nobody reads", "")
        script = script.replace("os.open(os.devnull, os.O_WRONLY)\n", "")
        argv = [sys.executable, "-c", script, program("disk-image-create"), *arguments]
        process = subprocess.Popen(argv, env=image_kit.environment(), cwd=image_kit.output)
        process.wait(120)
    else:
        process = subprocess.Popen(
            [program("disk-image-create"), *arguments], env=image_kit.environment(), cwd=image_kit.output,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        # nothing is read before it has ended
        assert process.wait(120) == 0
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read()
        assert process.stderr.read()
        process.stdout.close()
        process.stderr.close()
    assert (image_kit.output / "it.tar").exists()


@pytest.mark.parametrize("label", ["seventeen-letters", "ü" * 9])
def test_a_label_that_no_filesystem_takes_is_refused_before_any_work(image_kit: ImageKit, label: str) -> None:
    error = image_kit.fails(types="raw", image_size=2**26, root_label=label, kind=PlanError, match="label")
    assert "--root-label" in error.hint
    assert not (image_kit.cache / "layers").exists()


def test_the_callers_locale_path_and_folders_change_no_byte(image_kit: ImageKit, tmp_path: Path) -> None:
    image_kit.flavour(
        "sorting",
        {
            "install.d/50-sort": '#!/bin/sh\nset -eu\nprintf "%s\\n" b A ä i I Z | sort >/etc/sorted\n'
            'printf "%.2f\\n" 1.5 >/etc/number\nenv | sort >/etc/seen\n'
        },
    )
    callers = (
        {},
        {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"},
        {"LC_ALL": "tr_TR.UTF-8", "LANGUAGE": "tr"},
        {"LC_ALL": "", "LANG": ""},
        {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "VIRTUAL_ENV": str(tmp_path), "PYTHONHASHSEED": "7"},
    )
    seen = {image_kit.build("sorting", no_cache=True, environment=one).path("tar").read_bytes() for one in callers}
    assert len(seen) == 1
    tree = TarView(image_kit.output / "image.tar")
    assert str(tmp_path) not in tree.read("etc/seen")
    assert tree.read("etc/number") == "1.50\n"
    assert tree.get("").mode == 0o755
    assert (tree.get("").uid, tree.get("").gid) == (0, 0)


def test_what_a_later_step_removes_takes_no_room_of_the_image(image_kit: ImageKit) -> None:
    image_kit.flavour(
        "passing",
        {
            "install.d/50-make": "#!/bin/sh\nset -eu\ndd if=/dev/urandom of=/var/big bs=1M count=48 2>/dev/null\n",
            "post-install.d/50-remove": "#!/bin/sh\nrm /var/big\n",
        },
    )
    built = image_kit.build("passing", types="raw", image_size=2**27)
    assert built.path("raw").stat().st_blocks * 512 < 2**24
    assert not built.exists("var/big")
