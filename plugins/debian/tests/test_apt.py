from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from imagewright.types import Package, Repository
from imagewright_debian.apt import AUTHORITIES, Apt

RESOLUTION = """\
Reading package lists...
Need to get 22 B of archives.
'http://mirror.example/pool/z/zstd/zstd_1.5.4%2bdfsg2-5_amd64.deb' zstd_1%3a1.5.4+dfsg2-5_amd64.deb 10 SHA256:abc123
'http://mirror.example/pool/a/adduser/adduser_3.134_all.deb' adduser_3.134_all.deb 12 SHA256:def456
"""


def file_of(apt: Apt, path: str, environment: dict[str, str] | None = None) -> str:
    tree = apt.build_files(environment or {})
    return next(entry for entry in tree.entries if entry.path == path).content.decode()


def test_a_resolution_names_versions_architectures_and_digests() -> None:
    assert Apt().parse_resolution(RESOLUTION) == (
        Package(name="zstd", version="1:1.5.4+dfsg2-5", architecture="amd64", digest="abc123"),
        Package(name="adduser", version="3.134", architecture="all", digest="def456"),
    )


def test_a_listing_leaves_out_what_was_removed_again() -> None:
    output = "ii \tbash\t5.2-1\tamd64\nrc \tgone\t1\tamd64\nii \ttzdata\t2025a\tall\n"
    assert [package.name for package in Apt().parse_listing(output)] == ["bash", "tzdata"]


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="the host has no dpkg")
def test_the_command_of_the_listing_prints_what_is_parsed() -> None:
    printed = subprocess.run(Apt().listing().argv, capture_output=True, text=True, check=True).stdout
    assert "dpkg" in {package.name for package in Apt().parse_listing(printed)}


def test_no_service_starts_while_a_tree_is_built(tmp_path: Path) -> None:
    (entry,) = (entry for entry in Apt().build_files({}).entries if entry.path == "usr/sbin/policy-rc.d")
    script = tmp_path / "policy-rc.d"
    script.write_bytes(entry.content)
    script.chmod(entry.mode)
    assert subprocess.run([script, "ssh", "start"], check=False).returncode == 101
    assert stat.S_IMODE(entry.mode) == 0o755


@pytest.mark.skipif(shutil.which("apt-config") is None, reason="the host has no apt")
def test_apt_can_read_its_settings_for_the_build(tmp_path: Path) -> None:
    settings = tmp_path / "apt.conf"
    settings.write_text(file_of(Apt(authority="cert"), "etc/apt/apt.conf.d/00imagewright-build", {"PATH": "/bin"}))
    environment = {**os.environ, "APT_CONFIG": str(settings)}
    dump = subprocess.run(["apt-config", "dump"], env=environment, capture_output=True, text=True, check=True)
    assert 'APT::Get::Assume-Yes "true";' in dump.stdout
    assert f'Acquire::https::CAInfo "{AUTHORITIES}";' in dump.stdout
    assert not dump.stderr


def test_no_file_of_the_build_brings_a_folder_that_a_first_tree_lacks() -> None:
    acme = Repository(address="http://acme.example", suite="stable", components=("main",), keys=(b"key",))
    apt = Apt(authority="cert", repositories=(acme,))
    folders = {str(Path(entry.path).parent) for entry in apt.build_files({}).entries}
    # all of them are folders of the packages apt, dpkg and base-files
    assert folders <= {"etc/apt", "etc/apt/apt.conf.d", "etc/apt/sources.list.d", "etc/dpkg/dpkg.cfg.d", "usr/sbin"}


def test_the_moment_is_that_of_the_newest_index(tmp_path: Path) -> None:
    for name, date in (
        ("a_InRelease", "Sat, 01 Mar 2025 10:00:00 UTC"),
        ("b_Release", "Sun, 02 Mar 2025 10:00:00 UTC"),
    ):
        (tmp_path / name).write_text(f"Origin: Debian\nDate: {date}\nMD5Sum:\n")
    *shell, script = Apt().moment().argv
    script = script.replace("/var/lib/apt/lists", str(tmp_path))
    printed = subprocess.run([*shell, script], capture_output=True, text=True, check=True).stdout
    assert printed == "1740909600\n"
