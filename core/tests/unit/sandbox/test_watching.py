"""What a job opens in its tree is recorded, whichever layer has it and however it is opened."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from imagewright.sandbox import syscalls
from imagewright.sandbox.jobs import Job, Stack
from imagewright.sandbox.launcher import watching

from .conftest import PATH, Bench


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A record, and what the job ended with."""

    spoiled: str
    opened: frozenset[str]
    listed: frozenset[str]
    status: int


Run = Callable[..., Seen]


@pytest.fixture
def run(bench: Bench) -> Run:
    """Runs a shell script on three layers, and tells what the record says."""
    middle, upmost = bench.layer("middle"), bench.layer("upmost")
    for folder in (middle / "etc/deep/er", upmost / "etc", upmost / "srv/inner"):
        folder.mkdir(parents=True)
    (middle / "etc/low").write_text("low\n")
    (middle / "etc/deep/er/file").write_text("deep\n")
    (middle / "etc/other").write_text("other\n")
    (upmost / "etc/high").write_text("high\n")
    (upmost / "srv/inner/one").write_text("1\n")
    (upmost / "etc/link").symlink_to("low")
    script = upmost / "etc/script"
    script.write_text("#!/bin/sh\necho from a script\n")
    script.chmod(0o755)
    for folder in (middle, upmost):
        bench.sandbox.own(folder)

    def started(script: str, *, lower: Sequence[str] = ("upmost", "middle", "base")) -> Seen:
        bench.lines.clear()
        job = Job(
            argv=("/bin/sh", "-c", script),
            environment={"PATH": PATH},
            stack=Stack(lower=tuple(lower), upper="top"),
            inside=True,
            record="seen.json",
        )
        status = bench.sandbox.run(job, bench.lines.append)
        found = json.loads((bench.work / "seen.json").read_bytes())
        return Seen(
            spoiled=found["spoiled"],
            opened=frozenset(found["opened"]),
            listed=frozenset(found["listed"]),
            status=status,
        )

    return started


def test_a_file_of_any_lower_layer_is_seen_when_it_is_read(bench: Bench, run: Run) -> None:
    seen = run("cat /etc/low /etc/high /etc/deep/er/file")
    assert bench.lines == ["low", "high", "deep"]
    assert {"etc/low", "etc/high", "etc/deep/er/file"} <= seen.opened
    assert seen.spoiled == ""
    assert "etc/other" not in seen.opened


def test_a_link_counts_as_what_it_leads_to(run: Run) -> None:
    assert "etc/low" in run("cat /etc/link").opened


def test_programs_and_scripts_that_start_are_seen(bench: Bench, run: Run) -> None:
    seen = run("/etc/script")
    assert bench.lines == ["from a script"]
    assert {"etc/script", "bin/busybox"} <= seen.opened


def test_folders_that_are_listed_are_seen_and_looked_up_ones_are_not(run: Run) -> None:
    seen = run("ls /etc/deep; stat /srv/inner >/dev/null; cat /srv/inner/one")
    assert "etc/deep" in seen.listed
    assert not {"srv", "srv/inner", "etc/deep/er"} & seen.listed


def test_the_top_of_the_tree_is_listed_under_the_empty_name(run: Run) -> None:
    assert "" in run("ls /").listed


def test_what_is_opened_by_another_way_in_is_seen(bench: Bench, run: Run) -> None:
    seen = run("cd /etc; cat /proc/self/root/etc/low; cat /proc/self/cwd/high; cat ../srv/inner/one")
    assert bench.lines == ["low", "high", "1"]
    assert {"etc/low", "etc/high", "srv/inner/one"} <= seen.opened


def test_a_file_that_was_changed_before_it_is_read_is_seen(run: Run) -> None:
    # its folder is copied up meanwhile, and the watch stays on it
    assert "etc/low" in run("chmod 700 /etc; echo more >>/etc/high; cat /etc/low").opened


def test_what_is_moved_into_a_new_folder_shows_in_the_layer(bench: Bench, run: Run) -> None:
    run("mkdir /new; mv /etc/low /new/low; cat /new/low")
    whiteout = bench.layer("top") / "etc/low"
    assert whiteout.is_char_device()
    run("mkdir /newer; ln /etc/high /newer/high; cat /newer/high")
    assert (bench.layer("top") / "etc/high").exists()


def test_a_job_that_is_recorded_makes_no_mounts(run: Run) -> None:
    assert run("mount -t tmpfs none /etc").status != 0


def test_without_a_record_nothing_is_written(bench: Bench) -> None:
    bench.out("cat /etc/passwd")
    assert not (bench.work / "seen.json").exists()


def test_a_second_job_has_a_record_of_its_own(run: Run) -> None:
    assert "etc/low" in run("cat /etc/low").opened
    assert "etc/low" not in run("cat /etc/high").opened


def test_more_openings_than_the_kernel_tells_of_spoil_the_watch(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}" for number in range(200)]
    for file in files:
        file.write_text("x")
    watch = watching.Watch(str(tmp_path))
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    # nobody takes note meanwhile; alternating, so that no two in a row are one
    for number in range(most + len(files)):
        files[number % len(files)].read_text()
    watch._take()
    assert watch.spoiled == "more was opened at once than the kernel tells of"


def test_a_limit_of_watches_spoils_the_watch_and_hinders_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()

    def refused(descriptor: int, folder: bytes) -> int:
        raise OSError(28, "fs.inotify.max_user_watches is too low")

    monkeypatch.setattr(syscalls, "watch_openings", refused)
    watch = watching.Watch(str(tmp_path))
    assert "max_user_watches" in watch.spoiled
    path = tmp_path / "record"
    watch.write(watching.record_in(str(tmp_path), "record"))
    assert json.loads(path.read_text())["spoiled"] == watch.spoiled
