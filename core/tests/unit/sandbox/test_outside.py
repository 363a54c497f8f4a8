"""What a job and a function outside the tree see, and how a function's result and error come back."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from imagewright.errors import ContractError, HostError, StepFailed
from imagewright.sandbox import Sandbox
from imagewright.sandbox.jobs import TARGET, WORK, Bind, Job, PythonJob, Stack
from imagewright.sandbox.starting import Launcher

HOSTPATH = {"PATH": os.environ["PATH"]}


def call(bench, function: str, *, stack: Stack | None = None, binds: tuple[Bind, ...] = (), **arguments: object):
    job = PythonJob(
        function=f"sandbox_functions:{function}",
        arguments=arguments,
        environment={"A": "b"},
        stack=stack,
        binds=binds,
    )
    return bench.sandbox.call(job, bench.lines.append)


def run(bench, script: str, stack: Stack | None = None, **options) -> int:
    job = Job(argv=("sh", "-c", script), environment=HOSTPATH, stack=stack, **options)
    return bench.sandbox.run(job, bench.lines.append)


def test_a_job_finds_the_tree_and_the_work_folder_below_closed_folders(bench) -> None:
    assert bench.work.parent.stat().st_mode & 0o077 == 0
    (bench.work / "note").write_text("noted")
    stack = Stack(lower=("base",), upper="top")
    script = f"""
    cat {WORK}/note; echo x > {TARGET}/new; echo y > {WORK}/made
    stat -c %u {TARGET}/new; id -u; ls /usr | head -1
    """
    assert run(bench, script, stack) == 0, bench.text
    assert bench.lines[:3] == ["noted0", "0", "bin"]
    assert (bench.layer("top") / "new").read_text() == "x\n"
    assert (bench.work / "made").read_text() == "y\n"
    assert not (bench.layer("base") / "new").exists()


def test_without_an_upper_layer_the_tree_is_read_only(bench) -> None:
    bench.out("echo x > /root/x")
    for lower in (("base",), ("top", "base")):
        assert run(bench, f"touch {TARGET}/new", Stack(lower=lower)) != 0
    assert run(bench, f"cat {TARGET}/root/x", Stack(lower=("top", "base"))) == 0
    assert os.listdir(bench.layer("top")) == ["root"]


def test_a_first_layer_needs_nothing_below(bench) -> None:
    assert run(bench, f"mkdir {TARGET}/etc; echo x > {TARGET}/etc/x", Stack(lower=(), upper="first")) == 0
    assert (bench.layer("first") / "etc" / "x").read_text() == "x\n"
    assert bench.out("cat /etc/x", lower=("first", "base")) == "x"


def test_processes_of_the_host_are_not_seen(bench) -> None:
    assert run(bench, "ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm") == 0
    assert int(bench.lines[0]) < 6
    assert run(bench, f"ls -d /proc/{os.getpid()}/cwd/.") != 0


def test_binds_are_read_only_and_reached_in_closed_folders(bench, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    (closed / "data" / "x").write_text("data")
    closed.chmod(0o700)
    binds = (Bind(source=closed / "data", target="/run/imagewright/data"),)
    assert call(bench, "see", path="/run/imagewright/data", binds=binds) == ["x"]
    with pytest.raises(OSError, match="Read-only"):
        call(bench, "write", path="/run/imagewright/data/y", size=1, binds=binds)


def test_a_bind_makes_nothing_on_the_host(bench, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    binds = (Bind(source=tmp_path, target=str(missing)),)
    with pytest.raises(HostError, match="nothing to mount over"):
        call(bench, "see", path="/", binds=binds)
    assert not missing.exists()


def test_a_source_that_is_not_there_is_one_clear_error(bench, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="absent: No such file"):
        call(bench, "see", path="/", binds=(Bind(source=tmp_path / "absent", target="/run/x"),))


def test_without_the_network_there_is_only_the_loopback(bench) -> None:
    assert (
        bench.sandbox.run(Job(argv=("cat", "/proc/net/dev"), environment=HOSTPATH, network=False), bench.lines.append)
        == 0
    )
    assert [line.split(":")[0].strip() for line in bench.lines[2:]] == ["lo"]


def test_the_loopback_works_without_the_network(bench) -> None:
    script = """
    /bin/busybox nc -l -p 7000 -e /bin/echo heard &
    for i in $(seq 300); do echo | /bin/busybox nc 127.0.0.1 7000 2> /dev/null && break; sleep 0.2; done
    """
    assert bench.out(script, network=False) == "heard"


def test_a_function_gets_its_arguments_and_its_result_comes_back(bench) -> None:
    result = call(bench, "add", a=1, b=2)
    assert result == {"sum": 3, "uid": 0, "pid": 2, "cwd": "/", "env": {"A": "b"}}
    assert bench.lines == ["adding"]


def test_arguments_and_results_may_be_long(bench) -> None:
    assert call(bench, "length", text="ü" * 1_000_000) == 1_000_000


def test_a_functions_own_error_arrives_whole(bench) -> None:
    with pytest.raises(HostError) as caught:
        call(bench, "refuse")
    error = caught.value
    assert (error.reference, error.message, error.where, error.cause, error.hint, error.option) == (
        "no-luck", "there is no luck", ("file: x",), "the weather", "wait", "o",
    )  # fmt: skip


def test_an_error_of_the_system_keeps_its_number_and_file(bench) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        call(bench, "open_nothing", path="/nowhere/x")
    assert str(caught.value) == "[Errno 2] No such file or directory: '/nowhere/x'"
    with pytest.raises(OSError, match="No space left") as full:
        call(bench, "fill")
    assert full.value.errno == 28


def test_any_other_error_names_the_function_and_shows_where(bench) -> None:
    with pytest.raises(StepFailed, match="sandbox_functions:break_down failed: ValueError: seven") as caught:
        call(bench, "break_down")
    assert "sandbox_functions.py, line " in caught.value.where[0]
    assert bench.lines[0] == "about to fail"
    assert bench.lines[-1] == "ValueError: seven"


@pytest.mark.parametrize(("name", "said"), [("vanish", "status 137"), ("unspeakable", "not JSON serializable")])
def test_a_function_that_gives_no_answer_is_a_failed_step(bench, name: str, said: str) -> None:
    with pytest.raises(StepFailed, match=said):
        call(bench, name)
    assert call(bench, "add", a=1, b=1)


def test_code_in_a_closed_folder_is_found_even_when_it_is_imported_late(bench) -> None:
    assert call(bench, "late") == 42


def test_two_folders_of_code_below_one_closed_folder_are_found(
    work: Path, tmp_path: Path, sandbox_works: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / "closed" / name / "inner").mkdir(parents=True)
        (tmp_path / "closed" / name / "inner" / f"code_{name}.py").write_text("def answer():\n    return 42\n")
        (tmp_path / "closed" / name).chmod(0o700)
        monkeypatch.syspath_prepend(tmp_path / "closed" / name / "inner")
    (tmp_path / "closed").chmod(0o700)
    with Sandbox.open(work, preload=("code_one",)) as sandbox:
        for name in ("one", "two"):
            assert sandbox.call(PythonJob(function=f"code_{name}:answer"), print) == 42


def test_the_callers_python_runs_wherever_it_lies(bench) -> None:
    job = Job(argv=(sys.executable, "-c", "import json, os; print(os.getuid())"), environment=HOSTPATH)
    assert bench.sandbox.run(job, bench.lines.append) == 0, bench.text
    assert bench.lines == ["0"]


def test_a_launcher_that_was_started_ahead_serves_the_sandbox_and_ends_with_it(
    work: Path, tmp_path: Path, sandbox_works: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code_ahead.py").write_text("import os\nPID = os.getpid()\ndef answer():\n    return PID\n")
    monkeypatch.syspath_prepend(tmp_path)
    with Launcher.start(("code_ahead", "no_such_module")) as launcher:
        with Sandbox.open(work, launcher=launcher) as sandbox:
            assert sandbox.call(PythonJob(function="code_ahead:answer"), print) == launcher.pid
        with pytest.raises(HostError, match="the launcher of the sandbox ended"):
            sandbox.call(PythonJob(function="code_ahead:answer"), print)


def test_where_no_process_can_be_started_that_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python3")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(HostError, match="cannot be started: No such file"):
        Launcher.start()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_launcher_that_nobody_needs_ends(sandbox_works: None) -> None:
    with Launcher.start() as launcher:
        assert Path(f"/proc/{launcher.pid}").exists()
    assert not Path(f"/proc/{launcher.pid}").exists()


def test_a_module_that_does_not_load_is_named(work: Path, sandbox_works: None) -> None:
    with pytest.raises(ContractError, match="the module no_such_module does not load"):
        Sandbox.open(work, preload=("no_such_module",))


def test_a_module_of_the_current_folder_is_not_taken_for_pythons(
    work: Path, tmp_path: Path, sandbox_works: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "select.py").write_text("raise SystemExit('wrong one')")
    (tmp_path / "socket.py").write_text("raise SystemExit('wrong one')")
    monkeypatch.chdir(tmp_path)
    Sandbox.open(work).close()


def test_a_shared_folder_hands_no_group_of_its_own_to_layers(work: Path, sandbox_works: None) -> None:
    groups = [4242] if os.getuid() == 0 else [group for group in os.getgroups() if group != os.getgid()]
    if not groups:
        pytest.skip("this user is in one group only")
    for folder in (work, work / "layers"):
        os.chown(folder, -1, groups[0])
        folder.chmod(0o2775)
    with Sandbox.open(work) as sandbox:
        sandbox.own(work / "layers" / "base")
        job = Job(
            argv=("/bin/sh", "-c", "touch /root/new; stat -c %g /root/new /"),
            environment={"PATH": "/bin"},
            stack=Stack(lower=("base",), upper="top"),
            inside=True,
        )
        lines: list[str] = []
        assert sandbox.run(job, lines.append) == 0, lines
        assert lines == ["0", "0"]
        first = Job(argv=("true",), environment=HOSTPATH, stack=Stack(lower=(), upper="first"))
        assert sandbox.run(first, lines.append) == 0
        assert (work / "layers" / "first").stat().st_mode & 0o7777 == 0o755
        sandbox.remove(work / "layers")


def test_remove_takes_what_mapped_owners_left(bench) -> None:
    bench.out("mkdir -p /root/d/e; touch /root/d/e/f; chown -R 1000:1000 /root/d; chmod 0 /root/d/e /root/d")
    bench.sandbox.remove(bench.layer("top"))
    assert not bench.layer("top").exists()
    bench.sandbox.remove(bench.layer("top"))


def test_own_gives_files_to_root_inside_and_keeps_modes(bench, tmp_path: Path) -> None:
    tree = bench.work / "staged"
    tree.mkdir()
    (tree / "tool").write_text("x")
    (tree / "tool").chmod(0o4711)
    (tree / "link").symlink_to("/etc/hostname")
    before = os.lstat("/etc/hostname").st_uid if os.path.exists("/etc/hostname") else None
    bench.sandbox.own(tree)
    assert run(bench, f"stat -c '%u %a' {WORK}/staged/tool; stat -c %u {WORK}/staged/link") == 0
    assert bench.lines == ["0 4711", "0"]
    assert before is None or os.lstat("/etc/hostname").st_uid == before
