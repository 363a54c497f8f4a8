"""A step that depends only on what it reads runs again when that has changed, and is taken over when it has not."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from imagewright.building.cache import layers_of, prune, verify
from imagewright.errors import ContractError
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit

from .layers_kit import SH, begun, forget_images, layers, listed, prospects, ran, store

FILES = (
    "cd /etc; echo s >settings; echo m >motd; echo 1 >gone; ln -s motd link; mkdir -p /srv/box; echo b >/srv/box/b\n"
)
READER = {
    "flavour.toml": '[steps.finalise.50-read]\nkeep = "while-read-unchanged"\n',
    "finalise.d/50-read": SH
    + "cat /etc/settings >/srv/result; ls /srv/box >>/srv/result; echo secret >/srv/own; chmod 640 /srv/own\n"
    + "ln /srv/own /srv/too; rm /etc/toy-extra; mkdir /srv/made; env | grep -c ROOT_UUID >>/srv/result || true\n",
}
KEPT = ["install/50-write", "cleanup/90-toypm"]
AGAIN = ["install/50-write", "finalise/50-read", "cleanup/90-toypm"]


@pytest.fixture
def kit(image_kit: ImageKit) -> ImageKit:
    image_kit.flavour("first", {"install.d/10-files": SH + FILES + "echo x >/etc/toy-extra\n"})
    image_kit.flavour("reader", READER)
    image_kit.flavour("writer", {"install.d/50-write": SH + "echo one >/etc/motd\n"})
    return image_kit


def built(kit: ImageKit, written: str, **options: object) -> Built:
    """A build in which the script before the step that reads does this."""
    kit.flavour("writer", {"install.d/50-write": SH + written})
    return kit.build("first", "reader", "writer", **options)


def test_what_it_did_not_read_may_change(kit: ImageKit) -> None:
    first = built(kit, "echo one >/etc/motd\n")
    second = built(kit, "echo another >/etc/motd\n")
    assert ran(second) == KEPT
    assert "kept: nothing that it read has changed" in second.log
    assert second.read("etc/motd") == "another\n"
    assert second.read("srv/result") == first.read("srv/result") == "s\nb\n0\n"
    kept, names = second.path("tar").read_bytes(), listed(second)
    # lies at the same place
    fresh = built(kit, "echo another >/etc/motd\n", no_cache=True)
    assert "finalise/50-read" in ran(fresh)
    assert names == listed(fresh)
    assert kept == fresh.path("tar").read_bytes()


def test_what_was_taken_over_is_found_and_serves_further_on(kit: ImageKit) -> None:
    built(kit, "echo one >/etc/motd\n")
    built(kit, "echo two >/etc/motd\n")
    forget_images(kit)
    assert ran(built(kit, "echo two >/etc/motd\n")) == []
    # the layers on which the step really ran go; the record beside the copy names those of the copy
    for one in layers_of(kit.cache):
        assert one.made is not None
        if one.made.identity not in _chain(kit, "cleanup/90-toypm"):
            (one.folder / "layer.json").unlink()
    assert prune(kit.cache, most=None, oldest=None).gone
    third = built(kit, "echo three >/etc/motd\n")
    assert ran(third) == KEPT
    assert verify(kit.cache, lambda one, good: None) == ()


def _chain(kit: ImageKit, top: str) -> set[str]:
    """The identities of the last used layer of a step and of those that it stands on."""
    records = {one.made.identity: one.made for one in layers_of(kit.cache) if one.made}
    newest = max((one for one in records.values() if one.step == top), key=lambda one: one.made)
    found, left = set(), newest.identity
    while left:
        found.add(left)
        left = records[left].parent
    return found


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("echo other >/etc/settings\n", "/etc/settings, which it read, has changed"),
        ("echo x >/etc/added\n", "/etc/added was not there"),
        ("rm /etc/gone\n", "/etc/gone is gone"),
        ("chmod 600 /etc/motd\n", "/etc/motd had another mode or owner"),
        ("chown 1000 /etc/motd\n", "/etc/motd had another mode or owner"),
        ("ln -sf settings /etc/link\n", "/etc/link was another link"),
        (": >/etc/motd\n", "/etc/motd is empty or was"),
        ("touch -d '1999-01-01 00:00:00' /srv/box\n", "/srv/box had another time"),
        ("echo x >/etc/toy-extra; echo y >>/etc/toy-extra\n", "/etc/toy-extra, which it changed, has changed"),
    ],
    ids=["read", "added", "removed", "mode", "owner", "link", "empty", "listed", "removed by it"],
)
def test_what_it_may_have_seen_may_not_change(kit: ImageKit, change: str, why: str) -> None:
    built(kit, "true\n")
    second = built(kit, change)
    assert ran(second) == AGAIN
    assert f"runs: {why}" in second.log
    assert listed(second) == listed(built(kit, change, no_cache=True))


def test_a_change_of_the_step_itself_runs_it(kit: ImageKit) -> None:
    built(kit, "echo one >/etc/motd\n")
    kit.flavour("reader", {"finalise.d/50-read": SH + "echo new >/srv/result\n"})
    second = built(kit, "echo two >/etc/motd\n")
    assert ran(second) == AGAIN
    assert second.read("srv/result") == "new\n"


def test_without_its_declaration_it_runs(kit: ImageKit) -> None:
    built(kit, "echo one >/etc/motd\n")
    kit.flavour("reader", {"flavour.toml": ""})
    second = built(kit, "echo two >/etc/motd\n")
    assert ran(second) == AGAIN
    assert second.read("srv/result") == "s\nb\n1\n"


def test_what_it_learns_from_its_environment_runs_it(kit: ImageKit) -> None:
    built(kit, "echo one >/etc/motd\n")
    assert "finalise/50-read" in ran(built(kit, "echo one >/etc/motd\n", root_label="other"))


def test_from_a_step_on_it_runs(kit: ImageKit) -> None:
    built(kit, "echo one >/etc/motd\n")
    assert ran(built(kit, "echo two >/etc/motd\n", start_from="finalise")) == AGAIN
    forget_images(kit)
    again = built(kit, "echo one >/etc/motd\n", start_from="finalise/50-read")
    assert ran(again) == ["finalise/50-read", "cleanup/90-toypm"]


def test_a_plan_says_that_it_may_be_kept(kit: ImageKit) -> None:
    flavours = ("first", "reader", "writer")
    built(kit, "echo one >/etc/motd\n")
    assert prospects(kit, *flavours)["finalise/50-read"] == "cached"
    kit.flavour("writer", {"install.d/50-write": SH + "echo two >/etc/motd\n"})
    found = prospects(kit, *flavours)
    may = "depends install/50-write it is kept while nothing that it read has changed"
    assert found["finalise/50-read"] == may
    assert found["cleanup/90-toypm"].startswith("run")
    assert prospects(kit, *flavours, start_from="finalise")["finalise/50-read"].startswith("run")
    assert prospects(kit, *flavours, no_cache=True)["finalise/50-read"].split() == ["run", "--no-cache"]
    kit.flavour("reader", {"finalise.d/50-read": SH + "true\n"})
    assert prospects(kit, *flavours)["finalise/50-read"].startswith("run")


def test_a_damaged_layer_is_not_taken_over(kit: ImageKit) -> None:
    built(kit, "echo one >/etc/motd\n")
    path = layers(kit)["finalise/50-read"] / "tree/srv/result"
    before = path.stat()
    path.write_text(path.read_text().swapcase())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = built(kit, "echo two >/etc/motd\n")
    assert ran(second) == AGAIN
    assert second.read("srv/result") == "s\nb\n0\n"


@pytest.mark.parametrize("harm", ["record", "base", "base changed"])
def test_without_what_it_ran_on_or_its_record_it_runs(kit: ImageKit, harm: str) -> None:
    built(kit, "echo one >/etc/motd\n")
    folder = layers(kit)["finalise/50-read"]
    if harm == "record":
        path = folder / "reads.json"
        path.write_text(path.read_text().replace("etc/settings", "etc/elsewhere"))
    elif harm == "base":
        (layers(kit)["install/50-write"] / "layer.json").unlink()
    else:
        (layers(kit)["install/50-write"] / "tree/etc/motd").chmod(0o600)
    assert ran(built(kit, "echo two >/etc/motd\n")) == AGAIN


def test_where_the_kernel_did_not_tell_everything_it_runs(kit: ImageKit, monkeypatch: pytest.MonkeyPatch) -> None:
    # a real overflow takes more files than the kernel's queue has places, and a launcher that sleeps meanwhile
    with monkeypatch.context() as patch:
        patch.setattr("imagewright.layers.reads.seen", lambda path: "more was opened at once than the kernel tells of")
        first = built(kit, "echo one >/etc/motd\n")
    assert "runs again whatever changes: more was opened at once" in first.log
    assert ran(built(kit, "echo two >/etc/motd\n")) == AGAIN
    assert ran(built(kit, "echo three >/etc/motd\n")) == KEPT


def test_whenever_a_build_is_killed_the_next_one_is_right(kit: ImageKit) -> None:
    built(kit, "echo one >/etc/motd\n")
    choose = random.Random(7)
    for number in range(5):
        script = f"echo {number} >/etc/motd\n"
        kit.flavour("writer", {"install.d/50-write": SH + script})
        process = begun(kit, "killed", "first", "reader", "writer")
        time.sleep(choose.uniform(0.2, 1.6))
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() in (0, -signal.SIGKILL)
        again = built(kit, script, output="killed")
        assert listed(again) == listed(built(kit, script, output="killed", no_cache=True))
    assert all(json.loads(path.read_text())["question"] for path in store(kit).glob("*/reads.json"))
    assert verify(kit.cache, lambda one, good: None) == ()


def test_two_builds_at_once_take_one_layer_over(kit: ImageKit) -> None:
    built(kit, "echo one >/etc/motd\n")
    kit.flavour("writer", {"install.d/50-write": SH + "echo two >/etc/motd\n"})
    processes = [begun(kit, name, "first", "reader", "writer") for name in ("image", "other")]
    assert [process.wait() for process in processes] == [0, 0]
    forget_images(kit)
    assert ran(built(kit, "echo two >/etc/motd\n")) == []
    assert verify(kit.cache, lambda one, good: None) == ()


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[steps.finalise.50-raed]\nkeep = "while-read-unchanged"\n', "has a table for `finalise/50-raed`"),
        ('[steps.cleanup.50-read]\nkeep = "while-read-unchanged"\n', "unknown key `steps.cleanup`"),
        ('[steps.finalise.50-read]\nkeep = "always"\n', "`steps.finalise.50-read.keep` must be"),
        ("[steps.finalise.50-read]\nkept = true\n", "unknown key `steps.finalise.50-read.kept`"),
    ],
    ids=["step", "phase", "value", "key"],
)
def test_a_declaration_that_means_nothing_is_refused(kit: ImageKit, toml: str, message: str) -> None:
    kit.flavour("reader", {"flavour.toml": toml})
    kit.fails("first", "reader", kind=ContractError, match=message)


def test_the_record_lies_beside_the_layer_alone(kit: ImageKit) -> None:
    built(kit, "true\n")
    found = [path.parent for path in Path(store(kit)).glob("*/reads.json")]
    assert found == [layers(kit)["finalise/50-read"]]
