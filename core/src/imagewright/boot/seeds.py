"""Metadata on an ISO image, as NoCloud and OpenStack's config drive have it.

NoCloud: https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html
Config drive: https://docs.openstack.org/nova/latest/user/metadata.html#config-drives
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pycdlib

from imagewright.boot.instance import Instance
from imagewright.boot.metadata import openstack_files

NOCLOUD_LABEL = "cidata"
CONFIG_DRIVE_LABEL = "config-2"


def write_nocloud(path: Path, instance: Instance) -> Path:
    """Write a NoCloud seed to ``path`` and return it."""
    # JSON is YAML too, and quotes whatever a key's comment holds.
    meta_data = {
        "instance-id": instance.id,
        "local-hostname": instance.hostname,
        "public-keys": list(instance.public_keys),
    }
    files = {
        "meta-data": json.dumps(meta_data, indent=1) + "\n",
        "user-data": instance.user_data or "#cloud-config\n{}\n",
    }
    return write_iso(path, NOCLOUD_LABEL, files)


def write_config_drive(path: Path, instance: Instance, *, mac_address: str = "") -> Path:
    """Write an OpenStack config drive to ``path`` and return it; ``mac_address`` as in ``openstack_files``."""
    files = openstack_files(instance, mac_address=mac_address)
    return write_iso(path, CONFIG_DRIVE_LABEL, {f"openstack/latest/{name}": text for name, text in files.items()})


def write_iso(path: Path, label: str, files: Mapping[str, str]) -> Path:
    """Write an ISO 9660 image with Rock Ridge and Joliet names. It appears by rename."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    # ISO 9660's own names are short and in capitals; nobody reads them beside the two other kinds, so they are numbers.
    folders = {"": ""}
    for number, (name, text) in enumerate(sorted(files.items())):
        parts = name.split("/")
        for depth in range(1, len(parts)):
            folder, above = "/".join(parts[:depth]), "/".join(parts[: depth - 1])
            if folder not in folders:
                folders[folder] = f"{folders[above]}/D{len(folders)}"
                iso.add_directory(folders[folder], rr_name=parts[depth - 1], joliet_path=f"/{folder}")
        content = text.encode()
        short = f"{folders['/'.join(parts[:-1])]}/F{number}.;1"
        iso.add_fp(io.BytesIO(content), len(content), short, rr_name=parts[-1], joliet_path=f"/{name}")
    partial = path.with_name(f"{path.name}.partial")
    iso.write(str(partial))
    iso.close()
    partial.rename(path)
    return path
