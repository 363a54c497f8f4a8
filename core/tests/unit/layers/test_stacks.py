"""Which differences below a step's layer can matter to it: real overlay layers, made and judged in a sandbox."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from imagewright.errors import HostError
from imagewright.sandbox import Sandbox
from imagewright.sandbox.jobs import WORK, Job, PythonJob, Stack

BUSYBOX = shutil.which("busybox")
EPOCH = 1_000_000_000
BASE = "mkdir /etc /srv /srv/box; cd /etc; for name in read unread both; do echo $name >$name; done; ln -s read link"
STEP = "cat /etc/read >/srv/result; ls /srv >/dev/null; chmod 700 /srv/box"

Judge = Callable[..., str]

KEPT = {
    "nothing": ("", ""),
    "the content of what it did not open": ("echo 1 >/etc/unread", "echo 2 >/etc/unread"),
    "a size in a folder that it listed": ("echo 1 >/srv/s", "echo 22 >/srv/s"),
    "its size": ("", "echo longer than it was >/etc/unread"),
    "what it did not open, in place of another file": ("", "echo x >/etc/n; mv /etc/n /etc/unread"),
    "the time of what it did not open": ("", "touch -d 1999-01-01 /etc/unread"),
    "what it read, written again": ("", "cp /etc/read /etc/n; mv /etc/n /etc/read"),
    "what is made and removed": ("echo x >/etc/x; rm /etc/x", "mkdir -p /etc/y/z; rm -r /etc/y"),
    "a folder replaced by the same": ("", "cp -a /etc /n; rm -r /etc; cp -a /n /etc; rm -r /n"),
    "the content of what has two names": (
        "ln /etc/unread /srv/a; echo 1 >/srv/a",
        "ln /etc/unread /srv/a; echo 2 >/srv/a",
    ),
    "hidden alike": ("rm -r /old", "rm -r /old"),
}

RUNS = {
    "what it read": ("", "echo other >/etc/read", "/etc/read, which it read, has changed"),
    "the old time of what it read": ("", "touch -d 1999-01-01 /etc/read", "/etc/read, which it read, has changed"),
    "a file more": ("", "echo x >/etc/more", "/etc/more was not there"),
    "a file less": ("", "rm /etc/unread", "/etc/unread is gone"),
    "a file less than before": ("echo x >/etc/more", "", "/etc/more is gone"),
    "a file moved": ("", "mv /etc/unread /etc/zzz", "/etc/unread is gone"),
    "the mode of a file": ("", "chmod 600 /etc/unread", "/etc/unread had another mode or owner"),
    "the owner of a file": ("", "chown 7:7 /etc/unread", "/etc/unread had another mode or owner"),
    "the mode of a folder": ("", "chmod 700 /old/deep", "/old/deep had another mode or owner"),
    "where a link leads": ("", "ln -sf both /etc/link", "/etc/link was another link"),
    "a file in a link's place": ("", "rm /etc/link; cp /etc/read /etc/link", "/etc/link was something else"),
    "a folder in a file's place": ("", "rm /etc/unread; mkdir /etc/unread", "/etc/unread was something else"),
    "a file that becomes empty": ("", ": >/etc/unread", "/etc/unread is empty or was"),
    "a file that was empty": (": >/etc/unread", "echo x >/etc/unread", "/etc/unread is empty or was"),
    "a second name": ("", "ln /etc/unread /etc/too", "/etc/too was not there"),
    "the old time of a folder that it listed": ("", "touch -d 1999-01-01 /srv", "/srv had another time"),
    "the old time of a folder that it changed": ("", "touch -d 1999-01-01 /srv/box", "/srv/box had another time"),
    "what it wrote itself": (
        "echo 1 >/srv/result",
        "echo 2 >/srv/result",
        "/srv/result, which it changed, has changed",
    ),
    "which names are one file": (
        "cd /srv; ln /etc/unread a; ln /etc/both b; ln /etc/both c; ln /etc/unread d",
        "cd /srv; ln /etc/unread a; ln /etc/both b; ln /etc/unread c; ln /etc/both d",
        "/srv/a had other names",
    ),
    "a folder emptied and made again": ("", "rm -r /old; mkdir -p /old/deep", "/old/deep/file is gone"),
    "a folder emptied before and not now": ("rm -r /old; mkdir -p /old/deep", "", "/old/deep/file was not there"),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path]]:
    if BUSYBOX is None:
        pytest.skip("busybox-static is not installed")
    work = tmp_path_factory.mktemp("stacks") / "work"
    work.mkdir()
    work.parent.chmod(0o700)
    try:
        sandbox = Sandbox.open(work, preload=("imagewright.layers.stacks",))
    except HostError as error:
        pytest.skip(f"no namespaces here: {error.message}")
    with sandbox:
        programs = work / "layers" / "programs"
        (programs / "bin").mkdir(parents=True)
        shutil.copy(BUSYBOX, programs / "bin" / "busybox")
        sandbox.own(programs)
        yield sandbox, work


@pytest.fixture
def judge(shared: tuple[Sandbox, Path]) -> Iterator[Judge]:
    """Judges what two scripts made of one tree, for a step that ran on the first; checks that what is kept is right."""
    sandbox, work = shared

    def run(script: str, upper: str, *lower: str) -> dict[str, list[str]]:
        lines: list[str] = []
        shell = "/bin/busybox mkdir -p /usr; PATH=/usr; /bin/busybox --install -s /usr;" if upper == "common" else ""
        job = Job(
            argv=("/bin/busybox", "sh", "-c", f"set -e; {shell} {script or ':'}"),
            environment={"PATH": "/usr"},
            stack=Stack(lower=(*reversed(lower), "programs"), upper=upper),
            inside=True,
            network=False,
            record="seen.json",
        )
        assert sandbox.run(job, lines.append) == 0, lines
        found: dict[str, list[str]] = json.loads((work / "seen.json").read_bytes())
        assert not found["spoiled"]
        return found

    def judged(old: str, new: str, step: str = STEP) -> str:
        run(f"{BASE}; mkdir -p /old/deep; echo f >/old/deep/file", "common")
        run(old, "old", "common")
        run(new, "new", "common")
        seen = run(step, "made", "common", "old")
        layers = f"{WORK}/layers"
        arguments = {
            "before": [f"{layers}/common", f"{layers}/old"],
            "after": [f"{layers}/common", f"{layers}/new"],
            "layer": f"{layers}/made",
            "opened": seen["opened"],
            "listed": seen["listed"],
            "epoch": EPOCH,
        }
        job = PythonJob(function="imagewright.layers.stacks:difference", arguments=arguments)
        found = str(sandbox.call(job, print))
        run(step, "again", "common", "new")
        if not found:
            assert shown(work / "layers/again") == shown(work / "layers/made")
        return found

    yield judged
    for name in ("common", "old", "new", "made", "again"):
        sandbox.remove(work / "layers" / name)


def shown(layer: Path) -> list[tuple[object, ...]]:
    """What a layer has, with times as an image has them."""
    found: list[tuple[object, ...]] = []
    for path in sorted(layer.rglob("*")):
        status = path.lstat()
        time = min(status.st_mtime_ns, EPOCH * 10**9)
        content = path.read_bytes() if path.is_file() else b""
        found.append((str(path.relative_to(layer)), status.st_mode, status.st_uid, status.st_gid, time, content))
    return found


@pytest.mark.parametrize("case", list(KEPT))
def test_a_step_need_not_run_again_where_nothing_that_it_saw_differs(judge: Judge, case: str) -> None:
    assert judge(*KEPT[case]) == ""


@pytest.mark.parametrize("case", list(RUNS))
def test_a_step_runs_again_where_what_it_may_have_seen_differs(judge: Judge, case: str) -> None:
    old, new, why = RUNS[case]
    assert judge(old, new).startswith(why)


def test_what_a_step_moved_without_opening_it_counts_as_changed_by_it(judge: Judge) -> None:
    why = judge("", "echo other >/etc/unread", step="mkdir /new; mv /etc/unread /new/name")
    assert why == "/etc/unread, which it changed, has changed"


def test_what_a_step_linked_without_opening_it_counts_as_changed_by_it(judge: Judge) -> None:
    why = judge("", "echo other >/etc/unread", step="ln /etc/unread /srv/too")
    assert why == "/etc/unread, which it changed, has changed"


def test_a_file_of_a_folder_that_a_step_removed_counts_as_changed_by_it(judge: Judge) -> None:
    why = judge("", "echo other >/old/deep/file", step="rm -r /old")
    assert why == "/old/deep/file, which it changed, has changed"


def test_a_program_that_a_step_started_counts_as_read(judge: Judge) -> None:
    program = "cp /bin/busybox /srv/true; echo {} >>/srv/true"
    why = judge(program.format("a"), program.format("b"), step="/srv/true")
    assert why == "/srv/true, which it read, has changed"
