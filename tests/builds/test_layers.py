"""Layers that are kept: what is run again and what is found, and that a tree of found layers is the tree itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from imagewright.building.layerkeys import mapping_name
from imagewright.errors import UsageError
from imagewright.events import Notice, StepFinished
from imagewright.sandbox import Sandbox
from imagewright.sandbox.mapping import mapping_of_caller
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit

SH = "#!/bin/sh\nset -eu\n"

STEPS = {
    "install.d/10-one": SH + "mkdir -p /srv/box/inner\necho one >/srv/one\necho x >/srv/box/inner/file\n",
    "install.d/20-two": SH + "echo two >/srv/two\n",
    "install.d/30-three": SH + 'cat "$(dirname "$0")/word" >/srv/three\n',
    "install.d/word": "first",
    "finalise.d/40-four": SH + 'echo "$IMAGE_ROOT_UUID" >/srv/four\n',
}


@pytest.fixture
def kit(image_kit: ImageKit) -> ImageKit:
    image_kit.flavour("steps", STEPS)
    return image_kit


def ran(built: Built) -> list[str]:
    """The steps of the tree that ran, in order."""
    return [
        f"{event.phase}/{event.step}"
        for event in built.events
        if isinstance(event, StepFinished) and event.status == "done" and event.phase not in ("artefacts", "disk")
    ]


def notices(built: Built) -> str:
    return "\n".join(event.message for event in built.events if isinstance(event, Notice))


def store(kit: ImageKit) -> Path:
    return kit.cache / "layers" / mapping_name(mapping_of_caller())


def layers(kit: ImageKit) -> dict[str, Path]:
    """The kept layers by their step."""
    return {json.loads(path.read_text())["step"]: path.parent for path in store(kit).glob("*/layer.json")}


def age_answers(kit: ImageKit, hours: float) -> None:
    for path in (store(kit) / "answers").iterdir():
        document = json.loads(path.read_text())
        document["asked"] -= hours * 3600
        path.write_text(json.dumps(document))


def listed(built: Built) -> list[tuple[object, ...]]:
    """Everything that the tar archive says of the tree."""
    with tarfile.open(built.path("tar")) as archive:
        return [
            (
                member.name,
                member.type,
                member.mode,
                member.uid,
                member.gid,
                member.size,
                member.mtime,
                member.linkname,
                tuple(sorted((name, value) for name, value in member.pax_headers.items() if "xattr" in name)),
                stream.read() if (stream := archive.extractfile(member)) and member.isreg() else b"",
            )
            for member in archive
        ]


def test_nothing_runs_where_nothing_changed(kit: ImageKit) -> None:
    first = kit.build("steps")
    assert "install/30-three" in ran(first)
    before = first.path("tar").read_bytes()
    forget_images(kit)
    second = kit.build("steps")
    assert ran(second) == []
    assert second.path("tar").read_bytes() == before
    assert second.manifest["facts"] == first.manifest["facts"]
    assert second.manifest["kernel"] == first.manifest["kernel"] == "1.0-toy"
    assert second.manifest["source_date_epoch"] == first.manifest["source_date_epoch"]


def test_a_change_runs_its_step_and_those_behind_it(kit: ImageKit) -> None:
    everything = ran(kit.build("steps"))
    kit.flavour("steps", {"install.d/word": "second"})
    # every script of a flavour sees the flavour's files, so the first of them is the first to run
    built = kit.build("steps")
    assert ran(built) == everything[everything.index("install/10-one") :]
    assert built.read("srv/three") == "second"


def test_a_changed_flavour_runs_no_step_of_those_before_it(kit: ImageKit) -> None:
    kit.flavour("later", {"install.d/50-later": SH + "echo 1 >/srv/later\n"})
    everything = ran(kit.build("steps", "later"))
    kit.flavour("later", {"install.d/50-later": SH + "echo 2 >/srv/later\n"})
    built = kit.build("steps", "later")
    assert ran(built) == everything[everything.index("install/50-later") :]
    assert built.read("srv/later") == "2\n"


def test_builds_that_share_a_beginning_share_its_layers(kit: ImageKit) -> None:
    kit.flavour("other", {"finalise.d/50-other": SH + "echo other >/srv/other\n"})
    kit.build("steps")
    built = kit.build("steps", "other")
    assert ran(built) == ["finalise/50-other", "cleanup/90-toypm"]
    assert built.read("srv/one") == "one\n"


def test_a_resumed_tree_is_the_same_as_a_fresh_one_in_everything(kit: ImageKit) -> None:
    kit.flavour(
        "hard",
        {
            "install.d/10-make": SH
            + "mkdir -p /srv/gone /srv/emptied /srv/replaced/deep\n"
            + "echo a >/srv/gone/a; echo b >/srv/emptied/b; echo c >/srv/replaced/deep/c\n"
            + "echo d >/srv/d; ln /srv/d /srv/d-too; chown 8:12 /srv/d; chmod 4750 /srv/d\n"
            + "echo e >/srv/e; chown 1000:1000 /srv/e; chmod 600 /srv/e; ln -s e /srv/link\n",
            "install.d/20-change": SH
            + "rm -r /srv/gone; rm /srv/emptied/b; rm -r /srv/replaced; mkdir -m 1777 /srv/replaced\n"
            + "echo f >/srv/replaced/f; chmod 0711 /srv; rm /srv/e; mkdir /srv/e\n",
            "install.d/30-more": SH + "echo g >>/srv/d-too; touch /srv/emptied/new\n",
        },
    )
    fresh = kit.build("hard", no_cache=True)
    kit.build("hard")
    forget_images(kit)
    resumed = kit.build("hard")
    assert ran(resumed) == []
    assert listed(resumed) == listed(fresh)
    assert not resumed.exists("srv/gone")
    assert not resumed.exists("srv/replaced/deep")


def test_attributes_and_links_of_files_outlive_the_cache(kit: ImageKit) -> None:
    kit.pack(
        "attributes-pack",
        """
        import os
        from imagewright.api import Call, Flavour, Step, hookimpl

        class Attributes(Flavour):
            summary = "sets attributes"

            @hookimpl
            def cleanup(self, ctx):
                return (Step(id="10-set", action=Call(function="attributes_pack:put")),)

        def put(ctx):
            path = ctx.target_root / "srv/capable"
            path.parent.mkdir(exist_ok=True)
            path.write_text("x")
            os.setxattr(path, "user.note", b"kept")
            os.setxattr(path, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
        """,
        {"attributes": "Attributes"},
    )
    fresh = kit.build("attributes", no_cache=True)
    kit.build("attributes")
    forget_images(kit)
    resumed = kit.build("attributes")
    assert ran(resumed) == []
    entry = next(row for row in listed(resumed) if str(row[0]).endswith("srv/capable"))
    assert {name for name, _value in entry[8]} == {"SCHILY.xattr.user.note", "SCHILY.xattr.security.capability"}  # type: ignore[attr-defined]
    assert listed(resumed) == listed(fresh)


def test_after_a_failure_the_build_resumes_at_the_step_that_failed(kit: ImageKit) -> None:
    kit.flavour("bad", {"install.d/50-bad": SH + "test -e /etc/mended || { echo no; exit 3; }\n"})
    kit.fails("steps", "bad", match="exit status 3")
    kit.flavour("bad", {"install.d/50-bad": SH + "true\n"})
    assert ran(kit.build("steps", "bad")) == ["install/50-bad", "finalise/40-four", "cleanup/90-toypm"]


def test_new_extra_data_runs_the_steps_that_see_it_and_no_other(kit: ImageKit, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_text("old")
    kit.flavour(
        "bringer",
        {
            "extra-data.d/10-bring": SH + f'cp {data} "$TMP_HOOKS_PATH/brought"\n',
            "install.d/60-take": SH + "mkdir -p /srv; cp /tmp/in_target.d/brought /srv/brought\n",
        },
    )
    kit.build("bringer")
    assert ran(kit.build("bringer")) == ["extra-data/10-bring"]
    data.write_text("new")
    built = kit.build("bringer")
    assert ran(built) == ["extra-data/10-bring", "install/60-take", "cleanup/90-toypm"]
    assert built.read("srv/brought") == "new"
    data.chmod(0o755)
    assert "install/60-take" in ran(kit.build("bringer"))


def test_a_secret_decides_and_is_written_nowhere(kit: ImageKit) -> None:
    kit.flavour(
        "vault",
        {
            "flavour.toml": "[parameters.token]\nsecret = true\n",
            "install.d/60-vault": SH + 'test -n "$TOKEN"; mkdir -p /srv; echo "$TOKEN" | sha256sum >/srv/sum\n',
        },
    )
    before = kit.build("vault", settings={"vault.token": "opensesame"}).read("srv/sum")
    assert ran(kit.build("vault", settings={"vault.token": "opensesame"})) == []
    second = kit.build("vault", settings={"vault.token": "hunter2"})
    assert ran(second) == ["install/60-vault", "cleanup/90-toypm"]
    assert second.read("srv/sum") != before
    written = [path.read_text() for path in store(kit).rglob("*.json")]
    assert len(written) > 4
    assert not any(word in text for text in written for word in ("opensesame", "hunter2"))


def test_packages_are_asked_for_again_after_six_hours_and_with_refresh(kit: ImageKit) -> None:
    kit.build("steps")
    age_answers(kit, 5)
    still = kit.build("steps")
    assert ran(still) == []
    assert "asked 5 hours ago; --refresh asks them again" in notices(still)
    assert ran(kit.build("steps", refresh=True)) == ["packages/10-resolve"]
    age_answers(kit, 7)
    assert ran(kit.build("steps")) == ["packages/10-resolve"]


def test_offline_an_old_answer_is_taken_with_a_warning(kit: ImageKit) -> None:
    kit.build("steps")
    age_answers(kit, 50)
    built = kit.build("steps", offline=True)
    assert ran(built) == []
    assert "offline: the sources were asked 50 hours ago" in notices(built)


def test_another_resolution_runs_the_installation_and_what_follows(kit: ImageKit) -> None:
    everything = ran(kit.build("steps"))
    built = kit.build("steps", packages=("hello",))
    assert ran(built) == everything[everything.index("packages/10-resolve") :]


def test_without_cache_everything_runs_and_nothing_is_kept(kit: ImageKit) -> None:
    everything = ran(kit.build("steps"))
    before = {step: path.stat().st_mtime_ns for step, path in layers(kit).items()}
    assert ran(kit.build("steps", no_cache=True)) == everything
    assert {step: path.stat().st_mtime_ns for step, path in layers(kit).items()} == before


@pytest.mark.parametrize("start", ["finalise", "finalise/40-four"])
def test_from_a_phase_or_step_on_everything_runs(kit: ImageKit, start: str) -> None:
    kit.build("steps")
    assert ran(kit.build("steps", start_from=start)) == ["finalise/40-four", "cleanup/90-toypm"]
    assert ran(kit.build("steps")) == []


def test_a_step_that_is_not_there_is_refused_with_the_nearest(kit: ImageKit) -> None:
    error = kit.fails("steps", start_from="install/20-tow", kind=UsageError, match="no such step of the tree")
    assert error.cause == "did you mean install/20-two?"


def test_more_steps_than_the_kernel_stacks_share_a_layer(kit: ImageKit, monkeypatch: pytest.MonkeyPatch) -> None:
    from imagewright.building import growing

    fresh = listed(kit.build("steps"))
    monkeypatch.setattr(growing, "DEEPEST", 5)
    first, second = kit.build("steps", no_cache=True), kit.build("steps")
    assert listed(first) == listed(second) == fresh
    # the empty tree, then root, resolve, install and install/10-one
    assert ran(second) == ["install/20-two", "install/30-three", "finalise/40-four", "cleanup/90-toypm"]


def test_images_of_two_names_share_what_does_not_see_the_name(kit: ImageKit) -> None:
    kit.build("steps")
    built = kit.build("steps", output="another")
    # the toy's own scripts see it, from the first one on
    assert "root/10-busybox" in ran(built)
    assert built.read("usr/lib/os-release").count("IMAGE_ID=another") == 1


def test_the_label_of_the_disk_costs_no_step_before_finalise(kit: ImageKit) -> None:
    kit.build("steps")
    assert ran(kit.build("steps", root_label="other")) == ["finalise/40-four", "cleanup/90-toypm"]


def forget_images(kit: ImageKit) -> None:
    """Have the next build look at its layers, although it would write the same files."""
    shutil.rmtree(kit.cache / "images")


def damaged(kit: ImageKit, step: str, damage: Callable[[Path], None]) -> None:
    forget_images(kit)
    damage(layers(kit)[step] / "tree")


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


BUILDER = """
import sys
from dataclasses import replace
from pathlib import Path
from imagewright.building import build
from imagewright.request import Request
from imagewright.testing.built import RecordingMonitor

document = eval(sys.argv[1])
request = Request(**document)
monitor = RecordingMonitor(Path(sys.argv[2]))
build(request, monitor, log=Path(sys.argv[2]))
"""


def begun(kit: ImageKit, name: str, *flavours: str) -> subprocess.Popen[bytes]:
    """A build in a process of its own."""
    request = kit.request(*flavours)
    request = replace(request, output=kit.output / name)
    document = {slot: getattr(request, slot) for slot in type(request).__slots__}
    text = repr(document).replace("PosixPath(", "Path(")
    script = kit.folder / "builder.py"
    script.write_text(BUILDER)
    return subprocess.Popen(
        [sys.executable, str(script), text, str(kit.folder / f"{name}.log")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_two_builds_at_once_share_the_work(kit: ImageKit) -> None:
    runs = kit.folder / "runs"
    kit.flavour(
        "slow",
        {
            # the file of the host counts the runs: what is not in the tree is in no layer
            "cleanup.d/70-slow": SH + f'sleep 1\necho "$$" >>/tmp/{kit.folder.name}-{os.getpid()}-runs\n',
        },
    )
    runs = Path(f"/tmp/{kit.folder.name}-{os.getpid()}-runs")
    runs.touch()
    runs.chmod(0o666)
    try:
        both = [begun(kit, "image", "steps", "slow"), begun(kit, "image", "steps", "slow")]
        assert [process.wait(120) for process in both] == [0, 0]
        assert len(runs.read_text().splitlines()) == 1
    finally:
        runs.unlink()
    assert ran(kit.build("steps", "slow")) == []


@pytest.mark.parametrize("delay", [0.3, 0.6, 0.9, 1.2, 1.6])
def test_whenever_a_build_is_killed_the_next_one_is_right(kit: ImageKit, delay: float) -> None:
    fresh = listed(kit.build("steps", no_cache=True, output="killed"))
    process = begun(kit, "killed", "steps")
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
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
                function="imagewright.sandbox.chores:remove", arguments={"path": f"{KEPT}/{key}/tree/etc/hostname"}
            ),
            lambda line: None,
        )
    assert (store(kit) / key / "tree/etc/hostname").exists()


def prospects(kit: ImageKit, *flavours: str, **options: object) -> dict[str, str]:
    """What ``--plan`` says of each step of the tree."""
    from imagewright.building.forecast import forecast

    request = kit.request(*flavours, **options)
    found = forecast(request, kit.prepare(*flavours, **options))
    return {name: " ".join((one.status, one.on, one.why)).strip() for name, one in found.items()}


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


def artefacts_cached(built: Built) -> bool:
    return any(
        isinstance(event, StepFinished) and event.phase == "artefacts" and event.status == "cached"
        for event in built.events
    )


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
