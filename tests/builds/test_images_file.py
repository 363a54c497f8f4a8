"""``imagewright build``: many images in one run, over the layers that they share."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from imagewright.testing.kit import ImageKit, program

from .layers_kit import SH, STEPS

FILE = """
[defaults]
flavours = ["toy", "steps"]
skip-base = true
type = ["tar"]
output = "{name}/image"

[images.first]

[images."sized-{size}"]
type = ["qcow2", "raw"]
image-size = "{size}"
matrix.size = [0.0625, 0.125]

[images.other]
flavours = ["toy", "steps", "worded"]
set.worded.word = "spoken"

[images.deploy]
kind = "ramdisk"
flavours = ["toy"]
"""

NAMES = ("first", "sized-0.0625", "sized-0.125", "other", "deploy")


def laid(kit: ImageKit, text: str, *names: str) -> Path:
    """The images file, with a folder for each image."""
    for name in names:
        (kit.output / name).mkdir(exist_ok=True)
    path = kit.output / "images.toml"
    path.write_text(text)
    return path


@pytest.fixture
def kit(image_kit: ImageKit) -> ImageKit:
    image_kit.flavour("steps", STEPS)
    image_kit.flavour(
        "worded",
        {"flavour.toml": "[parameters.word]\n", "install.d/50-word": SH + 'echo "$WORD" >/srv/word; echo said\n'},
    )
    return image_kit


def events(done: subprocess.CompletedProcess[str]) -> Iterator[dict[str, Any]]:
    for line in done.stderr.splitlines():
        yield json.loads(line)


def test_a_run_builds_every_image_and_what_they_share_once(kit: ImageKit) -> None:
    path = laid(kit, FILE, *NAMES)
    plan = json.loads(kit.command("imagewright", "build", "--plan", "--json", path).stdout)
    assert [(one["name"], one["kind"]) for one in plan["images"]] == [
        *((name, "disk") for name in NAMES[:-1]),
        ("deploy", "ramdisk"),
    ]
    done = kit.command("imagewright", "build", "-j", "3", "--json", "--progress", "json", path)
    document = json.loads(done.stdout)
    assert [(one["image"], one["status"]) for one in document["images"]] == [(name, "done") for name in NAMES]
    for one in document["images"]:
        assert all(Path(path).is_file() for path in one["paths"])
        assert "root/10-busybox" in Path(one["log"]).read_text()
        sums = next(Path(path) for path in one["paths"] if path.endswith(".sha256"))
        for line in sums.read_text().splitlines():
            digest, name = line.split("  ")
            assert hashlib.sha256((sums.parent / name).read_bytes()).hexdigest() == digest
    ran = [
        (one["build"], f"{one['phase']}/{one['step']}")
        for one in events(done)
        if one["event"] == "step-finished" and one["status"] == "done"
    ]
    # the images are called alike, so the four disks share all steps but those of one flavour, and all of that differ
    for step in ("root/10-busybox", "install/10-one", "install/30-three"):
        assert len([build for build, name in ran if name == step and build != "deploy"]) == 1, step
    assert ("other", "install/50-word") in ran
    ended = [(one["build"], one["status"]) for one in events(done) if one["event"] == "build-ended"]
    assert sorted(ended) == sorted((name, "done") for name in NAMES)


def test_one_image_that_fails_stops_no_other_and_the_exit_code_tells(kit: ImageKit) -> None:
    kit.flavour("broken", {"install.d/50-broken": SH + "echo why; exit 3\n"})
    text = FILE.replace(
        'flavours = ["toy", "steps", "worded"]\nset.worded.word = "spoken"', 'flavours = ["toy", "broken"]'
    )
    path = laid(kit, text, *NAMES)
    done = kit.command("imagewright", "build", "--only", "first,other", "--progress", "plain", path, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        str(kit.output / "first" / f"image.{end}") for end in ("tar", "manifest.json", "sha256")
    ]
    assert "other: failed: " in done.stderr
    assert "| why" in done.stderr
    assert "image: other" in done.stderr
    assert "1 of 2 images were not built" in done.stderr
    assert not list((kit.output / "other").iterdir())
    assert not list(kit.work.iterdir())


def test_all_mistakes_are_said_before_any_work(kit: ImageKit) -> None:
    text = """
    [defaults]
    flavours = ["toy"]
    skip-base = true
    [images.a]
    [images.b]
    flavours = ["toy", "no-such"]
    [images.c]
    image-size = "big"
    """
    done = kit.command("imagewright", "build", laid(kit, text), check=False)
    assert done.returncode == 3
    assert "2 of 3 images cannot be built" in done.stderr
    assert "b: there is no flavour `no-such`" in done.stderr
    assert "c: `big` is no good value for `image-size` in `[images.c]`" in done.stderr
    assert [path.name for path in kit.output.iterdir()] == ["images.toml"]
    same = laid(kit, '[defaults]\nflavours = ["toy"]\nskip-base = true\noutput = "x"\n[images.a]\n[images.b]\n')
    done = kit.command("imagewright", "build", same, check=False)
    assert done.returncode == 2
    assert "is what the image a writes too" in done.stderr


def test_an_interruption_stops_all_images_and_leaves_nothing(kit: ImageKit) -> None:
    kit.flavour("slow", {"install.d/50-slow": SH + "echo waiting; sleep 600\n"})
    text = '[defaults]\nflavours = ["toy", "slow"]\nskip-base = true\ntype = ["tar"]\n[images.a]\n[images.b]\n'
    path = laid(kit, text)
    command = [program("imagewright"), "build", "-j", "2", "--progress", "json", str(path)]
    with subprocess.Popen(
        command, env=kit.environment(), cwd=kit.output, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        waiting: set[str] = set()
        while waiting != {"a", "b"}:
            event = json.loads(run.stderr.readline())
            if event["event"] == "output" and event["line"] == "waiting":
                waiting.add(event["build"])
        run.send_signal(signal.SIGTERM)
        rest = run.stderr.read()
        assert run.wait(120) == 128 + signal.SIGTERM
    ended = [json.loads(line) for line in rest.splitlines() if '"build-ended"' in line]
    assert [(one["build"], one["status"]) for one in sorted(ended, key=lambda one: str(one["build"]))] == [
        ("a", "stopped"),
        ("b", "stopped"),
    ]
    assert [path.name for path in kit.output.iterdir()] == ["images.toml"]
    assert not list(kit.work.iterdir())


def test_the_screen_of_a_terminal_has_a_line_for_each_image(kit: ImageKit) -> None:
    text = '[defaults]\nflavours = ["toy"]\nskip-base = true\ntype = ["tar"]\n[images.one]\n[images.two]\n'
    path = laid(kit, text)
    leader, follower = os.openpty()
    command = [program("imagewright"), "build", "--progress", "rich", str(path)]
    environment = kit.environment(TERM="xterm", LC_ALL="C.UTF-8", COLUMNS="100", LINES="30")
    with subprocess.Popen(command, env=environment, cwd=kit.output, stdout=subprocess.PIPE, stderr=follower) as run:
        os.close(follower)
        shown = b""
        end = time.monotonic() + 300
        while time.monotonic() < end:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the last writer is gone
                break
            shown += part
        assert run.wait(60) == 0
        assert run.stdout is not None
        printed = run.stdout.read().decode().split()
    os.close(leader)
    words = shown.decode()
    assert "Building 2 images" in words
    assert "root/10-busybox" in words
    assert "2 of 2 images in" in words
    assert [Path(line).name for line in printed if line.endswith(".tar")] == ["one.tar", "two.tar"]
