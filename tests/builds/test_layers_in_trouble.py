"""Layers that are damaged, cut, in use or cannot be kept, and builds that are killed or run at once."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from imagewright.sandbox import Sandbox
from imagewright.testing.kit import ImageKit

from .layers_kit import (
    SH,
    STEPS,
    begun,
    damaged,
    forget_images,
    layers,
    listed,
    notices,
    ran,
    store,
)


@pytest.fixture
def kit(image_kit: ImageKit) -> ImageKit:
    image_kit.flavour("steps", STEPS)
    return image_kit


def test_more_steps_than_the_kernel_stacks_share_a_layer(kit: ImageKit, monkeypatch: pytest.MonkeyPatch) -> None:
    from imagewright.building.tree import growing

    fresh = listed(kit.build("steps"))
    monkeypatch.setattr(growing, "DEEPEST", 5)
    assert listed(kit.build("steps", no_cache=True)) == fresh
    forget_images(kit)
    second = kit.build("steps")
    assert listed(second) == fresh
    # the empty tree, then root, resolve, install and install/10-one
    assert ran(second) == ["install/20-two", "install/30-three", "finalise/40-four", "cleanup/90-toypm"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda tree: (tree / "srv/one").unlink(),
        lambda tree: (tree / "srv/one").write_text("longer than it was"),
        lambda tree: (tree / "srv/one").chmod(0o600),
        lambda tree: (tree / "srv/added").write_text(""),
        lambda tree: (tree.parent / "layer.json").write_text("{"),
        lambda tree: (tree.parent / "layer.json").unlink(),
    ],
    ids=["file gone", "file longer", "mode", "file more", "record broken", "record gone"],
)
def test_a_damaged_layer_is_made_anew_with_those_on_it(kit: ImageKit, damage: Callable[[Path], None]) -> None:
    everything = ran(kit.build("steps"))
    fresh = listed(kit.build("steps"))
    damaged(kit, "install/10-one", damage)
    built = kit.build("steps")
    assert ran(built) == everything[everything.index("install/10-one") :]
    assert listed(built) == fresh
    assert ran(kit.build("steps")) == []


def test_a_layer_that_a_crash_of_the_machine_may_have_cut_is_not_used(kit: ImageKit) -> None:
    kit.build("steps")
    for folder in layers(kit).values():
        record = folder / "layer.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"boot": "another run of the kernel"}))
    forget_images(kit)
    assert ran(kit.build("steps")) == []  # they are known to be on the disk
    (layers(kit)["install/20-two"] / "synced").unlink()
    assert ran(kit.build("steps"))[0] == "install/20-two"


def test_a_cache_that_takes_no_layers_breaks_no_build(kit: ImageKit) -> None:
    (kit.cache / "layers").write_text("no folder")
    built = kit.build("steps")
    assert built.read("srv/two") == "two\n"
    assert notices(built).count("layers are not kept") == 1


def test_a_cache_that_takes_no_packages_breaks_no_build(kit: ImageKit) -> None:
    (kit.cache / "packages").write_text("no folder")
    built = kit.build("steps", packages=("hello",))
    assert built.exists("usr/bin/hello")
    assert notices(built).count("packages are not kept") == 1


def test_a_work_folder_on_another_filesystem_keeps_nothing_and_says_so(kit: ImageKit) -> None:
    other = Path("/dev/shm")
    if not os.access(other, os.W_OK) or os.stat(other).st_dev == os.stat(kit.cache).st_dev:
        pytest.skip("no second filesystem here")
    kit.build("steps")
    kit.flavour("later", {"install.d/50-later": SH + "true\n"})
    work = other / f"imagewright-test-{os.getpid()}"
    try:
        built = kit.build("steps", "later", work_dir=work)
    finally:
        if work.exists():
            work.rmdir()
    assert "install/30-three" not in ran(built)
    assert "on different filesystems" in notices(built)
    assert "install/50-later" not in layers(kit)


@pytest.mark.parametrize("delay", [0.3, 0.6, 0.9, 1.2, 1.6])
def test_whenever_a_build_is_killed_the_next_one_is_right(kit: ImageKit, delay: float) -> None:
    fresh = listed(kit.build("steps", no_cache=True, output="killed"))
    process = begun(kit, "killed", "steps")
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() in (0, -signal.SIGKILL)
    assert listed(kit.build("steps", output="killed")) == fresh
    assert ran(kit.build("steps", output="killed")) == []


def test_the_layers_of_a_running_build_cannot_be_seized(kit: ImageKit) -> None:
    from imagewright.layers import locks

    kit.build("steps")
    folder = layers(kit)["root/10-busybox"]
    user = locks.share(folder)
    assert user is not None
    assert locks.seize(folder) is None
    os.close(user)
    free = locks.seize(folder)
    assert free is not None
    os.close(free)


def test_a_sandbox_shows_kept_layers_read_only(kit: ImageKit) -> None:
    from imagewright.errors import StepFailed
    from imagewright.sandbox.jobs import KEPT, PythonJob

    kit.build("steps")
    work = kit.work / "probe"
    work.mkdir()
    key = layers(kit)["root/10-busybox"].name
    with Sandbox.open(work, kept=store(kit)) as sandbox, pytest.raises((OSError, StepFailed)):
        sandbox.call(
            PythonJob(
                function="imagewright.sandbox.launcher.chores:remove",
                arguments={"path": f"{KEPT}/{key}/tree/etc/hostname"},
            ),
            lambda line: None,
        )
    assert (store(kit) / key / "tree/etc/hostname").exists()
