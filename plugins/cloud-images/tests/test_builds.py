"""Whole builds of the two flavours: a blank slate, kernel, sources, and Ubuntu from a server."""

from __future__ import annotations

import lzma
import tarfile
from pathlib import Path

import pytest
from imagewright.errors import ContractError, HostError, UsageError
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit

from .building import assert_kept, build, extended, fails, without
from .conftest import FOLDER, NAME, Cloud

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


def test_an_image_may_have_dracut_in_place_of_initramfs_tools(
    image_kit: ImageKit, toy_tree: bytes, tmp_path: Path
) -> None:
    """As Ubuntu's newer releases do."""
    script = '#!/bin/sh\necho "dracut $*"\n'
    image = extended(
        without(toy_tree, "usr/sbin/update-initramfs", "etc/initramfs-tools"),
        tmp_path / "image.tar",
        {"name": "usr/bin/dracut", "content": script, "mode": 0o755},
        {"name": "usr/lib/modules/6.99", "kind": tarfile.DIRTYPE, "mode": 0o755},
    )
    built = build(image_kit, image)
    assert "dracut --force --no-hostonly /boot/initrd.img-6.99 6.99" in built.log


def test_a_kernel_without_a_maker_of_its_initramfs_stops_the_build(
    image_kit: ImageKit, toy_tree: bytes, tmp_path: Path
) -> None:
    image = tmp_path / "image.tar"
    image.write_bytes(without(toy_tree, "usr/sbin/update-initramfs", "etc/initramfs-tools"))
    text = fails(image_kit, image, "the script .*50-initramfs failed")
    assert "nothing that makes an initramfs" in text


def test_the_same_image_is_not_unpacked_twice_and_a_new_one_is(
    image_kit: ImageKit, ubuntu: Cloud, toy_tree: bytes, tmp_path: Path
) -> None:
    """The digest is in the key of the tree's layer, wherever the image came from."""
    unpacked = "unpacked "
    assert unpacked in from_server(image_kit, ubuntu).log
    assert unpacked not in from_server(image_kit, ubuntu).log
    path = tmp_path / "same.tar.xz"
    path.write_bytes(ubuntu.server.files[f"{FOLDER}/{NAME}"])
    assert unpacked not in from_server(image_kit, ubuntu, image=str(path)).log
    ubuntu.publish(
        lzma.compress(extended(toy_tree, tmp_path / "n.tar", {"name": "etc/n", "content": "x"}).read_bytes())
    )
    assert unpacked in from_server(image_kit, ubuntu).log
