"""Two images or manifests side by side: what differs is said, and nothing else."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from imagewright.cli.main import imagewright
from imagewright.comparing.comparing import Change, Comparison, compare
from imagewright.disk.tools import find
from imagewright.errors import UsageError
from imagewright.reading.errors import ImageUnreadable

DPKG = """\
Package: curl
Status: install ok installed
Architecture: amd64
Version: {curl}
Description: fetches
 a continuation

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2025b
"""
GRUB = "menuentry 'Toy' {{\n\tlinux\t/boot/vmlinuz-6.1.0-9 root=UUID=x {arguments}\n}}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    content: str | None = ""
    mode: int = 0o644
    uid: int = 0
    time: int = 1_700_000_000
    target: str = ""
    attribute: str = ""


MACHINE: Mapping[str, Member] = {
    "": Member(content=None, mode=0o755),
    "etc": Member(content=None, mode=0o755),
    "etc/os-release": Member(content="ID=toy\n"),
    "etc/passwd": Member(content="root:x:0:0::/root:/bin/sh\n"),
    "etc/motd": Member(content="hello\n"),
    "etc/link": Member(target="motd"),
    "var/lib/dpkg/status": Member(content=DPKG.format(curl="8.1-1")),
    "boot/vmlinuz-6.1.0-9": Member(content="a kernel"),
    "boot/grub/grub.cfg": Member(content=GRUB.format(arguments="ro quiet")),
}


def archive(path: Path, members: Mapping[str, Member]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as writing:
        for name, member in members.items():
            info = tarfile.TarInfo(f"./{name}")
            info.mode, info.uid, info.mtime = member.mode, member.uid, member.time
            if member.attribute:
                info.pax_headers = {"SCHILY.xattr.user.note": member.attribute}
            data = (member.content or "").encode()
            if member.target:
                info.type, info.linkname, data = tarfile.SYMTYPE, member.target, b""
            elif member.content is None:
                info.type = tarfile.DIRTYPE
            info.size = len(data)
            writing.addfile(info, io.BytesIO(data))
    return path


def compared(folder: Path, **changes: Member | None) -> Comparison:
    """The machine compared with one in which the members named (``etc__motd``) are others, or are not there."""
    changed = dict(MACHINE) | {name.replace("__", "/"): member for name, member in changes.items() if member}
    gone = [name.replace("__", "/") for name, member in changes.items() if member is None]
    left = {name: member for name, member in changed.items() if name not in gone}
    return compare(archive(folder / "one.tar", MACHINE), archive(folder / "other.tar", left))


def what(found: Comparison) -> dict[str, tuple[Change, ...]]:
    assert all(change.how == "changed" for change in found.files)
    return {change.path: change.what for change in found.files}


def test_the_same_bytes_are_said_at_once(tmp_path: Path) -> None:
    one = archive(tmp_path / "one.tar", MACHINE)
    found = compare(one, Path(shutil.copy(one, tmp_path / "other.tar")))
    assert found.same
    assert found.same_bytes
    assert not found.sections


def test_an_archive_in_another_order_holds_the_same(tmp_path: Path) -> None:
    one = archive(tmp_path / "one.tar", MACHINE)
    found = compare(one, archive(tmp_path / "other.tar", dict(reversed(list(MACHINE.items())))))
    assert found.same
    assert not found.same_bytes
    assert not found.files


@pytest.mark.parametrize(
    ("member", "names"),
    [
        (Member(content="hullo\n"), ["content"]),
        (Member(content="hello, world\n"), ["size"]),
        (Member(content="hello\n", mode=0o600), ["mode"]),
        (Member(content="hello\n", uid=7), ["owner"]),
        (Member(content="hello\n", time=1_700_000_001), ["time"]),
        (Member(content="hello\n", attribute="seen"), ["user.note"]),
        (Member(target="link"), ["kind"]),
        (Member(content="hullo\n", mode=0o4755, uid=8), ["content", "mode", "owner"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_each_property_of_a_file_is_told_alone(tmp_path: Path, member: Member, names: list[str]) -> None:
    found = compared(tmp_path, etc__motd=member)
    assert {path: [change.name for change in changes] for path, changes in what(found).items()} == {"/etc/motd": names}
    assert not found.same


def test_a_link_that_leads_elsewhere_is_told_with_both_targets(tmp_path: Path) -> None:
    found = compared(tmp_path, etc__link=Member(target="passwd"))
    assert what(found) == {"/etc/link": (Change(name="target", before="motd", after="passwd"),)}


def test_files_come_and_go(tmp_path: Path) -> None:
    found = compared(tmp_path, etc__motd=None, etc__issue=Member(content="four"))
    assert [(one.path, one.how, one.size) for one in found.files] == [
        ("/etc/issue", "added", 4),
        ("/etc/motd", "removed", 6),
    ]


def test_sizes_are_summed_up_by_folder(tmp_path: Path) -> None:
    found = compared(tmp_path, etc__motd=Member(content="x" * 1006))
    assert [(one.path, one.after - one.before) for one in found.folders] == [("/", 1000), ("/etc", 1000)]


def test_packages_are_those_that_dpkg_has_installed(tmp_path: Path) -> None:
    status = DPKG.format(curl="8.2-1").replace("Package: tzdata", "Package: zone")
    found = compared(tmp_path, var__lib__dpkg__status=Member(content=status))
    assert found.sections["packages"] == (
        Change(name="curl:amd64", before="8.1-1", after="8.2-1"),
        Change(name="tzdata:all", before="2025b", after=None),
        Change(name="zone:all", before=None, after="2025b"),
    )


def test_entries_and_command_lines_of_the_boot_loader_are_compared(tmp_path: Path) -> None:
    changed = {"boot/grub/grub.cfg": Member(content=GRUB.format(arguments="ro debug"))}
    one = archive(tmp_path / "one.tar", MACHINE)
    found = compare(one, archive(tmp_path / "other.tar", {**MACHINE, **changed}))
    assert found.sections["boot"] == (
        Change(name="command line of 6.1.0-9", before="root=UUID=x ro quiet", after="root=UUID=x ro debug"),
        Change(
            name="entry Toy",
            before="/boot/vmlinuz-6.1.0-9 root=UUID=x ro quiet",
            after="/boot/vmlinuz-6.1.0-9 root=UUID=x ro debug",
        ),
    )


def ext4(path: Path, folder: Path, *, seed: str) -> Path:
    uuid = "11111111-2222-3333-4444-555555555555"
    options = f"hash_seed={seed},root_owner=0:0"
    argv = [find("mke2fs"), "-q", "-F", "-t", "ext4", "-U", uuid, "-E", options, "-d", str(folder), str(path), "16m"]
    subprocess.run(argv, check=True, capture_output=True)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    for name, member in MACHINE.items():
        if member.content is not None and not member.target:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(member.content)
    return folder


SEEDS = "66666666-7777-8888-9999-aaaaaaaaaaaa", "66666666-7777-8888-9999-bbbbbbbbbbbb"


def test_disks_that_hold_the_same_in_other_bytes_differ_and_it_is_said_where(tmp_path: Path, folder: Path) -> None:
    one, other = (ext4(tmp_path / f"{seed}.raw", folder, seed=seed) for seed in SEEDS)
    found = compare(one, other)
    assert not found.files
    assert not any(found.sections.values())
    assert len(found.bytes_only) == 1
    assert not found.same


def test_a_disk_is_the_same_in_another_format(tmp_path: Path, folder: Path) -> None:
    raw = ext4(tmp_path / "disk.raw", folder, seed=SEEDS[0])
    subprocess.run([find("qemu-img"), "convert", "-O", "qcow2", "-c", raw, tmp_path / "disk.qcow2"], check=True)
    found = compare(raw, tmp_path / "disk.qcow2")
    assert found.same
    assert found.same_bytes


def test_a_disk_and_an_archive_are_compared_in_what_both_have(tmp_path: Path, folder: Path) -> None:
    raw = ext4(tmp_path / "disk.raw", folder, seed=SEEDS[0])
    found = compare(raw, archive(tmp_path / "tree.tar", MACHINE))
    assert "filesystems" in found.unknown
    assert [one.path for one in found.files if one.how != "changed"] == ["/etc/link"]


def manifest(path: Path, *, version: str = "1.0", fact: str = "x", artefacts: object = ()) -> Path:
    flavour = {"name": "toy", "distribution": "imagewright-toy", "version": version, "parameters": {}}
    document = {
        "imagewright": "0.1.0",
        "source_date_epoch": 1_700_000_000,
        "plan": {"digest": "d", "flavours": [flavour]},
        "facts": {"base": fact},
        "kernel": "",
        "packages": [{"name": "curl", "version": version, "architecture": ""}],
        "disk": {},
        "artefacts": artefacts,
    }
    path.write_text(json.dumps(document))
    return path


def test_manifests_alone_tell_of_packages_flavours_and_facts(tmp_path: Path) -> None:
    found = compare(manifest(tmp_path / "one.json"), manifest(tmp_path / "other.json", version="1.1", fact="y"))
    assert found.sections["packages"] == (Change(name="curl", before="1.0", after="1.1"),)
    assert found.sections["flavours"] == (
        Change(name="toy", before="imagewright-toy 1.0", after="imagewright-toy 1.1"),
    )
    assert found.sections["build"] == (Change(name="fact base", before="x", after="y"),)
    assert found.unknown == ("files",)


def test_manifests_of_ramdisks_tell_of_executables(tmp_path: Path) -> None:
    sides = []
    for name, origin in (("one", "tree"), ("other", "host")):
        path = manifest(tmp_path / f"{name}.manifest.json")
        document = json.loads(path.read_text())
        document |= {
            "kernel": {"version": "6.1"},
            "executables": [{"path": "/bin/sh", "from": origin, "asked_by": ["x"]}],
        }
        path.write_text(json.dumps(document))
        sides.append(path)
    assert compare(*sides).sections["executables"] == (
        Change(name="/bin/sh", before="from tree, for x", after="from host, for x"),
    )


def test_the_manifest_beside_an_image_counts_only_for_its_bytes(tmp_path: Path) -> None:
    one = archive(tmp_path / "one.tar", MACHINE)
    other = archive(tmp_path / "other.tar", {**MACHINE, "etc/motd": Member(content="hullo\n")})
    for path in (one, other):
        stated = {"file": path.name, "size": path.stat().st_size, "sha256": "0" * 64}
        manifest(path.with_name(f"{path.stem}.manifest.json"), artefacts=[stated])
    assert "flavours" not in compare(one, other).sections
    digests = subprocess.run(["sha256sum", one, other], check=True, capture_output=True, text=True).stdout.split()[::2]
    for path, digest in zip((one, other), digests, strict=True):
        stated = {"file": path.name, "size": path.stat().st_size, "sha256": digest}
        manifest(path.with_name(f"{path.stem}.manifest.json"), artefacts=[stated])
    assert compare(one, other).sections["flavours"] == ()


def test_an_archive_of_a_part_of_a_machine_is_compared_too(tmp_path: Path) -> None:
    parts = {name: member for name, member in MACHINE.items() if name.startswith("boot")}
    one = archive(tmp_path / "one.tar", parts)
    changed = replace(parts["boot/vmlinuz-6.1.0-9"], mode=0o600)
    found = compare(one, archive(tmp_path / "other.tar", {**parts, "boot/vmlinuz-6.1.0-9": changed}))
    assert [one.path for one in found.files] == ["the image:/boot/vmlinuz-6.1.0-9"]


@pytest.mark.parametrize("name", ["nothing", "noise", "damaged.manifest.json"])
def test_what_is_neither_image_nor_manifest_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    (tmp_path / "damaged.manifest.json").write_text("{}")
    with pytest.raises(ImageUnreadable):
        compare(archive(tmp_path / "one.tar", MACHINE), tmp_path / name)


def test_a_manifest_without_anything_in_common_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "x.manifest.json").write_text(json.dumps({"plan": {}}))
    with pytest.raises((ImageUnreadable, UsageError)):
        compare(tmp_path / "x.manifest.json", archive(tmp_path / "one.tar", MACHINE))


@pytest.mark.parametrize(("other", "code"), [("one.tar", 0), ("other.tar", 1), ("none.tar", 2)])
def test_the_command_exits_as_diff_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], other: str, code: int
) -> None:
    one = archive(tmp_path / "one.tar", MACHINE)
    archive(tmp_path / "other.tar", {**MACHINE, "etc/motd": Member(content="hullo\n")})
    monkeypatch.setattr("sys.argv", ["imagewright", "diff", str(one), str(tmp_path / other)])
    with pytest.raises(SystemExit) as ended:
        imagewright()
    assert ended.value.code == code
    printed = capsys.readouterr()
    assert (
        printed.out
        == {
            0: "the same bytes\n",
            1: "files: 1 changed\n  ~ /etc/motd: content\n",
            2: "",
        }[code]
    )
    assert bool(printed.err) == (code == 2)


@pytest.mark.parametrize("names", [[], ["one.tar"]])
def test_the_command_takes_two_names(
    names: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["imagewright", "diff", *names])
    with pytest.raises(SystemExit, match="2"):
        imagewright()
    assert "`imagewright diff OLD NEW` takes two" in capsys.readouterr().err


def test_the_document_says_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = archive(tmp_path / "one.tar", MACHINE)
    other = archive(tmp_path / "other.tar", {**MACHINE, "etc/motd": Member(content="hullo\n")})
    monkeypatch.setattr("sys.argv", ["imagewright", "diff", "--json", str(one), str(other)])
    with pytest.raises(SystemExit, match="1"):
        imagewright()
    document = json.loads(capsys.readouterr().out)
    assert document["same"] is False
    assert [(one["path"], one["how"], one["what"][0]["name"]) for one in document["files"]] == [
        ("/etc/motd", "changed", "content")
    ]
    assert document["packages"] == []
