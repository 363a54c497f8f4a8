"""``imagewright cache``: what is listed, what goes and what stays."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from imagewright.building.cache import layers_of, prune, verify
from imagewright.layers import locks
from imagewright.layers.pruning import KeptLayer, doomed
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit

SH = "#!/bin/sh\nset -eu\n"
DAY = 24 * 3600


@pytest.fixture
def kit(image_kit: ImageKit) -> ImageKit:
    image_kit.flavour(
        "fat",
        {
            "install.d/10-fat": SH + "mkdir -p /srv; head -c 3000000 /dev/urandom >/srv/fat\n",
            "install.d/20-thin": SH + "echo thin >/srv/thin\n",
        },
    )
    image_kit.build("fat")
    return image_kit


def ran(built: Built) -> list[str]:
    from imagewright.events import StepFinished

    return [
        f"{event.phase}/{event.step}"
        for event in built.events
        if isinstance(event, StepFinished) and event.status == "done" and event.phase != "artefacts"
    ]


def steps(layers: tuple[KeptLayer, ...]) -> set[str]:
    return {one.made.step for one in layers if one.made}


def age(kit: ImageKit, days: float, *, but: str = "") -> None:
    for one in layers_of(kit.cache):
        if one.made is None or one.made.step != but:
            moment = time.time() - days * DAY
            os.utime(one.folder / "layer.json", (moment, moment))


def test_the_list_shows_every_layer_with_its_size(kit: ImageKit) -> None:
    shown = kit.command("imagewright", "cache", "list").stdout
    for step in ("root/10-busybox", "packages/20-install", "install/10-fat", "install/20-thin", "cleanup/90-toypm"):
        assert step in shown
    document = json.loads(kit.command("imagewright", "cache", "list", "--json").stdout)
    sizes = {one["step"]: one["size"] for one in document["layers"]}
    assert 3_000_000 <= sizes["install/10-fat"] < 3_200_000
    assert document["size"] == sum(sizes.values())


def test_what_stands_on_others_goes_first_and_no_more_than_must(kit: ImageKit) -> None:
    found = layers_of(kit.cache)
    total = sum(one.size for one in found)
    gone = prune(kit.cache, most=total - 1, oldest=None).gone
    assert steps(gone) == {"cleanup/90-toypm"}
    # the costly one goes only when those that stand on it are gone
    gone = prune(kit.cache, most=total - 3_000_000, oldest=None).gone
    assert steps(gone) == {"install/20-thin", "install/10-fat"}
    assert ran(kit.build("fat")) == ["install/10-fat", "install/20-thin", "cleanup/90-toypm"]


def test_layers_that_nobody_used_for_long_go_and_those_below_a_used_one_stay(kit: ImageKit) -> None:
    age(kit, 10, but="install/10-fat")
    done = prune(kit.cache, most=None, oldest=5 * DAY)
    assert steps(done.gone) == {"install/20-thin", "cleanup/90-toypm"}
    assert "root/10-busybox" in steps(done.left)
    assert not list((kit.cache / "work").glob("build-*"))


def test_a_layer_in_use_stays_with_those_below_it(kit: ImageKit) -> None:
    used = next(one for one in layers_of(kit.cache) if one.made and one.made.step == "install/10-fat")
    held = locks.share(used.folder)
    assert held is not None
    try:
        done = prune(kit.cache, most=0, oldest=None)
    finally:
        os.close(held)
    assert steps(done.gone) == {"install/20-thin", "cleanup/90-toypm"}
    assert {"install/10-fat", "root/10-busybox"} <= steps(done.in_use)
    assert steps(done.left) == steps(done.in_use)


def test_everything_can_go_and_comes_again(kit: ImageKit) -> None:
    shown = kit.command("imagewright", "cache", "prune", "--max-size", "0.0000001").stdout
    assert shown.startswith("removed 6 layers")
    assert "left: 0 layers, 0.0 MiB" in shown
    assert "root/10-busybox" in ran(kit.build("fat"))


def test_a_changed_byte_is_found_by_reading_and_the_layer_goes_with_those_on_it(kit: ImageKit) -> None:
    damaged = next(one for one in layers_of(kit.cache) if one.made and one.made.step == "install/10-fat")
    path = damaged.folder / "tree/srv/fat"
    status = path.stat()
    with path.open("r+b") as stream:
        stream.seek(1000)
        byte = stream.read(1)
        stream.seek(1000)
        stream.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    # the look before use cannot see it
    assert ran(kit.build("fat")) == []
    shown = kit.command("imagewright", "cache", "verify", check=False)
    assert shown.returncode == 1
    assert "install/10-fat" in shown.stdout
    assert "checked 6 layers, 1 damaged" in shown.stdout
    assert steps(layers_of(kit.cache)) == {"root/10-busybox", "packages/10-resolve", "packages/20-install"}
    assert kit.command("imagewright", "cache", "verify").stdout == "checked 3 layers, 0 damaged\n"


def test_good_layers_are_told_of_as_good(kit: ImageKit) -> None:
    told: list[bool] = []
    assert verify(kit.cache, lambda one, good: told.append(good)) == ()
    assert told == [True] * 6


def test_an_empty_cache_is_no_trouble(image_kit: ImageKit) -> None:
    assert image_kit.command("imagewright", "cache", "list").stdout == "0 layers, 0.0 MiB\n"
    assert image_kit.command("imagewright", "cache", "verify").stdout == "checked 0 layers, 0 damaged\n"
    assert "removed 0 layers" in image_kit.command("imagewright", "cache", "prune").stdout


def test_builds_themselves_let_old_layers_go(kit: ImageKit) -> None:
    age(kit, 40)
    kit.flavour("other", {"install.d/90-other": SH + "true\n"})
    built = kit.build("other")
    assert "install/90-other" in ran(built)
    assert "install/10-fat" not in steps(layers_of(kit.cache))
    assert "root/10-busybox" in steps(layers_of(kit.cache))


def test_layers_without_a_parent_or_a_record_go_in_any_case(kit: ImageKit) -> None:
    below = next(one for one in layers_of(kit.cache) if one.made and one.made.step == "install/10-fat")
    (below.folder / "layer.json").write_text("{")
    going = doomed(layers_of(kit.cache), most=None, oldest=None)
    assert {one.folder.name for one in going} >= {below.folder.name}
    assert steps(going) == {"install/20-thin", "cleanup/90-toypm"}


def test_a_cache_that_cannot_be_written_names_the_folder(kit: ImageKit) -> None:
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    folder = Path(layers_of(kit.cache)[0].folder).parent
    folder.chmod(0o500)
    try:
        shown = kit.command("imagewright", "cache", "prune", "--max-size", "0.0000001", check=False)
    finally:
        folder.chmod(0o700)
    assert shown.returncode == 4
    assert "a layer cannot be removed" in shown.stderr
