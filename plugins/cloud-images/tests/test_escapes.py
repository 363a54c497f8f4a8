"""Nothing of an image leads out of its tree, and what cannot be kept is named."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from imagewright.testing.kit import ImageKit

from .building import build, extended, fails

# -- nothing leads out of the tree


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
    assert "the extended attribute trusted.secret: srv/trusted" in built.manifest["facts"]["base image not kept"]
    assert "not kept: the extended attribute trusted.secret: srv/trusted" in built.log
    assert (built.owner("srv/far"), built.mode("srv/far")) == ((65534, 65534), 0o755)
    assert built.tree.get("srv/user").attributes["user.colour"] == b"\xff\x00blue"
