"""Where ordinary users may make no user namespaces, the helper makes one: for its caller alone, whatever they try."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from imagewright.sandbox.probe import _capabilities
from imagewright.testing.reliability import Recorder

HERE = Path(__file__).parent
TOP = HERE.parents[3]
INSTALL = TOP / "sudoers.d" / "install"
HELPER = TOP / "sudoers.d" / "imagewright-namespace"
USER = "imagewright-tester"
ATTACKS = "attacks on the namespace helper"

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="only root makes a copy of the host with other rules"),
    pytest.mark.skipif(not _capabilities() >> 21 & 1, reason="a root without CAP_SYS_ADMIN mounts nothing"),
    pytest.mark.skipif(not shutil.which("visudo", path="/usr/sbin:/usr/bin:/sbin:/bin"), reason="the host lacks sudo"),
]

PROBE = """
import json
from imagewright.sandbox import helper, probe
faults = [[fault.reference, fault.message, fault.hint] for fault in helper.faults()]
print(json.dumps({"faults": faults, "problems": [[one.reference, one.message, one.hint] for one in probe.problems()]}))
"""

BUILD = """
import ctypes, json, pathlib, sys
from imagewright.sandbox import helper
from imagewright.testing.kit import ImageKit
asked = []
real = helper.namespace
helper.namespace = lambda: asked.append(real()) or asked[-1]
folder = pathlib.Path(sys.argv[1])
refused = ctypes.CDLL(None).unshare(0x10000000)
with ImageKit.open(folder / "kit", shared=folder / "shared") as kit:
    script = "#!/bin/sh\\nmkdir -p /srv\\ntouch /srv/theirs\\nchown toy:toy /srv/theirs\\n"
    kit.flavour("owner", {"install.d/10-owner": script})
    built = kit.build("owner", types=("tar",))
    print(json.dumps({"refused": refused, "asked": len(asked), "size": len(built.paths)}))
    import tarfile
    with tarfile.open(next(path for path in built.paths if path.suffix == ".tar")) as tar:
        member = next(one for one in tar if one.name.endswith("srv/theirs"))
        print(json.dumps([member.uid, member.gid]))
"""


class Host:
    """A copy of this host on which ordinary users may make no user namespaces, and a user of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, script: str = "", install: bool = True) -> subprocess.CompletedProcess[str]:
        lines = [f"useradd --no-create-home --home-dir {self.folder} --shell /bin/sh {USER}"]
        lines += [f"{INSTALL} {USER}"] if install else []
        lines += [f"chown {USER}: {self.folder}", script]
        done = subprocess.run(
            [sys.executable, str(HERE / "restricted_host.py"), "\n".join(lines), USER, *command],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(self.folder),
                "LC_ALL": "C.UTF-8",
                "TMPDIR": str(self.folder),
                "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder),
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def python(self, code: str, *arguments: str, **options: Any) -> list[Any]:
        """What it prints: JSON documents, one a line."""
        done = self.run(sys.executable, "-c", code, *arguments, **options)
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    # not below pytest's own folders: every run of pytest closes them to others anew
    with tempfile.TemporaryDirectory(prefix="imagewright-restricted-", dir="/tmp") as name:
        yield Host(Path(name))


@pytest.fixture(scope="module")
def attacks(host: Host) -> dict[str, Any]:
    done = host.run(sys.executable, str(HERE / "helper_attacks.py"), str(host.folder))
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_user_of_these_tests_may_make_no_namespace_and_the_helper_makes_theirs(attacks: dict[str, Any]) -> None:
    assert attacks["unshare"] == -1
    uid, gid = attacks["ids"]
    answer = attacks["attacks"]["asks as it is meant"]
    (own, others), (own_group, other_groups) = answer["maps"]
    assert own == ["0", str(uid), "1"]
    assert own_group == ["0", str(gid), "1"]
    assert (others[0], others[2], other_groups[2]) == ("1", "65535", "65535")
    assert int(others[1]) >= 100_000


REFUSED = (
    *("an argument", "an empty argument", "an option of Python's", "another program", "Python itself with the helper"),
    *("a file of one's own with its name", "a path with dots in it", "a symbolic link to a file of one's own"),
    *("as another user", "as another group", "the name sudoedit", "a variable on sudo's command line"),
    *("Python's path on sudo's command line", "the environment kept", "one variable kept", "another root"),
    *("another folder by sudo", "more descriptors by sudo", "no standard input", "a file as standard input"),
    *("a terminal as standard input", "a socket of kind SOCK_STREAM", "a socket of kind SOCK_DGRAM"),
    *("a socket of the network", "a socket of root's"),
)
HARMLESS = (
    *("an empty name", "every variable", "in a folder of modules", "in a folder that is gone", "an open mask"),
    *("no standard output", "more descriptors", "signals blocked and ignored", "an alarm that is set"),
    *("signals meanwhile", "few descriptors", "little memory", "no room in files", "no processes", "a small stack"),
    "large cores",
)
STRUCK = ("an alarm that is set", "signals meanwhile")
"""Those that may kill sudo at any moment, also when the caller already has the namespace."""


def test_whatever_is_not_exactly_allowed_is_refused(attacks: dict[str, Any], reliability: Recorder) -> None:
    for name in REFUSED:
        with reliability.trying("escapes", ATTACKS):
            answer = attacks["attacks"][name]
            assert (answer["status"] != 0, answer["maps"]) == (True, None), name
            assert "Traceback" not in answer["said"], name


def test_what_the_helper_inherits_changes_nothing_of_what_it_gives(
    attacks: dict[str, Any], reliability: Recorder
) -> None:
    meant = attacks["attacks"]["asks as it is meant"]
    for name in HARMLESS:
        with reliability.trying("escapes", ATTACKS):
            answer = attacks["attacks"][name]
            # a limit or a signal may be too much for sudo: then there is nothing, or what is meant came before
            given = [meant["maps"]] if answer["status"] == 0 else [None, meant["maps"]] if name in STRUCK else [None]
            assert answer["maps"] in given, name
            assert "Traceback" not in answer["said"], name
    assert attacks["attacks"]["every variable"]["status"] == 0
    assert attacks["attacks"]["in a folder of modules"]["status"] == 0


def test_nothing_of_the_callers_ran_as_root_and_nothing_is_left(attacks: dict[str, Any]) -> None:
    assert attacks["won"] == ""
    assert attacks["left"] == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_process_with_the_callers_ids_lets_nobody_trace_it(
    attacks: dict[str, Any], reliability: Recorder, when: str
) -> None:
    found = attacks["attacks"][f"its child traced {when}"]
    (tried,) = found["tried"]
    assert tried.pop("uid") == str(attacks["ids"][0])
    reliability.tried("escapes", ATTACKS, len(tried), lost=sum(tried.values()))
    assert tried == {"traced": False, "memory": False, "descriptors": False, "map": False}
    assert found["answer"]["maps"] == attacks["attacks"]["asks as it is meant"]["maps"]


def test_a_caller_who_kills_it_gets_nothing(attacks: dict[str, Any]) -> None:
    found = attacks["attacks"]["its child killed"]
    assert found["tried"] == ["killed"]
    assert (found["answer"]["status"], found["answer"]["maps"]) == (4, None)
    assert "the kernel makes no user namespace" in found["answer"]["said"]


def test_a_caller_who_stops_it_does_not_keep_root_waiting(attacks: dict[str, Any]) -> None:
    """The helper ended by itself, and the stopped process with it, or the attack would not have come to its end."""
    found = attacks["attacks"]["its child stopped"]
    assert (found["status"] != 0, found["maps"]) == (True, None)


def test_root_of_the_namespace_is_nobody_on_the_host(attacks: dict[str, Any], reliability: Recorder) -> None:
    found = attacks["attacks"]["root of the namespace"] | attacks["attacks"]["files"]
    won = {what: answer for what, answer in found.items() if answer in ("done", "opened", 65_536)}
    reliability.tried("escapes", ATTACKS, len(found), lost=len(won))
    assert won == {}
    assert len(found) == 13


def test_a_user_with_only_this_rule_builds_an_image(host: Host) -> None:
    said, owners = host.python(BUILD, str(host.folder))
    assert said["refused"] == -1
    assert said["asked"] >= 1
    assert owners == [1000, 1000]


def test_who_is_not_in_the_group_is_told_what_to_do(host: Host) -> None:
    (found,) = host.python(PROBE, script=f"gpasswd --delete {USER} imagewright")
    ((reference, message, hint),) = found["problems"]
    assert reference == "namespace-helper"
    assert message == "sudo does not let you run the helper"
    assert hint.startswith("sudo usermod --append --groups imagewright")


def test_a_host_without_the_helper_names_the_command_that_installs_it(host: Host) -> None:
    # this host may be a container, on which other advice holds
    (found,) = host.python(PROBE.replace("print", "probe._in_container = bool\nprint"), install=False)
    ((reference, _message, hint),) = found["problems"]
    assert (reference, hint) == ("no-user-namespaces", "make install-helper")


def test_doctor_says_that_the_helper_is_as_it_should_be(host: Host) -> None:
    # what else this host lacks is its own affair
    doctor = "from imagewright.cli.main import imagewright; imagewright()"
    done = host.run("sh", "-c", '"$@" || true', "sh", sys.executable, "-c", doctor, "doctor", "--json")
    findings = {one["subject"]: one["verdict"] for one in json.loads(done.stdout)["findings"]}
    assert (findings["namespace helper"], findings["user namespaces"]) == ("good", "good")


TAMPERED = {
    "chmod 0775 /usr/local/libexec": "/usr/local/libexec is not root's alone to write",
    f"chown {USER} /usr/local/libexec/imagewright-namespace": "imagewright-namespace is not root's alone to write",
    "rm /etc/sudoers.d/imagewright": "sudoers.d/imagewright is not there",
    "echo >>/usr/local/libexec/imagewright-namespace": "is not the helper of this version",
    "chmod 0644 /etc/sudoers.d/imagewright": "is not a file of root's with mode 0440",
    f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' >>/etc/sudoers.d/imagewright": "is not the rule of this version",
    "sed -i 's/!env_keep/env_keep+=PYTHONPATH/' /etc/sudoers.d/imagewright": "is not the rule of this version",
    "sed -i 's/ \"\"$//' /etc/sudoers.d/imagewright": "is not the rule of this version",
}


def test_doctor_notices_a_helper_or_a_rule_that_somebody_changed(host: Host) -> None:
    """Root looks, since others may not read the rule."""
    look = f"{sys.executable} -c 'from imagewright.sandbox import helper; print(*helper.faults(), sep=\"|\")'"
    script = [f"{look} >{host.folder}/untouched"]
    for number, command in enumerate(TAMPERED):
        script += [command, f"{look} >{host.folder}/{number}", "chmod 0755 /usr/local/libexec", f"{INSTALL} root"]
    host.run("true", script="\n".join(script))
    assert (host.folder / "untouched").read_text() == "\n"
    for number, (command, said) in enumerate(TAMPERED.items()):
        assert said in (host.folder / str(number)).read_text(), command


def test_the_installer_leaves_two_files_and_takes_both_away(host: Host) -> None:
    both = "/usr/local/libexec/imagewright-namespace /etc/sudoers.d/imagewright"
    listing = "ls -A /usr/local/libexec /etc/sudoers.d; visudo -c"
    script = f"stat -c '%U:%G %a' {both}; {listing}; {INSTALL} --remove; ls {both} || echo gone"
    done = host.run("true", script=script)
    assert "root:root 755\nroot:root 440\n" in done.stderr
    assert ".new" not in done.stderr
    assert "/etc/sudoers.d/imagewright: parsed OK" in done.stderr
    assert done.stderr.endswith("gone\n")


@pytest.mark.parametrize("words", [["--fix"], ["--remove", "ann"], ["no-such-user-here"]])
def test_the_installer_refuses_wrong_words_before_it_does_anything(words: list[str]) -> None:
    done = subprocess.run([INSTALL, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert words[-1] in done.stderr


def test_a_program_folder_that_others_may_write_gets_no_helper(host: Host) -> None:
    done = host.run("true", install=False, script=f"chmod 0777 /usr/local; {INSTALL} {USER} || echo refused")
    assert "/usr/local may be written by others than root" in done.stderr
    assert done.stderr.endswith("refused\n")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    loader = SourceFileLoader("imagewright_namespace", str(HELPER))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = module_from_spec(spec_from_loader("imagewright_namespace", loader))
    loader.exec_module(module)
    monkeypatch.setattr(module, "SUBORDINATE", {"uid": str(tmp_path / "subuid")})
    monkeypatch.setattr(module, "ACCOUNTS", {"uid": str(tmp_path / "passwd")})
    (tmp_path / "passwd").write_text("root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:/bin/sh\n")
    for name in ("subuid", "passwd"):
        (tmp_path / name).touch(0o644)
    return module


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", "gives ann no range"),
        ("ann:100000:65534\n", "gives ann no range"),
        ("bob:100000:65536\n", "gives ann no range"),
        ("ann:-100000:65536\nann:1e5:65536\nann:100000:65536:x\n", "gives ann no range"),
        ("ann:0:65536\n", "the host's own accounts"),
        ("ann:65000:65536\n", "the host's own accounts"),
        ("ann:4294901761:65536\n", "the host's own accounts"),
        ("ann:100000:65536\nbob:165000:65536\n", "somebody else's too"),
        ("bob:1:4294967294\nann:100000:65536\n", "somebody else's too"),
    ],
)
def test_ranges_that_are_not_the_callers_alone_are_refused(
    program: Any, tmp_path: Path, text: str, refusal: str, reliability: Recorder
) -> None:
    (tmp_path / "subuid").write_text(text)
    with (
        reliability.trying("escapes", ATTACKS),
        pytest.raises(program.Refusal, match=refusal),
    ):
        program.subordinate("uid", "ann", 1000)


def test_a_range_with_an_account_of_the_host_in_it_is_refused(program: Any, tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text("ann:100000:65536\n")
    with (tmp_path / "passwd").open("a") as stream:
        stream.write("remote:x:120000:1::/:/bin/sh\n")
    with pytest.raises(program.Refusal, match="the host's own accounts"):
        program.subordinate("uid", "ann", 1000)


@pytest.mark.parametrize("owner", ["ann", "1000"])
def test_a_range_by_name_or_by_number_is_taken(program: Any, tmp_path: Path, owner: str) -> None:
    (tmp_path / "subuid").write_text(f"# a remark\n{owner}:50:10\n{owner}:200000:65535\nbob:265535:65536\n")
    assert program.subordinate("uid", "ann", 1000) == 200_000


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.chmod(0o664),
        lambda file: os.chown(file, 12_345, -1),
        lambda file: (file.rename(file.with_name("real")), file.symlink_to("real")),
        lambda file: (file.unlink(), os.mkfifo(file)),
        lambda file: file.write_bytes(b"x" * (1 << 20) + b"y"),
    ],
    ids=["written by a group", "somebody's", "a link", "a pipe", "too large"],
)
def test_a_file_of_ranges_that_root_does_not_vouch_for_is_refused(
    program: Any, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    file = tmp_path / "subuid"
    file.write_text("ann:100000:65536\n")
    spoil(file)
    with pytest.raises((program.Refusal, OSError)):
        program.subordinate("uid", "ann", 1000)


@pytest.mark.parametrize("text", ["", "0", "-1", "1000 ", "1_000", "１０００", "99999999999", "4294967295", "root"])
def test_who_is_no_caller_of_sudos_is_refused(program: Any, text: str) -> None:
    with pytest.raises(program.Refusal):
        program.caller(text)
