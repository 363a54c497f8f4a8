"""What is in the way of namespaces is found by trying, on hosts that are really like that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.errors import HostError
from imagewright.sandbox.probe import _switched_off, apparmor_profile, explained, problems

SAY = """
from imagewright.sandbox.probe import problems
for problem in problems():
    print(problem.reference, '|', problem.message, '|', problem.hint)
print("end")
"""


def probed(*before: str, **changed: str) -> list[str]:
    """What a probe says that is started by ``before``, with variables changed."""
    paths = os.pathsep.join(folder for folder in sys.path if folder)
    done = subprocess.run(
        [*before, sys.executable, "-c", SAY],
        env={**os.environ, "PYTHONPATH": paths, **changed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("end\n"), done.stderr
    return done.stdout.splitlines()[:-1]


def test_a_host_that_works_has_no_problems(
    sandbox_works: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert problems() == ()
    assert list(tmp_path.iterdir()) == []


def test_a_kernel_that_allows_no_user_namespaces_names_the_setting(sandbox_works: None) -> None:
    # the setting belongs to the namespace that it is changed in
    switch = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    found = probed("unshare", "--user", "--map-root-user", "sh", "-c", switch, "sh")
    assert [line.split(" | ")[2] for line in found if line.startswith("no-user-namespaces")] == [
        "sudo sysctl -w user.max_user_namespaces=10000"
    ]


# a folder with everything of this host's, and a mount of its root; who enters it stays outside
CHROOTS = {
    "a folder": """
        for name in /*; do
            if [ -L "$name" ]; then cp -P "$name" "$place$name"; continue; fi
            [ -d "$name" ] && mkdir "$place$name" && mount --rbind "$name" "$place$name"
        done
    """,
    "a mount": 'mount --rbind / "$place"',
}
EXPLAIN = """
from imagewright.errors import HostError
from imagewright.sandbox.probe import explained
print(explained(HostError("no-user-namespaces", "refused")).message)
"""


@pytest.mark.parametrize("kind", CHROOTS)
def test_a_chroot_is_told_from_a_host_that_allows_no_namespaces(sandbox_works: None, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "root"
    place.mkdir()
    enter = f"""
        place=$1
        shift
        {CHROOTS[kind]}
        ! chroot "$place" unshare --user true
        chroot "$place" "$@"
        exit $?
    """
    contained = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc")
    command = (*contained, "sh", "-euc", enter, "sh", str(place))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}
    done = subprocess.run(
        (*command, sys.executable, "-c", EXPLAIN), env=environment, capture_output=True, text=True, check=False
    )
    assert "this is a chroot" in done.stdout, done.stderr
    assert "Operation not permitted" in done.stderr, "the kernel makes none here"
    outside = subprocess.run(
        (*contained, sys.executable, "-c", EXPLAIN), env=environment, capture_output=True, text=True, check=True
    )
    assert "chroot" not in outside.stdout


def test_a_container_with_one_id_is_told_so(sandbox_works: None) -> None:
    (line,) = probed("unshare", "--user", "--map-root-user")
    assert line.startswith("too-few-ids | root has too few uids here")


@pytest.mark.skipif(os.getuid() != 0, reason="only root masks parts of /proc")
def test_a_masked_proc_is_recognised(sandbox_works: None) -> None:
    mask = 'mount -t tmpfs none /proc/tty && exec "$@"'
    (line,) = probed("unshare", "--mount", "sh", "-c", mask, "sh")
    assert line.startswith("masked-proc | ")
    assert "systempaths=unconfined" in line


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts on the host")
@pytest.mark.parametrize("point", ["a folder of /tmp", "/var/tmp"])
def test_what_the_host_mounted_read_only_is_in_no_way(sandbox_works: None, tmp_path: Path, point: str) -> None:
    # an AppImage that runs has a mount of its own below /tmp; a container may have a root that is read only
    folder = str(tmp_path) if point != "/var/tmp" else point
    mounts = 'mount -t tmpfs -o ro none "$0" && exec "$@"'
    assert probed("unshare", "--mount", "sh", "-c", mounts, folder) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root maps ids without help")
def test_lacking_mappers_are_named_with_their_package(sandbox_works: None, tmp_path: Path) -> None:
    assert "missing-tool | the host lacks newuidmap and newgidmap | sudo apt-get install uidmap" in probed(
        PATH=str(tmp_path)
    )


@pytest.mark.skipif(os.getuid() == 0, reason="root maps ids without help")
def test_mappers_without_their_rights_are_named(sandbox_works: None, tmp_path: Path) -> None:
    for name in ("newuidmap", "newgidmap"):
        shutil.copyfile(shutil.which(name) or "", tmp_path / name)
        (tmp_path / name).chmod(0o755)
    (line,) = probed(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert line.startswith("mapping-refused | ")
    assert line.endswith(f"sudo chmod u+s {tmp_path}/newuidmap {tmp_path}/newgidmap")


def test_what_says_how_it_is_mended_is_left_as_it_is_in_a_container_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagewright.sandbox.probe._in_container", lambda: True)
    lacking = HostError("no-subordinate-ids", "the user has no ids", hint="sudo usermod")
    assert explained(lacking) is lacking
    assert "docker run" in explained(HostError("no-sandbox", "it does not work")).hint


def test_the_profile_is_for_one_interpreter() -> None:
    profile = apparmor_profile(Path("/home/a b/.venv/bin/python3"))
    assert 'profile imagewright "/home/a b/.venv/bin/python3" flags=(unconfined) {' in profile
    assert "\n  userns,\n" in profile
    parser = shutil.which("apparmor_parser")
    if parser:
        done = subprocess.run(
            [parser, "--skip-kernel-load", "--skip-cache"], input=profile, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0 or "abi" in done.stderr, done.stderr


@pytest.mark.parametrize("helped", [True, False])
def test_debians_switch_is_in_nobodys_way_who_has_the_helper(monkeypatch: pytest.MonkeyPatch, helped: bool) -> None:
    # a setting of the whole machine, which no test may change
    monkeypatch.setattr("imagewright.sandbox.probe._setting", {"kernel.unprivileged_userns_clone": "0"}.get)
    monkeypatch.setattr("os.getuid", lambda: 1000)
    fault = HostError("namespace-helper", "it is not there")
    monkeypatch.setattr("imagewright.sandbox.helper.faults", lambda: () if helped else (fault,))
    found = [one for one in _switched_off() if "unprivileged_userns_clone" in one.message]
    assert [one.hint for one in found] == ([] if helped else ["sudo sysctl -w kernel.unprivileged_userns_clone=1"])
    assert all("make install-helper" in one.cause for one in found)
