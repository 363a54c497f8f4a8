from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from imagewright.disk.tools import find
from imagewright.testing.trees import DiskView, TarView, TreeView, root_offset


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tree") / "tree.tar"

    def add(
        name: str, *, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, content: bytes = b"", **more: object
    ) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.mode, member.size, member.mtime = kind, mode, len(content), 1_700_000_000
        for key, value in more.items():
            setattr(member, key, value)
        opened.addfile(member, io.BytesIO(content))

    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as opened:
        add("./", kind=tarfile.DIRTYPE, mode=0o755)
        add("./usr", kind=tarfile.DIRTYPE, mode=0o755)
        add("./usr/bin", kind=tarfile.DIRTYPE, mode=0o755)
        add("./bin", kind=tarfile.SYMTYPE, mode=0o777, linkname="usr/bin")
        add("./usr/bin/su", mode=0o4755, content=b"su", uid=0, gid=12)
        add("./usr/bin/sh", kind=tarfile.SYMTYPE, mode=0o777, linkname="/bin/su")
        add("./loop", kind=tarfile.SYMTYPE, mode=0o777, linkname="loop")
        add("./key", mode=0o600, content=b"key", uid=7, pax_headers={"SCHILY.xattr.user.note": "read me"})
    return path


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disk")
    tree = folder / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "bin").symlink_to("usr/bin")
    (tree / "usr/bin/su").write_bytes(b"su")
    (tree / "usr/bin/su").chmod(0o4755)
    (tree / "usr/bin/sh").symlink_to("/bin/su")
    (tree / "loop").symlink_to("loop")
    (tree / "key").write_bytes(b"key")
    (tree / "key").chmod(0o600)
    image = folder / "disk.raw"
    subprocess.run([find("mke2fs"), "-q", "-t", "ext4", "-d", tree, image, "2M"], check=True, capture_output=True)
    return image


@pytest.fixture(params=["tar", "disk"])
def view(request: pytest.FixtureRequest) -> TreeView:
    if request.param == "tar":
        return TarView(request.getfixturevalue("archive"))
    return DiskView(request.getfixturevalue("disk"))


def test_files_are_read_through_links_to_folders(view: TreeView) -> None:
    assert view.read("bin/su") == "su"
    assert view.read("/usr/bin/su") == "su"
    assert view.read("usr/bin/sh") == "su"


def test_modes_and_links_are_told_as_they_are(view: TreeView) -> None:
    assert view.mode("bin/su") == 0o4755
    assert view.mode("key") == 0o600
    assert view.link("usr/bin/sh") == "/bin/su"
    assert view.get("key").kind == "file"
    assert view.get("usr").kind == "folder"


def test_what_is_not_there_is_said_to_be_missing(view: TreeView) -> None:
    assert not view.exists("usr/bin/nothing")
    assert not view.exists("usr/bin/su/nothing")
    with pytest.raises(FileNotFoundError, match="the image has no etc/nothing"):
        view.read("etc/nothing")


def test_a_link_to_itself_ends(view: TreeView) -> None:
    assert view.exists("loop")
    assert view.find("loop", follow=True) is None


def test_entries_are_sorted_paths_of_everything_below(view: TreeView) -> None:
    assert view.entries("usr") == ("usr/bin", "usr/bin/sh", "usr/bin/su")
    assert view.entries("bin") == ("usr/bin/sh", "usr/bin/su")
    assert view.entries("nowhere") == ()


def test_owners_times_and_attributes_are_kept_in_an_archive(archive: Path) -> None:
    view = TarView(archive)
    assert view.owner("usr/bin/su") == (0, 12)
    assert view.get("key").moment == 1_700_000_000
    assert view.get("key").attributes == {"user.note": b"read me"}


def test_the_largest_partition_is_looked_into(disk: Path, tmp_path: Path) -> None:
    raw = tmp_path / "partitioned.raw"
    with raw.open("wb") as stream:
        stream.truncate(8 * 2**20)
    table = "label: gpt\nstart=2048, size=2048\nstart=4096, size=4096\n"
    subprocess.run([find("sfdisk"), "-q", str(raw)], input=table, text=True, check=True, capture_output=True)
    assert root_offset(raw) == 4096 * 512
    with raw.open("r+b") as stream:
        stream.seek(4096 * 512)
        stream.write(disk.read_bytes())
    assert DiskView(raw).read("bin/su") == "su"
    assert root_offset(disk) == 0
