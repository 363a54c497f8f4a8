"""What a job inside the tree sees, and what it leaves."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

import pytest
from imagewright.errors import HostError
from imagewright.sandbox.jobs import Bind, Job, Stack


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_job_has_its_environment_and_no_more(bench) -> None:
    environment = {"A": "b=ü", "PATH": "/bin"}
    job = Job(argv=("env",), environment=environment, stack=Stack(lower=("base",)), inside=True)
    assert bench.sandbox.run(job, bench.lines.append) == 0
    assert bench.lines == ["A=b=ü", "PATH=/bin"]


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137)])
def test_the_exit_status_is_that_of_the_program(bench, script: str, status: int) -> None:
    assert bench.sh(script) == status


@pytest.mark.parametrize(
    ("name", "content", "status", "said"),
    [
        ("absent", None, 127, "not found"),
        ("data", "#!/bin/sh\n", 126, "Permission denied"),
        ("script", "#!/no/such/shell\n", 126, "interpreter of its first line is not there: '/no/such/shell'"),
        ("windows", "#!/bin/sh\r\n", 126, r"'/bin/sh\r'"),
    ],
)
def test_a_program_that_cannot_start_says_why(bench, name: str, content: str | None, status: int, said: str) -> None:
    if content:
        bench.out(f"printf '{content}' > /root/{name}; [ {name} = data ] || chmod +x /root/{name}")
    job = Job(argv=(f"/root/{name}",), stack=Stack(lower=("base",), upper="top"), inside=True)
    assert bench.sandbox.run(job, bench.lines.append) == status
    assert said in bench.text


def test_root_inside_is_nobody_special_outside_and_files_of_others_keep_their_owners(bench) -> None:
    assert bench.out("id -u; id -g; id -G; umask").splitlines() == ["0", "0", "0", "0022"]
    bench.out("touch /root/mine /root/theirs; chown 1000:42 /root/theirs; chmod 4755 /root/mine")
    assert bench.out("stat -c '%u:%g %a' /root/mine /root/theirs").splitlines() == ["0:0 4755", "1000:42 644"]
    mine, theirs = bench.layer("top/root/mine").stat(), bench.layer("top/root/theirs").stat()
    assert theirs.st_uid > 1000
    assert mine.st_uid != theirs.st_uid
    assert mine.st_uid == os.getuid() or os.getuid() == 0
    assert (mine.st_uid == 0) is False


def test_another_user_inside_is_another_user(bench) -> None:
    bench.out("mkdir -m 700 /root/closed; chmod 4755 /bin/busybox")
    assert bench.out("su user -c id", binds=()).startswith("uid=1000(user) gid=1000(user)")
    assert bench.sh("su user -c 'ls /root/closed'") != 0


@pytest.mark.skipif(shutil.which("setcap") is None, reason="setcap is not installed")
def test_capabilities_and_setuid_bits_stay_in_a_layer(bench) -> None:
    setcap = Job(
        argv=("setcap", "cap_net_raw+ep", "/run/imagewright/target/root/tool"),
        environment={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
        stack=Stack(lower=("base",), upper="top"),
    )
    bench.out("touch /root/tool; chmod 755 /root/tool")
    assert bench.sandbox.run(setcap, bench.lines.append) == 0, bench.text
    getcap = Job(
        argv=("getcap", "/run/imagewright/target/root/tool"),
        environment=setcap.environment,
        stack=Stack(lower=("top", "base")),
    )
    assert bench.sandbox.run(getcap, bench.lines.append) == 0
    assert "cap_net_raw" in bench.text


def test_a_job_that_does_nothing_leaves_an_empty_layer(bench, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    binds = (Bind(source=data, target="/tmp/hooks"), Bind(source=data, target="/opt/vendor/data"))
    bench.out("ls /tmp/hooks /opt/vendor/data; cat /etc/resolv.conf > /dev/null", binds=binds)
    assert below(bench.layer("top")) == []
    assert [name for name in os.listdir(bench.work / "layers") if name.startswith(".job")] == []


def test_mount_points_that_the_tree_lacks_do_not_appear_in_it(bench) -> None:
    bench.out("true")
    for name in ("proc", "sys", "dev", "var/tmp", "var"):
        os.rmdir(bench.layer("base") / name)
    assert bench.out("cat /proc/1/comm > /dev/null; stat -c %a /var/tmp", upper="other") == "1777"
    assert below(bench.layer("other")) == []


def test_a_new_layer_has_the_root_folder_of_the_tree(bench) -> None:
    base = bench.layer("base")
    bench.out("chmod 751 /", upper="first")
    os.utime(bench.layer("first"), (1_000_000_000, 1_000_000_000))
    assert bench.out("stat -c '%a %Y' /", lower=("first", "base"), upper="second") == "751 1000000000"
    assert stat.S_IMODE(base.stat().st_mode) == 0o755


def test_passing_folders_are_empty_for_every_job_and_stay_out_of_the_layer(bench) -> None:
    for _ in range(2):
        assert bench.out("ls -A /tmp /var/tmp /dev/shm").split() == ["/dev/shm:", "/tmp:", "/var/tmp:"]
        bench.out("for f in /tmp /run /var/tmp /dev/shm; do echo x > $f/x; done")
    assert below(bench.layer("top")) == []
    assert bench.out("stat -c %a /tmp /var/tmp /dev/shm /run").split() == ["1777", "1777", "1777", "755"]


def test_dev_has_what_programs_expect(bench) -> None:
    script = """
    for n in null zero full random urandom tty; do [ -c /dev/$n ] || echo $n; done
    for n in fd stdin stdout stderr ptmx; do [ -L /dev/$n ] || echo $n; done
    [ -c /dev/ptmx ] || echo ptmx; echo x > /dev/null; head -c1 /dev/urandom | wc -c; echo y > /dev/stderr
    su user -c "echo z > /dev/stdout"
    """
    bench.out("chmod 4755 /bin/busybox")
    assert bench.out(script).split() == ["1", "y", "z"]


def test_sys_is_read_only_and_proc_is_the_jobs_own(bench) -> None:
    assert bench.sh("mkdir /sys/x || echo y > /sys/kernel/profiling") != 0
    assert all(re.search(r"\bro\b", line) for line in bench.out("grep ' /sys' /proc/mounts").splitlines())
    assert "launcher" not in bench.out("cat /proc/2/cmdline")
    assert bench.sh("echo 1 > /proc/sys/kernel/printk") != 0


def test_mounts_of_a_job_are_not_seen_on_the_host(bench) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    inside = bench.out("cat /proc/self/mountinfo")
    assert " / / " in inside
    assert str(bench.work) not in "".join(line.split(" - ")[0] for line in inside.splitlines())
    assert Path("/proc/self/mountinfo").read_text() == before


def test_the_host_is_out_of_reach(bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    assert bench.sh(f"cat {secret} || ls /proc/1/root{tmp_path} || ls /proc/1/cwd/{tmp_path}") != 0


def test_a_job_does_not_learn_the_callers_environment(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from imagewright.sandbox import Sandbox

    monkeypatch.setenv("A_TOKEN", "s3cr3t")
    with Sandbox.open(bench.work) as sandbox:
        job = Job(argv=("/bin/cat", "/proc/1/environ"), stack=Stack(lower=("base",)), inside=True)
        assert sandbox.run(job, bench.lines.append) == 1
    # not even that of its process 1, which has rights that the job has not
    assert "Permission denied" in bench.text
    assert "s3cr3t" not in bench.text


def test_there_is_no_standard_input_and_a_neutral_host_name(bench) -> None:
    assert bench.out("cat; hostname; echo end").split() == ["localhost", "end"]


def test_standard_input_comes_from_a_file(bench, tmp_path: Path) -> None:
    source = tmp_path / "input"
    source.write_text("typed\n")
    job = Job(argv=("/bin/cat",), stack=Stack(lower=("base",)), inside=True, stdin=source)
    assert bench.sandbox.run(job, bench.lines.append) == 0
    assert bench.lines == ["typed"]


def test_a_job_starts_in_its_directory(bench) -> None:
    job = Job(argv=("/bin/busybox", "pwd"), stack=Stack(lower=("base",)), inside=True, directory="/var/tmp")
    assert bench.sandbox.run(job, bench.lines.append) == 0
    assert bench.lines == ["/var/tmp"]


def test_without_an_upper_layer_nothing_is_kept(bench) -> None:
    assert bench.out("echo x > /root/new; cat /root/new", upper=None) == "x"
    assert bench.sh("cat /root/new", upper=None) != 0
    assert below(bench.layer("base/root")) == []


def test_layers_hide_and_replace_what_lower_ones_have(bench) -> None:
    bench.out("echo one > /root/a; echo one > /root/b; mkdir /root/d; touch /root/d/x", upper="one")
    bench.out("rm /root/a; echo two > /root/b; rm -r /root/d; mkdir /root/d", lower=("one", "base"), upper="two")
    assert bench.out("ls /root; cat /root/b; ls /root/d", lower=("two", "one", "base")).split() == ["b", "d", "two"]


def test_renaming_a_lower_folder_gives_exdev_which_mv_copes_with(bench) -> None:
    bench.out("mkdir /root/old; touch /root/old/x", upper="one")
    assert bench.out("mv /root/old /root/new; ls /root/new", lower=("one", "base"), upper="two") == "x"


def test_a_hundred_layers_with_long_names_stack(bench) -> None:
    names = [f"{number:03}-" + "n" * 80 for number in range(100)]
    for name in names:
        (bench.layer(name) / "root").mkdir(parents=True)
        (bench.layer(name) / "root" / name[:3]).touch()
        bench.sandbox.own(bench.layer(name))
    assert bench.out("ls /root | wc -l; touch /root/new", lower=(*names, "base")) == "100"
    assert below(bench.layer("top")) == ["root", "root/new"]


def test_more_layers_than_the_kernel_stacks_are_one_clear_error(bench) -> None:
    with pytest.raises(HostError, match="498 layers"):
        bench.sh("true", lower=("base",) * 498)


def test_a_missing_layer_is_one_clear_error(bench) -> None:
    with pytest.raises(HostError, match="the sandbox cannot make") as caught:
        bench.sh("true", lower=("absent", "base"))
    assert caught.value.where == ("stage: layers",)
    assert bench.sh("true") == 0


def test_a_bound_file_is_read_only_and_runs_wherever_it_lies(bench, tmp_path: Path) -> None:
    folder = tmp_path / "closed" / "hooks"
    folder.mkdir(parents=True)
    (folder / "10-run").write_text("#!/bin/sh\necho ran $(cat $(dirname $0)/data)\n")
    (folder / "10-run").chmod(0o755)
    (folder / "data").write_text("data")
    folder.parent.chmod(0o700)
    bench.sandbox.own(folder)
    binds = (Bind(source=folder, target="/tmp/in_target.d"),)
    bench.out("/bin/busybox ln -s /bin/busybox /bin/dirname")
    assert bench.out("/tmp/in_target.d/10-run", binds=binds) == "ran data"
    assert bench.sh("echo x > /tmp/in_target.d/new", binds=binds) != 0
    writable = (Bind(source=folder, target="/srv/w", read_only=False),)
    assert bench.out("touch /srv/w/new; ls /srv/w", binds=writable).split() == ["10-run", "data", "new"]


def test_a_link_in_the_tree_leads_no_mount_out_of_it(bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    (bench.layer("base") / "opt").symlink_to(outside)
    data = tmp_path / "data"
    data.write_text("x")
    status = None
    try:
        status = bench.sh("cat /opt/vendor/data", binds=(Bind(source=data, target="/opt/vendor/data"),))
    except HostError:
        status = 1
    assert status is not None
    assert below(outside) == []
