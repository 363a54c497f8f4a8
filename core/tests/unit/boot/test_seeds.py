from __future__ import annotations

import io
import json
from pathlib import Path

import pycdlib
from imagewright.boot.instance import Instance, new_instance_id
from imagewright.boot.seeds import write_config_drive, write_iso, write_nocloud

INSTANCE = Instance(id="i-1", hostname="web-1", public_keys=('ssh-ed25519 AAAA "quoted": comment', "ssh-rsa BBBB two"))


def read(path: Path) -> tuple[str, dict[str, str]]:
    """The label and the files, by Rock Ridge names; Joliet's have to be the same."""
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    label = iso.pvd.volume_identifier.decode().rstrip()
    found: dict[str, dict[str, str]] = {}
    for kind in ("rr_path", "joliet_path"):
        files = found.setdefault(kind, {})
        for folder, _, names in iso.walk(**{kind: "/"}):
            for name in names:
                full = f"{folder.rstrip('/')}/{name}"
                content = io.BytesIO()
                iso.get_file_from_iso_fp(content, **{kind: full})
                files[full.lstrip("/")] = content.getvalue().decode()
    iso.close()
    assert found["rr_path"] == found["joliet_path"]
    return label, found["rr_path"]


def test_a_nocloud_seed_has_cloud_inits_label_and_files(tmp_path: Path) -> None:
    label, files = read(write_nocloud(tmp_path / "seed.iso", INSTANCE))
    assert label == "cidata"
    assert set(files) == {"meta-data", "user-data"}
    assert json.loads(files["meta-data"]) == {
        "instance-id": "i-1",
        "local-hostname": "web-1",
        "public-keys": list(INSTANCE.public_keys),
    }
    assert files["user-data"].startswith("#cloud-config\n")


def test_user_data_is_handed_on_as_it_is(tmp_path: Path) -> None:
    instance = Instance(id="i-1", user_data="#!/bin/sh\necho hi\n")
    assert read(write_nocloud(tmp_path / "a", instance))[1]["user-data"] == instance.user_data
    assert read(write_config_drive(tmp_path / "b", instance))[1]["openstack/latest/user_data"] == instance.user_data


def test_a_config_drive_has_openstacks_layout(tmp_path: Path) -> None:
    path = write_config_drive(tmp_path / "drive.iso", INSTANCE, mac_address="52:54:00:00:00:01")
    label, files = read(path)
    assert label == "config-2"
    assert set(files) == {"openstack/latest/meta_data.json", "openstack/latest/network_data.json"}
    meta_data = json.loads(files["openstack/latest/meta_data.json"])
    assert meta_data["uuid"] == "i-1"
    assert meta_data["hostname"] == "web-1"
    assert list(meta_data["public_keys"].values()) == list(INSTANCE.public_keys)
    network = json.loads(files["openstack/latest/network_data.json"])
    assert network["networks"][0]["link"] == network["links"][0]["id"]
    assert network["links"][0]["ethernet_mac_address"] == "52:54:00:00:00:01"


def test_names_of_any_depth_and_length_are_kept(tmp_path: Path) -> None:
    wanted = {f"a/{'long-' * 9}{number}/b/file.json": str(number) for number in range(30)} | {"a/x": "", "y": "z"}
    assert read(write_iso(tmp_path / "i.iso", "label", wanted)) == ("label", wanted)


def test_a_seed_appears_by_rename(tmp_path: Path) -> None:
    write_nocloud(tmp_path / "seed.iso", INSTANCE)
    assert [path.name for path in tmp_path.iterdir()] == ["seed.iso"]


def test_every_instance_id_is_new() -> None:
    assert len({new_instance_id() for _ in range(50)}) == 50
