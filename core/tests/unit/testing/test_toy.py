from __future__ import annotations

import hashlib
import io
import tarfile

from imagewright.testing.repository import KERNEL, MOMENT, PACKAGES, repository
from imagewright.testing.toy import APPLETS, FOLDERS, ToyPackageManager, root_tree
from imagewright.types import Tree


def contents(tree: Tree) -> dict[str, bytes]:
    return {entry.path: entry.read() for entry in tree.entries if entry.kind == "file"}


def test_the_repository_is_the_same_bytes_each_time() -> None:
    assert repository() == repository()


def test_the_index_names_every_package_with_its_true_digest() -> None:
    files = repository()
    first, *lines = files["index"].decode().splitlines()
    assert first == f"# date {MOMENT}"
    assert len(lines) == len(PACKAGES)
    for line in lines:
        name, version, digest, *_needs = line.split()
        assert hashlib.sha256(files[f"{name}_{version}.tar"]).hexdigest() == digest


def test_an_archive_keeps_owners_and_modes() -> None:
    with tarfile.open(fileobj=io.BytesIO(repository()["mail_0.9.tar"])) as archive:
        member = archive.getmember("usr/bin/deliver")
    assert (member.mode, member.uid, member.gid) == (0o4755, 8, 12)


def test_the_kernel_package_brings_a_kernel_and_its_modules() -> None:
    with tarfile.open(fileobj=io.BytesIO(repository()["kernel_1.0.tar"])) as archive:
        names = archive.getnames()
    assert f"boot/vmlinuz-{KERNEL}" in names
    assert f"usr/lib/modules/{KERNEL}/modules.dep" in names


def test_the_root_tree_has_no_path_twice_and_folders_before_their_content() -> None:
    paths = [entry.path for entry in root_tree().entries]
    assert len(paths) == len(set(paths))
    for path in paths:
        parent = path.rpartition("/")[0]
        assert not parent or paths.index(parent) < paths.index(path)
    assert set(FOLDERS) <= set(paths)
    assert {f"usr/bin/{applet}" for applet in APPLETS.split()} <= set(paths)


def test_the_packages_lie_in_the_build_files_unless_a_mirror_serves_them() -> None:
    inside = contents(ToyPackageManager().build_files({}))
    assert "usr/lib/toypm/repository/index" in inside
    served = contents(ToyPackageManager(mirror="http://mirror.invalid/toy").build_files({}))
    assert "usr/lib/toypm/repository/index" not in served
    assert b"http://mirror.invalid/toy" in served["etc/toypm.conf"]


def test_the_proxy_is_in_the_build_files_only_if_there_is_one() -> None:
    with_proxy = contents(ToyPackageManager().build_files({"http_proxy": "http://127.0.0.1:3128"}))
    assert b"127.0.0.1:3128" in with_proxy["etc/toypm.conf"]
    assert b"proxy" not in contents(ToyPackageManager().build_files({}))["etc/toypm.conf"]


def test_what_toypm_prints_is_read_as_packages() -> None:
    manager = ToyPackageManager()
    (found,) = manager.parse_resolution("greeting 1.1 abc\n")
    assert (found.name, found.version, found.digest) == ("greeting", "1.1", "abc")
    assert [package.name for package in manager.parse_listing("kernel 1.0\nhello 2.0\n")] == ["kernel", "hello"]
    assert manager.parse_listing("") == ()
