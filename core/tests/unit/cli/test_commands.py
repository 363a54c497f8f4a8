from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from imagewright import hosttools
from imagewright.cli import reference
from imagewright.cli.commands import doctor
from imagewright.cli.commands.disk_image import output_name, request_of
from imagewright.cli.commands.doctor import Finding
from imagewright.cli.completion import flavours
from imagewright.cli.invocation import Invocation
from imagewright.cli.options.resolve import resolve
from imagewright.cli.options.sets import COMMANDS, DISK_IMAGE
from imagewright.cli.programs import PROGRAMS
from imagewright.cli.screen import Screen
from imagewright.errors import UsageError
from imagewright.request import Request
from imagewright.supplychain.request import Beside
from imagewright.supplychain.signing import Signers

BIN = Path(sys.executable).parent


def run(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / words[0], *words[1:]],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(cwd / "home"),
            "XDG_CACHE_HOME": str(cwd / "cache"),
            "XDG_CONFIG_HOME": str(cwd / "config"),
            "TERM": "dumb",
            **variables,
        },
    )


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A search path with a good flavour and a broken one."""
    good = tmp_path / "pack" / "greeting"
    (good / "install.d").mkdir(parents=True)
    script = good / "install.d" / "50-greet"
    script.write_text("#!/bin/sh\necho hello\n")
    script.chmod(0o755)
    (good / "README.md").write_text("# greeting\n\nGreets whoever logs in.\n")
    (good / "flavour.toml").write_text(
        'summary = "A greeting"\npackages = ["figlet"]\n'
        "[parameters.word]\n"
        'type = "string"\ndefault = "hello"\nhelp = "what to say"\n'
    )
    (tmp_path / "pack" / "broken" / "instal.d").mkdir(parents=True)
    return tmp_path / "pack"


# -- from options to the request


def request(*flavours_named: str, flags=None, environment=None) -> Request:
    values = resolve(DISK_IMAGE, flags=flags or {}, environment=environment or {})
    return request_of(
        Invocation(
            program="disk-image-create",
            values=values,
            arguments={"flavours": list(flavours_named) or None},
            environment=environment or {},
            screen=Screen(),
        )
    )


def test_the_defaults_are_those_of_the_request(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = request("debian")
    assert asked == Request(flavours=("debian",), output=Path("image"), cache_dir=tmp_path / "imagewright")


def test_every_option_reaches_the_request(tmp_path):
    (tmp_path / "mine").mkdir()
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", tmp_path / "ca.pem")
    asked = request(
        "debian",
        "vm",
        flags={
            "output": "out/web.qcow2",
            "type": ["raw,qcow2"],
            "package": ["vim"],
            "release": "trixie",
            "mirror": "http://a/b",
            "image-mirror": "http://c/d",
            "image-size": "2.5",
            "root-label": "root",
            "kernel-args": "quiet splash",
            "flavour-path": ["/f:/g"],
            "set": ["vm.a=b"],
            "override": [f"vm={tmp_path}/mine"],
            "skip": ["vm:install/10-x"],
            "skip-base": True,
            "operating-system": "debian",
            "for-publishing": True,
            "cache-dir": "/cache",
            "work-dir": "/work",
            "ca-certificate": str(tmp_path / "ca.pem"),
            "offline": True,
            "no-cache": True,
            "trace": True,
            "sbom": "spdx",
            "provenance": True,
            "sign-key": str(tmp_path / "ca.pem"),
            "sign-gpg": "ann",
        },
        environment={"http_proxy": "http://proxy"},
    )
    assert asked == Request(
        flavours=("debian", "vm"),
        output=Path("out/web"),
        types=("raw", "qcow2"),
        packages=("vim",),
        release="trixie",
        mirror="http://a/b",
        image_mirror="http://c/d",
        image_size=5 * 2**29,
        root_label="root",
        kernel_arguments="quiet splash",
        flavour_path=(Path("/f"), Path("/g")),
        settings=(("vm", "a", "b"),),
        overrides=(("vm", tmp_path / "mine"),),
        skips=("vm:install/10-x",),
        skip_base=True,
        default_operating_system="debian",
        for_publishing=True,
        cache_dir=Path("/cache"),
        work_dir=Path("/work"),
        ca_certificate=tmp_path / "ca.pem",
        offline=True,
        no_cache=True,
        trace=True,
        beside=Beside(bill="spdx", provenance=True, signers=Signers(file=tmp_path / "ca.pem", gpg="ann")),
        environment={"http_proxy": "http://proxy"},
    )


@pytest.mark.parametrize(
    ("given", "types", "name"),
    [
        ("demo", ("qcow2",), "demo"),
        ("demo.qcow2", ("qcow2",), "demo"),
        ("a/demo.raw", ("qcow2", "raw"), "a/demo"),
        ("demo.1", ("qcow2",), "demo.1"),
        ("demo.qcow2.qcow2", ("qcow2",), "demo.qcow2"),
        ("demo.raw", ("qcow2",), "demo.raw"),
    ],
)
def test_a_name_with_or_without_its_suffix_is_the_same_image(given, types, name):
    assert output_name(Path(given), types) == Path(name)


@pytest.mark.parametrize("given", ["/", ".", ".qcow2", "a/.."])
def test_a_folder_or_a_bare_suffix_is_no_name(given):
    with pytest.raises(UsageError):
        output_name(Path(given), ("qcow2",))


# -- flavours


def test_list_shows_a_flavour_that_does_not_load_with_the_reason(pack, tmp_path):
    result = run("imagewright", "flavours", "list", "--flavour-path", str(pack), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert "A greeting" in rows["greeting"]
    assert "packages install" in rows["greeting"]
    assert rows["broken"].split()[1] == "broken"
    assert "`install.d`" in rows["broken"] or "instal.d" in rows["broken"]


def test_list_is_a_versioned_document_on_request(pack, tmp_path):
    result = run("imagewright", "flavours", "list", "--json", cwd=tmp_path, FLAVOURS_PATH=str(pack))
    document = json.loads(result.stdout)
    assert document["schema"] == 1
    found = {row["name"]: row for row in document["flavours"]}
    assert found["greeting"]["phases"] == ["packages", "install"]
    assert found["greeting"]["place"] == str(pack / "greeting")
    assert found["greeting"]["operating_system"] is False
    assert found["broken"]["error"]


def test_show_tells_readme_parameters_steps_and_packages(pack, tmp_path):
    result = run("imagewright", "flavours", "show", "greeting", "--flavour-path", str(pack), cwd=tmp_path)
    for part in ("greeting: A greeting", "Greets whoever", "greeting.word", "WORD", "default: hello", "figlet"):
        assert part in result.stdout
    assert "install/50-greet" in result.stdout


def test_show_says_which_step_is_kept_by_what_it_reads(tmp_path):
    result = run("imagewright", "flavours", "show", "debian", cwd=tmp_path)
    assert "50-initramfs; kept while read unchanged" in " ".join(result.stdout.split())


def test_show_fits_into_80_columns(tmp_path):
    folder = tmp_path / "pack" / "wide"
    (folder / "install.d").mkdir(parents=True)
    (folder / "flavour.toml").write_text(
        'summary = "wide"\npackages = [' + ", ".join(f'"package-{number}"' for number in range(40)) + "]\n"
        '[parameters.a-parameter-with-quite-a-long-name]\nhelp = "' + "many words " * 30 + '"\n'
    )
    result = run("imagewright", "flavours", "show", "wide", "--flavour-path", str(folder.parent), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if str(tmp_path) not in line]
    assert "package-39" in result.stdout
    assert [line for line in lines if len(line) > 80] == []


def test_show_names_the_variable_that_sets_a_parameter(tmp_path):
    result = run("imagewright", "flavours", "show", "local-config", cwd=tmp_path)
    # every login sets USER, so that it cannot set a parameter
    assert "IMAGEWRIGHT_LOCAL_CONFIG_USER" in result.stdout
    assert "env: USER" not in " ".join(result.stdout.split())


def test_show_names_the_nearest_flavour(pack, tmp_path):
    result = run("imagewright", "flavours", "show", "greting", "--flavour-path", str(pack), cwd=tmp_path)
    assert result.returncode == 3
    assert "`greeting`" in result.stderr


# -- config


def test_config_show_names_every_source(tmp_path):
    (tmp_path / "imagewright.toml").write_text('release = "trixie"\npackage = ["vim"]')
    (tmp_path / "config" / "imagewright").mkdir(parents=True)
    user = tmp_path / "config" / "imagewright" / "imagewright.toml"
    user.write_text('release = "bookworm"\nmirror = "http://a/b"')
    result = run("imagewright", "config", "show", "--json", cwd=tmp_path, IMAGE_SIZE="2", IMAGEWRIGHT_ARCH="amd64")
    settings = json.loads(result.stdout)["commands"]["disk-image-create"]
    assert settings["release"] == {"value": "trixie", "source": str(tmp_path / "imagewright.toml")}
    assert settings["mirror"] == {"value": "http://a/b", "source": str(user)}
    assert settings["image-size"] == {"value": 2**31, "source": "IMAGE_SIZE"}
    assert settings["arch"]["source"] == "IMAGEWRIGHT_ARCH"
    assert settings["json"] == {"value": True, "source": "--json"}
    assert settings["fs-type"] == {"value": "ext4", "source": "default"}


def test_config_show_has_each_option_below_the_command_that_takes_it(tmp_path):
    result = run("imagewright", "config", "show", cwd=tmp_path, IMAGE_NAME="web", IMAGEWRIGHT_OFFLINE="yes")
    assert result.returncode == 0, result.stderr
    sections = {}
    for block in result.stdout.split("\n\n"):
        heading, *lines = block.splitlines()
        # an option of one command is an option of those that build by it, too
        section = sections.setdefault(heading.partition(",")[0].rstrip(":"), {})
        section |= {line.split()[0]: line.split()[1:] for line in lines}
    assert sections["several commands"]["offline"] == ["true", "IMAGEWRIGHT_OFFLINE"]
    assert sections["disk-image-create"]["output"] == ["web", "IMAGE_NAME"]
    # the ancestor's variable names what is built, not what is read
    assert sections["disk-image-get-kernel"]["output"][-1] == "default"
    assert "uefi" in sections["imagewright boot"]
    others = {name for heading, section in sections.items() if heading != "several commands" for name in section}
    assert not others & set(sections["several commands"])


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_config_show_keeps_what_may_be_secret(tmp_path, form):
    result = run("imagewright", "config", "show", *form, cwd=tmp_path, IMAGEWRIGHT_SET="repo.password=hunter2")
    assert "password" in result.stdout
    assert "hunter2" not in result.stdout


# -- completion


def test_flavours_are_completed_from_installed_names_and_the_search_path(pack, monkeypatch):
    monkeypatch.setenv("FLAVOURS_PATH", str(pack))
    assert [name for name, _ in flavours("gree")] == ["greeting"]


def test_completion_swallows_every_error(monkeypatch):
    monkeypatch.setenv("FLAVOURS_PATH", "/nonexistent")
    assert "greeting" not in [name for name, _ in flavours("")]


def test_completion_heeds_the_search_path_of_the_line(pack, tmp_path):
    words = f"disk-image-create --flavour-path {pack} gree"
    result = run(
        "disk-image-create", cwd=tmp_path, _DISK_IMAGE_CREATE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="3"
    )
    assert result.stdout.split() == ["greeting"]


def test_a_shell_gets_names_and_nothing_else(pack, tmp_path):
    result = run(
        "disk-image-create",
        cwd=tmp_path,
        FLAVOURS_PATH=str(pack),
        _DISK_IMAGE_CREATE_COMPLETE="complete_bash",
        COMP_WORDS="disk-image-create -o x gree",
        COMP_CWORD="3",
    )
    assert result.stdout.split() == ["greeting"]
    assert result.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_for_every_command(tmp_path, shell):
    result = run("imagewright", "completion", shell, cwd=tmp_path)
    assert result.returncode == 0
    for name in (*(program.name for program in PROGRAMS), "imagewright"):
        assert name in result.stdout


# -- doctor


def test_the_set_up_mends_a_checkout_and_apt_mends_the_rest(monkeypatch, tmp_path):
    lacking = (
        Finding(subject="tools", verdict="lacking", detail="", mend="sudo apt-get install b a"),
        Finding(subject="more tools", verdict="lacking", detail="", mend="sudo apt-get install c a"),
        Finding(subject="kvm", verdict="note", detail="", mend="sudo apt-get install d"),
    )
    switch = Finding(subject="n", verdict="lacking", detail="", mend="sudo sysctl -w a=1")
    ids = Finding(subject="n", verdict="lacking", detail="", mend="sudo usermod x (or: make setup)")
    advice = Finding(subject="n", verdict="lacking", detail="", mend="build on another host")
    monkeypatch.setattr(doctor, "checkout", lambda: tmp_path)
    assert doctor.the_command(lacking) == f"make -C {tmp_path} setup"
    assert doctor.the_command((ids, switch)) == f"make -C {tmp_path} setup && sudo sysctl -w a=1"
    assert doctor.the_command((switch,)) == "sudo sysctl -w a=1"
    assert doctor.the_command((advice,)) == ""
    monkeypatch.chdir(tmp_path)
    assert doctor.the_command(lacking) == "make setup"
    monkeypatch.setattr(doctor, "checkout", lambda: None)
    assert doctor.the_command(lacking) == "sudo apt-get install a b c"
    assert doctor.the_command((*lacking, ids)) == "sudo apt-get install a b c && sudo usermod x"
    assert doctor.the_command(lacking[2:]) == "sudo apt-get install d"
    assert doctor.the_command(()) == ""


def test_a_host_without_programs_is_told_what_brings_them(tmp_path, monkeypatch):
    monkeypatch.setattr(hosttools, "EVERYWHERE", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "mke2fs").write_text("#!/bin/sh\n")
    (tmp_path / "mke2fs").chmod(0o755)
    absent = [tool.program for tool in hosttools.missing(["mke2fs", "sfdisk", "mcopy"])]
    assert absent == ["sfdisk", "mcopy"]


def test_doctor_says_of_a_cache_folder_that_takes_nothing_why(tmp_path):
    result = run("imagewright", "doctor", "--cache-dir", "/proc/x", cwd=tmp_path)
    assert result.returncode == 4
    assert "lacking  cache folder: no folder can be made in /proc: " in result.stdout
    assert "name another one with --cache-dir" in result.stdout


def test_doctor_prints_findings_and_exits_by_them(tmp_path):
    result = run("imagewright", "doctor", "--json", cwd=tmp_path)
    document = json.loads(result.stdout)
    assert document["able"] is (result.returncode == 0)
    assert result.returncode in (0, 4)
    assert {finding["subject"] for finding in document["findings"]} >= {"user namespaces", "cache folder", "KVM"}


# -- the reference


def test_the_reference_is_that_of_the_code():
    page = Path(__file__).parents[4] / "docs" / "commands.md"
    text = page.read_text()
    assert reference.refreshed(text) == text, f"python -m imagewright.cli.reference {page}"
    for name in COMMANDS:
        assert f"<!-- options: {name} -->" in text
