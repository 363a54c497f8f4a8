"""Whole builds from small images: a toy tree in every kind of image that is read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from imagewright.errors import ContractError, HostError, StepFailed, UsageError
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit

from .conftest import CAPABILITY, NAME, Cloud, add

MAIL = b"\0" * 3_000_000 + b"end"


def build(kit: ImageKit, image: Path | str = "", *flavours: str, **options: object) -> Built:
    # files newer than the packages get the packages' date
    options.setdefault("environment", {"SOURCE_DATE_EPOCH": "1700000000"})
    options.setdefault("skip_base", True)
    options.setdefault("operating_system", "cloud-image")
    return kit.build(*flavours, base_image_file=str(image), fresh=True, **options)


def fails(kit: ImageKit, image: Path | str, match: str, kind: type[Exception] = StepFailed, **options: object) -> str:
    options.setdefault("skip_base", True)
    options.setdefault("operating_system", "cloud-image")
    return str(kit.fails(base_image_file=str(image), fresh=True, match=match, kind=kind, **options))


def assert_kept(built: Built) -> None:
    """Everything that an image says of its files is in the tree."""
    assert built.mode("usr/bin/su") == 0o4755
    assert built.owner("etc/shadow") == (0, 42)
    assert (built.mode("var/mail"), built.owner("var/mail")) == (0o2775, (0, 8))
    assert built.owner("var/mail/ann") == (1000, 8)
    assert built.mode("tmp") == 0o1777
    assert built.tree.get("usr/bin/ping").attributes["security.capability"] == CAPABILITY
    assert built.link("bin") == "usr/bin"
    with tarfile.open(built.path("tar")) as archive:
        by_name = {info.name.removeprefix("./"): info for info in archive}
        assert by_name["usr/bin/ping"].mtime == 1_600_000_000
        pair = {by_name[name].islnk() for name in ("usr/bin/su", "usr/bin/su-again")}
        assert pair == {True, False}, "a hard link became a file of its own"
        stream = archive.extractfile(by_name["var/mail/ann"])
        assert stream is not None
        assert stream.read() == MAIL


@pytest.fixture
def built(image_kit: ImageKit, toy_file: Path) -> Built:
    return build(image_kit, toy_file)


# -- kinds of images


def test_a_plain_tar_is_kept_as_it_is(built: Built) -> None:
    assert_kept(built)
    assert "not kept: device nodes, which a running machine makes itself: dev/null" in built.log


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    # two frames, as a parallel compressor writes them
    "zst": lambda data: b"".join(zstandard.compress(part) for part in (data[:50_000], data[50_000:])),
}


@pytest.mark.parametrize("kind", PACKERS)
def test_compressed_tars_are_read(image_kit: ImageKit, toy_tree: bytes, tmp_path: Path, kind: str) -> None:
    # the name says nothing: the content does
    image = tmp_path / "image"
    image.write_bytes(PACKERS[kind](toy_tree))
    assert_kept(build(image_kit, image))


@pytest.mark.parametrize("kind", PACKERS)
def test_a_compressed_tar_that_is_cut_off_is_refused(
    image_kit: ImageKit, toy_tree: bytes, tmp_path: Path, kind: str
) -> None:
    image = tmp_path / "image"
    image.write_bytes(PACKERS[kind](toy_tree)[:-6])
    fails(image_kit, image, "the base image cannot be read")


def test_a_tar_that_is_cut_off_is_refused(image_kit: ImageKit, toy_tree: bytes, tmp_path: Path) -> None:
    image = tmp_path / "image.tar"
    image.write_bytes(toy_tree[: len(toy_tree) // 2])
    fails(image_kit, image, "the base image cannot be read: the archive")


@pytest.fixture
def toy_folder(toy_tree: bytes, tmp_path: Path) -> Path:
    """The tree unpacked, by the host's tar as root."""
    if os.getuid() != 0:
        pytest.skip("only root can lay the tree down with its owners")
    folder = tmp_path / "tree"
    folder.mkdir()
    argv = ["tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-p", "-C", str(folder)]
    subprocess.run(argv, input=toy_tree, check=True)
    return folder


def run(*argv: object) -> None:
    subprocess.run([str(word) for word in argv], check=True, capture_output=True)


def test_a_squashfs_is_read(image_kit: ImageKit, toy_folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.squashfs"
    run("mksquashfs", toy_folder, image, "-comp", "zstd", "-no-progress")
    built = build(image_kit, image)
    assert_kept(built)
    assert "device nodes" in built.log


def ext4(folder: Path, image: Path, *options: str) -> Path:
    run("mke2fs", "-q", "-t", "ext4", "-d", folder, *options, image, "96M")
    return image


@pytest.mark.parametrize("options", [(), ("-I", "128"), ("-b", "1024")], ids=["plain", "small-inodes", "small-blocks"])
def test_ext4_without_a_partition_table_is_read(
    image_kit: ImageKit, toy_folder: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert_kept(build(image_kit, ext4(toy_folder, tmp_path / "image.raw", *options)))


def partitioned(parts: list[Path], image: Path) -> Path:
    """A GPT disk with these filesystems."""
    sizes = [part.stat().st_size // 2**20 for part in parts]
    with image.open("wb") as disk:
        disk.truncate((sum(sizes) + 4) * 2**20)
    table = "label: gpt\n" + "".join(f"size={size}MiB\n" for size in sizes)
    subprocess.run(["sfdisk", "-q", str(image)], input=table, text=True, check=True, capture_output=True)
    at = 1
    for part, size in zip(parts, sizes, strict=True):
        run("dd", f"if={part}", f"of={image}", "bs=1M", f"seek={at}", "conv=notrunc,sparse")
        at += size
    return image


def test_a_qcow2_with_a_boot_partition_of_its_own_becomes_one_tree(
    image_kit: ImageKit, toy_folder: Path, tmp_path: Path
) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    (boot / "vmlinuz-6.1").write_bytes(b"a kernel")
    (boot / "grub").mkdir()
    (boot / "grub" / "grub.cfg").write_text("of the other disk")
    (toy_folder / "boot").mkdir(exist_ok=True)
    with (toy_folder / "etc/fstab").open("a") as table:
        table.write("LABEL=BOOT /boot ext4 defaults 0 2\n")
    esp = tmp_path / "esp"
    run("mkfs.vfat", "-C", "-n", "UEFI", esp, "8192")
    parts = [ext4(boot, tmp_path / "b", "-L", "BOOT"), esp, ext4(toy_folder, tmp_path / "r")]
    raw = partitioned(parts, tmp_path / "disk.raw")
    image = tmp_path / "disk.qcow2"
    run("qemu-img", "convert", "-c", "-O", "qcow2", raw, image)
    built = build(image_kit, image)
    assert_kept(built)
    assert built.read("boot/vmlinuz-6.1") == "a kernel"
    assert not built.exists("boot/grub/grub.cfg")
    assert not built.exists("lost+found")
    assert built.read("etc/fstab").splitlines()[1:] == ["tmpfs /scratch tmpfs defaults 0 0"]
    assert "not kept: /boot/efi lies on a filesystem of its own (LABEL=UEFI), which is not read" in built.log
    assert "the image has a kernel: /boot/vmlinuz-6.1" in built.log


def test_btrfs_is_read(image_kit: ImageKit, toy_folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    with image.open("wb") as file:
        file.truncate(256 * 2**20)
    run("mkfs.btrfs", "-q", "--rootdir", toy_folder, image)
    built = build(image_kit, image)
    assert built.mode("usr/bin/su") == 0o4755
    assert built.owner("var/mail/ann") == (1000, 8)
    assert built.tree.get("usr/bin/ping").attributes["security.capability"] == CAPABILITY


def test_a_qcow2_that_is_only_a_difference_is_refused(image_kit: ImageKit, toy_folder: Path, tmp_path: Path) -> None:
    """Its other half could be any file of the host."""
    backing = ext4(toy_folder, tmp_path / "backing.raw")
    image = tmp_path / "image.qcow2"
    run("qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", backing, image)
    text = fails(image_kit, image, "cannot be read")
    assert "only the difference" in text or "cannot be opened" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"<html>" * 100, "neither a partition table nor a filesystem"), (b"hsqs" + bytes(200), "squash")],
    ids=["empty", "page", "squashfs"],
)
def test_what_is_no_image_is_refused(image_kit: ImageKit, tmp_path: Path, content: bytes, said: str) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    fails(image_kit, image, said)


def archive(path: Path, *members: dict[str, object]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as made:
        for member in members:
            add(made, **member)  # type: ignore[arg-type]
    return path


def test_an_archive_without_a_system_is_refused(image_kit: ImageKit, tmp_path: Path) -> None:
    image = archive(tmp_path / "image.tar", {"name": "disk.raw", "content": "a disk in an archive"})
    fails(image_kit, image, "holds no operating system")


def test_a_system_without_apt_is_refused(image_kit: ImageKit, tmp_path: Path) -> None:
    image = archive(tmp_path / "image.tar", {"name": "etc/os-release", "content": "ID=fedora\n"})
    fails(image_kit, image, "whose packages apt does not handle")


# -- nothing leads out of the tree


def extended(toy_tree: bytes, path: Path, *members: dict[str, object]) -> Path:
    """The toy tree with more members behind its own."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(toy_tree)) as source,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):
        for info in source:
            made.addfile(info, source.extractfile(info) if info.isreg() else None)
        for member in members:
            add(made, **member)  # type: ignore[arg-type]
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize("name", ["../escaped", "etc/../../escaped", "/../escaped"])
def test_a_name_that_leads_upwards_is_refused(image_kit: ImageKit, toy_tree: bytes, tmp_path: Path, name: str) -> None:
    image = extended(toy_tree, tmp_path / "image.tar", {"name": name, "content": "out"})
    fails(image_kit, image, "leads out of the tree")
    assert not list(tmp_path.rglob("escaped"))


def test_absolute_names_and_links_stay_in_the_tree(image_kit: ImageKit, toy_tree: bytes, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    image = extended(
        toy_tree,
        tmp_path / "image.tar",
        {"name": "/srv/absolute", "content": "1"},
        {"name": f"{outside}/absolute", "content": "1"},
        {"name": "way", "kind": tarfile.SYMTYPE, "target": str(outside)},
        {"name": "way/through-a-link", "content": "2"},
        {"name": "up", "kind": tarfile.SYMTYPE, "target": "../../../../../../../../" + str(outside)},
        {"name": "up/through-another", "content": "3"},
        {"name": "etc/target", "kind": tarfile.SYMTYPE, "target": f"{outside}/written"},
        {"name": "etc/target", "content": "4"},
    )
    built = build(image_kit, image)
    assert list(outside.iterdir()) == []
    assert built.read("srv/absolute") == "1"
    assert built.read("etc/target") == "4"


@pytest.mark.parametrize("target", ["etc/absent", "/etc/hosts.of.the.host", "etc"])
def test_a_hard_link_to_what_is_not_in_the_image_is_refused(
    image_kit: ImageKit, toy_tree: bytes, tmp_path: Path, target: str
) -> None:
    member = {"name": "etc/stolen", "kind": tarfile.LNKTYPE, "target": target}
    fails(image_kit, extended(toy_tree, tmp_path / "image.tar", member), "is a hard link to")


def test_a_hard_link_that_leads_upwards_is_refused(image_kit: ImageKit, toy_tree: bytes, tmp_path: Path) -> None:
    member = {"name": "etc/stolen", "kind": tarfile.LNKTYPE, "target": "../../etc/shadow"}
    fails(image_kit, extended(toy_tree, tmp_path / "image.tar", member), "leads out of the tree")


def test_what_cannot_be_kept_is_named(image_kit: ImageKit, toy_tree: bytes, tmp_path: Path) -> None:
    image = extended(
        toy_tree,
        tmp_path / "image.tar",
        {"name": "srv/far", "content": "x", "mode": 0o4755, "owner": (4_000_000, 4_000_000)},
        {"name": "srv/trusted", "content": "x", "attributes": {"trusted.secret": b"v"}},
        {"name": "srv/user", "content": "x", "attributes": {"user.colour": b"\xff\x00blue"}},
        {"name": "srv/pipe", "kind": tarfile.FIFOTYPE},
    )
    built = build(image_kit, image)
    assert "not kept: owners with ids above" in built.log
    assert "not kept: the extended attribute trusted.secret: srv/trusted" in built.log
    assert (built.owner("srv/far"), built.mode("srv/far")) == ((65534, 65534), 0o755)
    assert built.tree.get("srv/user").attributes["user.colour"] == b"\xff\x00blue"


# -- a blank slate


def test_what_ties_the_image_to_a_machine_is_taken_away(built: Built) -> None:
    assert built.read("etc/machine-id") == ""
    assert not built.exists("etc/ssh/ssh_host_ed25519_key")
    assert not built.exists("var/lib/cloud/instance/id")
    assert built.read("etc/hostname") == "localhost\n"
    assert "taken away: /etc/ssh/ssh_host_ed25519_key" in built.log


def test_no_password_of_the_image_works(built: Built) -> None:
    assert built.read("etc/shadow") == "root:*:1:0:9:7:::\ntester:!*:1:0:9:7:::\n"
    assert (built.mode("etc/shadow"), built.owner("etc/shadow")) == (0o640, (0, 42))


def test_the_root_filesystem_of_fstab_is_the_new_one(built: Built) -> None:
    lines = built.read("etc/fstab").splitlines()
    assert lines[0].startswith("UUID=")
    assert lines[1:] == ["tmpfs /scratch tmpfs defaults 0 0"]


# -- kernel and sources


def test_an_image_without_a_kernel_gets_its_distributions(built: Built) -> None:
    assert "the image has no kernel; installing linux-image-generic" in built.log
    assert built.read("boot/vmlinuz-6.99") == "kernel\n"
    assert built.manifest["facts"]["kernel"] == "6.99"


def test_the_kernels_package_may_be_named_or_left_out(image_kit: ImageKit, toy_file: Path) -> None:
    named = build(image_kit, toy_file, settings={"cloud-image.kernel-package": "linux-image-virtual"})
    assert "installing linux-image-virtual" in named.log
    without = build(image_kit, toy_file, settings={"cloud-image.kernel-package": "none"}, output="without")
    assert not without.exists("boot/vmlinuz-6.99")


def test_the_images_own_sources_stay_where_no_mirror_is_named(built: Built) -> None:
    assert "URIs: http://archive.example/ubuntu/\n" in built.read("etc/apt/sources.list.d/ubuntu.sources")


def test_a_mirror_takes_the_place_of_the_images_own(image_kit: ImageKit, toy_file: Path) -> None:
    built = build(image_kit, toy_file, mirror="http://mirror.example/ubuntu")
    text = built.read("etc/apt/sources.list.d/ubuntu.sources")
    assert text.count("URIs: http://mirror.example/ubuntu\n") == 2
    assert "archive.example" not in text


def test_the_images_mirror_takes_the_place_of_the_one_built_from(image_kit: ImageKit, toy_file: Path) -> None:
    built = build(
        image_kit,
        toy_file,
        mirror="http://ann:hush@in.example/ubuntu/",
        image_mirror="http://out.example/ubuntu",
    )
    text = built.read("etc/apt/sources.list.d/ubuntu.sources")
    assert text.count("URIs: http://out.example/ubuntu\n") == 2
    assert "in.example" not in text


def test_a_login_of_the_mirror_stays_out_of_the_image(image_kit: ImageKit, toy_file: Path) -> None:
    built = build(image_kit, toy_file, mirror="http://ann:hush@in.example/ubuntu")
    assert "URIs: http://in.example/ubuntu\n" in built.read("etc/apt/sources.list.d/ubuntu.sources")


# -- ubuntu, from a server


@pytest.fixture
def ubuntu(cloud: Cloud, toy_tree: bytes) -> Cloud:
    cloud.publish(lzma.compress(toy_tree))
    return cloud


def from_server(kit: ImageKit, cloud: Cloud, *flavours: str, **options: object) -> Built:
    settings = {"ubuntu.base-image-keyring": str(cloud.key.keyring)}
    return build(
        kit,
        str(options.pop("image", "")),
        *flavours,
        operating_system="ubuntu",
        cloud_images=cloud.server.address + "/",
        settings=settings,
        **options,
    )


def test_ubuntu_is_built_from_the_servers_newest_root_tree(image_kit: ImageKit, ubuntu: Cloud) -> None:
    built = from_server(image_kit, ubuntu)
    assert_kept(built)
    facts = built.manifest["facts"]
    assert facts["base image"] == f"sha256:{ubuntu.digest}"
    assert facts["base image from"] == f"{ubuntu.folder}/{NAME}"
    assert facts["base image signed by"] == ubuntu.key.fingerprint
    assert built.manifest["plan"]["release"] == "resolute"


def test_keys_of_metadata_go_to_the_user_ubuntu(image_kit: ImageKit, ubuntu: Cloud) -> None:
    text = from_server(image_kit, ubuntu).read("etc/cloud/cloud.cfg.d/95-imagewright-user.cfg")
    assert "    name: ubuntu\n" in text
    assert "users: [default]\n" in text


def test_a_new_image_of_the_server_makes_a_new_tree(
    image_kit: ImageKit, ubuntu: Cloud, toy_tree: bytes, tmp_path: Path
) -> None:
    old = from_server(image_kit, ubuntu)
    newer = extended(toy_tree, tmp_path / "newer.tar", {"name": "etc/newer", "content": "yes"}).read_bytes()
    ubuntu.publish(lzma.compress(newer))
    new = from_server(image_kit, ubuntu, output="new")
    assert not old.exists("etc/newer")
    assert new.read("etc/newer") == "yes"
    again = from_server(image_kit, ubuntu, output="again", offline=True)
    assert again.read("etc/newer") == "yes"
    assert ubuntu.server.count(NAME) == 2


def test_another_file_of_the_server_may_be_named(image_kit: ImageKit, ubuntu: Cloud, toy_tree: bytes) -> None:
    ubuntu.publish(toy_tree, "mine.tar")
    assert from_server(image_kit, ubuntu, image="mine.tar").manifest["facts"]["base image from"].endswith("/mine.tar")


def test_a_path_needs_no_server(image_kit: ImageKit, toy_file: Path) -> None:
    built = build(image_kit, toy_file, operating_system="ubuntu")
    assert built.manifest["facts"]["base image signed by"] == "nobody"
    assert "name: ubuntu" in built.read("etc/cloud/cloud.cfg.d/95-imagewright-user.cfg")


def test_an_address_with_a_digest_needs_no_signature(image_kit: ImageKit, ubuntu: Cloud) -> None:
    settings = {"cloud-image.base-image-digest": f"SHA256:{ubuntu.digest.upper()}"}
    built = build(image_kit, f"{ubuntu.folder}/{NAME}", settings=settings)
    assert built.manifest["facts"]["base image"] == f"sha256:{ubuntu.digest}"


def test_a_wrong_signature_leaves_no_image_and_nothing_in_the_cache(image_kit: ImageKit, ubuntu: Cloud) -> None:
    """Ubuntu's own keyring does not hold the key of the test's server."""
    text = fails(
        image_kit,
        "",
        "is not good: the keyring lacks the key",
        operating_system="ubuntu",
        cloud_images=ubuntu.server.address,
    )
    assert "step: extra-data/05-base-image" in text
    assert not list((image_kit.cache / "downloads" / "images").iterdir())


def test_without_a_server_one_message_says_how_to_name_it(image_kit: ImageKit) -> None:
    fails(image_kit, "", "no server of cloud images is named", UsageError, operating_system="ubuntu")


def test_without_an_image_one_message_says_how_to_name_it(image_kit: ImageKit) -> None:
    fails(image_kit, "", "no image to start from is named", UsageError)


def test_a_root_step_without_its_fetching_step_is_named(image_kit: ImageKit, toy_file: Path) -> None:
    skips = ("cloud-image:extra-data/05-base-image",)
    fails(image_kit, toy_file, "needs the fact `base image`", ContractError, skips=skips)


def test_offline_without_a_cache_is_one_clear_message(image_kit: ImageKit, ubuntu: Cloud) -> None:
    fails(
        image_kit,
        "",
        "is not in the cache",
        HostError,
        operating_system="ubuntu",
        cloud_images=ubuntu.server.address,
        offline=True,
    )
