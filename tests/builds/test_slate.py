"""What a build looks for in the finished tree: ties to one machine, open accounts, the newest kernel."""

from __future__ import annotations

from pathlib import Path

from imagewright.errors import StepFailed
from imagewright.testing.kit import ImageKit


def step(text: str) -> dict[str, str]:
    return {"cleanup.d/90-do": f'#!/bin/sh\nset -eu\ncd "$TARGET_ROOT"\n{text}\n'}


def test_a_host_key_behind_an_absolute_link_ties_the_image(image_kit: ImageKit) -> None:
    image_kit.flavour("tied", step("mkdir -p opt/ssh\necho secret >opt/ssh/ssh_host_rsa_key\nln -s /opt/ssh etc/ssh"))
    image_kit.fails("tied", kind=StepFailed, match="/etc/ssh/ssh_host_rsa_key is a host key")


def test_what_the_host_has_behind_an_absolute_link_is_not_the_images(image_kit: ImageKit, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "ssh_host_rsa_key").write_text("the host's")
    (tmp_path / "shadow").write_text("stranger::1::::::\n")
    image_kit.flavour("led-astray", step(f"ln -s {tmp_path} etc/ssh\nln -sf {tmp_path}/shadow etc/shadow"))
    built = image_kit.build("led-astray")
    assert "stranger" not in built.log


def test_an_open_account_behind_an_absolute_link_is_said(image_kit: ImageKit) -> None:
    image_kit.flavour(
        "open", step("mkdir -p opt\nprintf 'gu\\377st::1::::::\\n' >opt/shadow\nln -sf /opt/shadow etc/shadow")
    )
    assert "logs in without a password" in image_kit.build("open").log


def test_a_release_candidate_is_older_than_its_release(image_kit: ImageKit) -> None:
    image_kit.flavour(
        "kernels", step("mkdir -p lib/modules/6.8.0-rc3-amd64 lib/modules/6.8.0-amd64 lib/modules/6.7.12-amd64")
    )
    assert image_kit.build("kernels").manifest["kernel"] == "6.8.0-amd64"
