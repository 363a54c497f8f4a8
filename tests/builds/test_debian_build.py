"""One real image: `debian vm` through the real command, compared with a tree that apt makes as root."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from imagewright.testing.aptrepository import AptRepository, apt_repository
from imagewright.testing.kit import ImageKit
from imagewright.testing.trees import DiskView, Node, TarView

from .test_disks import assert_clean, run

pytestmark = [pytest.mark.build, pytest.mark.network, pytest.mark.timeout(1800)]

RELEASE = "trixie"

VOLATILE = (
    # what each installation writes anew, or what the image's flavours and the two ways of building leave on purpose
    "boot/",
    # layers hold no device nodes, and devtmpfs brings them when the image boots
    "dev/",
    "etc/",
    "home/",
    "lib/modules/",
    "root/",
    "run/",
    "tmp/",
    "usr/lib/modules/",
    "usr/lib/imagewright/",
    "usr/share/doc/",
    "usr/share/locale/",
    "usr/share/man/",
    "var/cache/",
    "var/lib/",
    "var/log/",
)
"""Paths that are compared by owner and mode only where both trees have them."""

OF_THE_HOST = ("dev/", "etc/hostname", "etc/resolv.conf", "run/", "tmp/")
"""Paths that say nothing about a tree: empty at boot, or copied by mmdebstrap from the host with the host's mode."""


AGENT = "acme-agent"
"""A package that comes from a private repository alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The image of this run; ``acme`` is the private repository that one of its packages came from."""

    folder: Path
    manifest: dict[str, object]
    tree: TarView
    log: str
    acme: AptRepository
    cache: Path
    options: tuple[str | Path, ...]
    environment: dict[str, str]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("debian")
    cache = request.config.cache.mkdir("imagewright") / "cache"
    agent = {AGENT: {"usr/share/acme/agent": "an agent\n"}}
    with apt_repository(folder / "acme", agent) as acme, ImageKit.open(folder / "kit", shared=cache.parent) as kit:
        key, login, log = folder / "acme.asc", folder / "acme.login", folder / "demo.log"
        key.write_bytes(acme.key)
        login.write_text(acme.netrc)
        options = (
            "--release", RELEASE, "debian", "vm",
            "-p", AGENT, "--repository", acme.option, "--repository-key", key, "--repository-login", login,
        )  # fmt: skip
        environment = {
            "no_proxy": "127.0.0.1",
            "IMAGEWRIGHT_CACHE_DIR": str(cache),
            "http_proxy": os.environ.get("http_proxy", ""),
            "https_proxy": os.environ.get("https_proxy", ""),
            "IMAGEWRIGHT_MIRROR": os.environ.get("IMAGEWRIGHT_MIRROR", ""),
        }
        kit.command(
            "disk-image-create", "-o", "demo", "-t", "raw,qcow2,tar", *options, "--log-file", log, **environment
        )
        manifest = json.loads((kit.output / "demo.manifest.json").read_text())
        tree = TarView(kit.output / "demo.tar")
        yield Image(
            folder=kit.output,
            manifest=manifest,
            tree=tree,
            log=log.read_text(),
            acme=acme,
            cache=cache,
            options=options,
            environment=environment,
        )


def test_the_filesystem_and_the_partition_table_are_clean(image: Image, tmp_path: Path) -> None:
    assert_clean(image.folder / "demo.raw", tmp_path)
    assert run("qemu-img", "check", image.folder / "demo.qcow2").returncode == 0


def test_the_manifest_names_the_kernel_and_the_packages(image: Image) -> None:
    names = {package["name"] for package in image.manifest["packages"]}
    assert {"apt", "systemd", "openssh-server", "cloud-init", "linux-image-amd64"} <= names
    assert str(image.manifest["kernel"]).endswith("amd64")
    assert [flavour["name"] for flavour in image.manifest["plan"]["flavours"]].count("debian") == 1


def test_the_image_is_a_blank_slate(image: Image) -> None:
    tree = image.tree
    assert "ssh-host-keys" in image.manifest["blank_slate"]["checked"]
    assert image.manifest["blank_slate"]["allowed"] == []
    assert not [name for name in tree.listing("etc/ssh") if name.startswith("ssh_host_")]
    machine_id = tree.find("etc/machine-id", follow=True)
    assert machine_id is None or tree.read("etc/machine-id").strip() in ("", "uninitialized")
    host = Path("/etc/resolv.conf").read_bytes()
    resolv = tree.find("etc/resolv.conf", follow=True)
    assert resolv is None or tree.read_bytes("etc/resolv.conf") != host or not host.strip()
    for line in tree.read("etc/shadow").splitlines():
        password = line.split(":")[1]
        assert password[:1] in ("*", "!"), line.split(":")[0]


def test_nothing_of_the_builder_is_in_the_image(image: Image) -> None:
    words = [str(image.folder).encode(), os.uname().nodename.encode()]
    words += [os.environ[name].encode() for name in ("http_proxy", "https_proxy") if os.environ.get(name)]
    with tarfile.open(image.folder / "demo.tar") as archive:
        for member in archive:
            if member.isfile() and member.size < 2**20 and "/etc/" in f"/{member.name}":
                stream = archive.extractfile(member)
                content = stream.read() if stream else b""
                found = [word for word in words if len(word) > 6 and word in content]
                assert not found, f"{member.name} holds {found}"


UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
DEVICE = re.compile(r"/dev/(?:sd|vd|xvd|hd|nvme|mmcblk|loop|mapper/|dm-)[a-z0-9-]*")


def boot_files(tree: TarView) -> dict[str, str]:
    """The text files by which the image finds its filesystems."""
    names = [f"boot/grub/{name}" for name in tree.listing("boot/grub") if name.endswith(".cfg")]
    names += ["etc/fstab", "etc/default/grub"]
    names += [f"etc/default/grub.d/{name}" for name in tree.listing("etc/default/grub.d")]
    return {name: tree.read(name) for name in names}


def command_lines(tree: TarView) -> list[str]:
    """The kernel's command lines, with every UUID called the same."""
    lines = [line.split() for line in tree.read("boot/grub/grub.cfg").splitlines()]
    return [UUID.sub("UUID", " ".join(words[2:])) for words in lines if words and words[0] == "linux"]


def test_every_disk_that_the_boot_files_name_is_the_images_own(image: Image) -> None:
    disk = image.manifest["disk"]
    own = {disk["root"]["uuid"], *(partition["uuid"] for partition in disk["partitions"])}
    named = {name: {one.lower() for one in UUID.findall(text)} for name, text in boot_files(image.tree).items()}
    assert named["boot/grub/grub.cfg"]
    assert named["etc/fstab"]
    assert set().union(*named.values()) <= own, named
    assert not {name: found for name, text in boot_files(image.tree).items() if (found := DEVICE.findall(text))}


def test_a_package_of_a_private_repository_is_in_the_image_and_its_key_and_login_are_nowhere(image: Image) -> None:
    assert image.tree.read("usr/share/acme/agent") == "an agent\n"
    # the archive itself may lie in the cache of an earlier run, and no other repository has it
    assert "/debian/dists/private/InRelease" in image.acme.served
    login, password = image.acme.login, image.acme.login.partition(":")[2]
    basic = base64.b64encode(login.encode()).decode()
    lines = image.acme.key.decode().splitlines()
    words = [word.encode() for word in (password, basic, lines[len(lines) // 2])]
    address = image.acme.address.partition("://")[2].partition("/")[0].encode()
    found = []
    with tarfile.open(image.folder / "demo.tar") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            content = stream.read() if stream else b""
            if any(word in content for word in (*words, address)):
                found.append(member.name)
    assert not found
    manifest = (image.folder / "demo.manifest.json").read_bytes()
    assert not [word for word in words if word in manifest or word in image.log.encode()]
    assert address.decode() in manifest.decode()


def test_the_disk_holds_the_tree_of_the_archive(image: Image) -> None:
    disk = DiskView(image.folder / "demo.raw")
    for path in ("usr/bin/passwd", "etc/shadow", "tmp", "var/mail", "usr/bin/ping"):
        node = image.tree.find(path)
        if node is not None and node.kind != "link":
            assert (disk.mode(path), disk.owner(path)) == (node.mode, (node.uid, node.gid)), path


def comparable(node: Node) -> tuple[str, int, int, int, bytes]:
    return node.kind, node.mode, node.uid, node.gid, node.attributes.get("security.capability", b"")


@pytest.mark.skipif(os.getuid() != 0, reason="apt makes a tree as root only for root")
@pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="the host has no mmdebstrap")
def test_owners_modes_and_capabilities_are_those_of_a_tree_that_apt_made_as_root(image: Image, tmp_path: Path) -> None:
    packages = image.manifest["packages"]
    # the same packages in the same versions, so that only the way of building differs
    here = [package for package in packages if "linux-" not in package["name"] and package["name"] != AGENT]
    wanted = ",".join(sorted({f"{package['name']}={package['version']}" for package in here}))
    archive = tmp_path / "reference.tar"
    argv = ["mmdebstrap", "--mode=root", "--variant=essential", f"--include={wanted}", RELEASE, str(archive)]
    mirror = os.environ.get("IMAGEWRIGHT_MIRROR")
    done = subprocess.run([*argv, mirror] if mirror else argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    reference = TarView(archive)
    ours, theirs = set(image.tree.entries()), set(reference.entries())
    missing = [path for path in sorted(theirs - ours) if not path.startswith(VOLATILE)]
    assert not missing, missing[:20]
    different = []
    for path in sorted(ours & theirs):
        one, other = image.tree.get(path), reference.get(path)
        if path.startswith(OF_THE_HOST) or one.kind == other.kind == "link":
            continue
        if comparable(one) != comparable(other):
            different.append(f"{path}: {comparable(one)} and by apt {comparable(other)}")
    sys.stderr.write("".join(f"{line}\n" for line in different))
    assert not different, different[:20]
    setuid = {path for path in theirs if reference.get(path).mode & 0o6000 and reference.get(path).kind == "file"}
    assert setuid, "the reference has no setuid file, which proves nothing"
    assert setuid <= ours


def told_apart(one: TarView, other: TarView) -> list[str]:
    """Paths that two trees do not both have alike, whatever their times; UUIDs and versions follow from the plan."""
    ours, theirs = set(one.entries()), set(other.entries())
    found = [f"{path}: in one tree alone" for path in sorted(ours ^ theirs)]
    for path in sorted(ours & theirs):
        here, there = one.get(path), other.get(path)
        if (*comparable(here), here.target, here.attributes) != (*comparable(there), there.target, there.attributes):
            found.append(f"{path}: {here} and {there}")
        elif here.kind == "file" and of_any_plan(one.read_bytes(path)) != of_any_plan(other.read_bytes(path)):
            found.append(f"{path}: the content differs")
    return found


def of_any_plan(content: bytes) -> bytes:
    if len(content) > 2**16:
        return content
    text = UUID.sub("UUID", content.decode("latin-1"))
    return re.sub(r"^IMAGE_VERSION=.*$", "", text, flags=re.MULTILINE).encode("latin-1")


def test_the_tree_is_the_one_that_dpkg_unpacks_from_the_archives(image: Image, tmp_path: Path) -> None:
    """Paths, modes, owners, links, contents and dpkg's database, with packages that the cache holds by now."""
    with ImageKit.open(tmp_path / "kit", shared=image.cache.parent) as kit:
        kit.command(
            "disk-image-create", "-o", "demo", "-t", "tar", *image.options, "--set", "debian.unpack=plain",
            **{**image.environment, "IMAGEWRIGHT_WORK_DIR": str(kit.work)},
        )  # fmt: skip
        plain = TarView(kit.output / "demo.tar")
        assert "var/lib/dpkg/status" in plain.entries()
        assert len([path for path in plain.entries() if path.startswith("var/lib/dpkg/info/")]) > 500
        assert told_apart(image.tree, plain) == []


def test_the_initramfs_is_kept_where_nothing_that_it_is_made_of_has_changed(image: Image, tmp_path: Path) -> None:
    with ImageKit.open(tmp_path / "kit", shared=image.cache.parent) as kit:
        kit.flavour("greeting", {"install.d/99-greeting": "#!/bin/sh\nset -eu\necho Welcome >/etc/motd\n"})
        log = tmp_path / "demo.log"
        kit.command(
            "disk-image-create", "-o", "demo", "-t", "tar", *image.options, "greeting", "--flavour-path", kit.flavours,
            "--log-file", log, **{**image.environment, "IMAGEWRIGHT_WORK_DIR": str(kit.work)},
        )  # fmt: skip
        greeting = TarView(kit.output / "demo.tar")
        assert "kept: nothing that it read has changed" in log.read_text()
        assert greeting.read("etc/motd") == "Welcome\n"
        initrd = f"boot/initrd.img-{image.manifest['kernel']}"
        assert greeting.read_bytes(initrd) == image.tree.read_bytes(initrd)
        # the filesystem is this image's own all the same
        (root,) = UUID.findall(greeting.read("etc/fstab"))
        assert root in greeting.read("boot/grub/grub.cfg")
        assert root not in image.tree.read("etc/fstab")


def test_another_image_starts_from_this_one(image: Image, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """`ubuntu` and `cloud-image` read a partitioned qcow2 without root and go on from it with the tree's own apt."""
    cache = request.config.cache.mkdir("imagewright") / "cache"
    with ImageKit.open(tmp_path / "kit", shared=cache.parent) as kit:
        kit.command(
            "disk-image-create", "-o", "again", "-t", "tar", "-p", "hello",
            "--base-image-file", image.folder / "demo.qcow2", "--operating-system", "cloud-image", "vm",
            IMAGEWRIGHT_CACHE_DIR=str(cache), IMAGEWRIGHT_WORK_DIR=str(kit.work),
            http_proxy=os.environ.get("http_proxy", ""), https_proxy=os.environ.get("https_proxy", ""),
            IMAGEWRIGHT_MIRROR=os.environ.get("IMAGEWRIGHT_MIRROR", ""),
        )  # fmt: skip
        again = TarView(kit.output / "again.tar")
        manifest = json.loads((kit.output / "again.manifest.json").read_text())
        assert {package["name"] for package in manifest["packages"]} >= {"hello", "systemd", "linux-image-amd64"}
        assert again.find("usr/bin/hello") is not None
        assert manifest["facts"]["base image from"].endswith("demo.qcow2")
        assert manifest["kernel"] == image.manifest["kernel"]
        # what packages brought is to the byte what it was, whoever owns it and whatever it may do
        ours = [path for path in image.tree.entries() if path.startswith(("usr/bin/", "usr/sbin/", "usr/lib/systemd/"))]
        assert len(ours) > 500
        different = [path for path in ours if comparable(image.tree.get(path)) != comparable(again.get(path))]
        assert not different, different[:20]
        for path in ("usr/bin/bash", "usr/lib/systemd/systemd"):
            assert image.tree.read_bytes(path) == again.read_bytes(path)
        assert again.read("etc/machine-id") == ""
        # an image made from an image starts in the same way, so that one made from that would too
        assert command_lines(again) == command_lines(image.tree) != []
        assert again.read("etc/default/grub") == image.tree.read("etc/default/grub")
        table = [line for line in again.read("etc/fstab").splitlines() if not line.startswith("#")]
        assert [line.split()[1] for line in table].count("/") == 1
