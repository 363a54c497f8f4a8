"""What a plan says of the cache, and images that are copied because nothing changed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from imagewright.testing.kit import ImageKit

from .layers_kit import (
    SH,
    STEPS,
    age_answers,
    artefacts_cached,
    prospects,
)


@pytest.fixture
def kit(image_kit: ImageKit) -> ImageKit:
    image_kit.flavour("steps", STEPS)
    return image_kit


def test_the_plan_says_what_is_cached_and_what_is_not_known_yet(kit: ImageKit) -> None:
    fresh = prospects(kit, "steps")
    assert fresh["root/10-busybox"] == "run  it was not built before"
    assert fresh["install/20-two"] == "run  root/10-busybox runs before it"
    kit.build("steps")
    assert set(prospects(kit, "steps").values()) == {"cached"}
    assert prospects(kit, "steps", no_cache=True)["install/20-two"] == "run  --no-cache"
    later = prospects(kit, "steps", refresh=True)
    assert later["root/10-busybox"] == "cached"
    assert later["packages/10-resolve"] == "run  --refresh asks again"
    assert later["install/20-two"] == "depends packages/10-resolve"
    age_answers(kit, 8)
    assert prospects(kit, "steps")["packages/10-resolve"] == "run  asks again: the last answer is 8 hours old"


def test_the_plan_names_the_input_that_changed(kit: ImageKit) -> None:
    kit.flavour("set", {"flavour.toml": "[parameters.word]\n", "install.d/90-set": SH + 'test "$WORD"\n'})
    kit.build("steps", "set", settings={"set.word": "a"})
    changed = prospects(kit, "steps", "set", settings={"set.word": "b"})
    assert changed["install/30-three"] == "cached"
    assert changed["install/90-set"] == "run  changed: parameter word"
    assert changed["cleanup/90-toypm"] == "run  install/90-set runs before it"


def test_the_plan_depends_on_extra_data(kit: ImageKit) -> None:
    kit.flavour(
        "bringer",
        {
            "extra-data.d/10-bring": SH + 'echo x >"$TMP_HOOKS_PATH/brought"\n',
            "install.d/60-take": SH + "cat /tmp/in_target.d/brought\n",
        },
    )
    kit.build("bringer")
    found = prospects(kit, "bringer")
    assert found["extra-data/10-bring"] == "run  it runs in every build"
    assert found["packages/20-install"] == "cached"
    assert found["install/60-take"] == "depends extra-data/10-bring"


def test_the_command_shows_statuses_and_reasons(kit: ImageKit) -> None:
    kit.build("steps", output="demo")
    arguments = ("--plan", "--skip-base", "-t", "tar", "-o", "demo", "toy", "steps")
    shown = kit.command("disk-image-create", *arguments).stdout
    assert "STATUS" in shown
    document = json.loads(kit.command("disk-image-create", "--json", *arguments).stdout)
    assert {step["status"] for step in document["steps"]} == {"cached"}
    kit.flavour("steps", {"install.d/word": "changed"})
    shown = kit.command("disk-image-create", *arguments).stdout
    assert "install/10-one" in shown
    assert "runs: changed: files beside it" in shown


def test_where_nothing_changed_the_image_itself_is_copied(kit: ImageKit) -> None:
    first = kit.build("steps", types=("tar", "raw"), image_size=64 * 2**20)
    contents = {path.name: path.read_bytes() for path in first.paths}
    for path in first.paths:
        path.unlink()
    begun = time.monotonic()
    second = kit.build("steps", types=("tar", "raw"), image_size=64 * 2**20)
    assert time.monotonic() - begun < first.seconds
    assert artefacts_cached(second)
    assert {path.name: path.read_bytes() for path in second.paths} == contents
    assert second.paths == first.paths
    assert second.manifest == first.manifest
    assert all(path.stat().st_nlink == 1 for path in second.paths)
    raw = second.path("raw").stat()
    assert raw.st_blocks * 512 < raw.st_size


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same filesystem", "another filesystem"])
def test_files_of_every_type_are_copied_whole_with_their_holes_and_share_nothing(
    kit: ImageKit, elsewhere: bool
) -> None:
    with TemporaryDirectory(dir="/dev/shm" if elsewhere else kit.folder) as name:
        if elsewhere and os.stat(name).st_dev == os.stat(kit.cache).st_dev:
            pytest.skip("the tests' own folder is on the filesystem of /dev/shm")
        kit.output = Path(name)
        built = kit.build("steps", types=("qcow2", "raw", "tar"), image_size=256 * 2**20)
        contents = {path.name: path.read_bytes() for path in built.paths}
        room = built.path("raw").stat().st_blocks
        for path in built.paths:
            path.write_bytes(b"somebody's own")
        again = kit.build("steps", types=("qcow2", "raw", "tar"), image_size=256 * 2**20)
        assert artefacts_cached(again)
        assert {path.name: path.read_bytes() for path in again.paths} == contents
        assert again.path("raw").stat().st_size == 256 * 2**20
        assert again.path("raw").stat().st_blocks <= room + 64
        kept = {path.stat().st_ino for path in (kit.cache / "images").rglob("*")}
        for path in again.paths:
            assert path.stat().st_nlink == 1
            assert path.stat().st_ino not in kept or path.stat().st_dev != os.stat(kit.cache).st_dev
        # what is done to them does not reach what is kept
        again.path("qcow2").write_bytes(b"changed")
        assert (
            kit.build("steps", types=("qcow2", "raw", "tar"), image_size=256 * 2**20).path("qcow2").read_bytes()
            == contents["image.qcow2"]
        )


@pytest.mark.parametrize(
    "options",
    [{"image_size": 64 * 2**20}, {"root_label": "other"}, {"no_cache": True}, {"refresh": True}, {"output": "other"}],
)
def test_an_image_is_copied_for_the_same_request_alone(kit: ImageKit, options: dict[str, object]) -> None:
    kit.build("steps")
    assert artefacts_cached(kit.build("steps"))
    assert not artefacts_cached(kit.build("steps", **options))


def test_a_kept_image_that_was_touched_is_not_copied(kit: ImageKit) -> None:
    before = kit.build("steps").path("tar").read_bytes()
    (kept,) = (kit.cache / "images").glob("*/image.tar")
    with kept.open("r+b") as stream:
        stream.write(b"x")
    built = kit.build("steps")
    assert not artefacts_cached(built)
    assert built.path("tar").read_bytes() == before


def test_no_image_is_copied_where_the_callers_data_may_differ(kit: ImageKit) -> None:
    kit.flavour("bringer", {"extra-data.d/10-bring": SH + 'echo x >"$TMP_HOOKS_PATH/brought"\n'})
    kit.build("bringer")
    assert not artefacts_cached(kit.build("bringer"))
