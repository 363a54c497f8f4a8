from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from imagewright.errors import ImagewrightError
from imagewright.plan import Plan
from imagewright.testing.contract import PackContract
from imagewright.testing.kit import ImageKit
from imagewright.types import Call, Phase
from imagewright_cloud_images.releases import DEFAULT, KEYRING, RELEASES

SOURCES = Path(__file__).parents[1] / "src" / "imagewright_cloud_images" / "scripts" / "sources"


class TestContractOfUbuntu(PackContract):
    flavours = ("ubuntu",)
    operating_system = "ubuntu"


class TestContractOfCloudImage(PackContract):
    flavours = ("cloud-image",)
    operating_system = "cloud-image"


def plan_of(kit: ImageKit, system: str = "ubuntu", **options: Any) -> Plan:
    return kit.plan(operating_system=system, skip_base=True, **options)


def fetched(plan: Plan) -> dict[str, Any]:
    (step,) = plan.of(Phase.EXTRA_DATA)
    assert isinstance(step.step.action, Call)
    return dict(step.step.action.arguments)


def test_who_names_no_operating_system_gets_ubuntu(image_kit: ImageKit) -> None:
    plan = image_kit.plan("vm", operating_system="")
    assert plan.operating_system == "ubuntu"


def test_the_default_release_is_the_current_one_with_long_term_support() -> None:
    table = Path("/usr/share/distro-info/ubuntu.csv")
    assert next(iter(RELEASES)) == DEFAULT
    if not table.exists():
        pytest.skip("the host has no distro-info-data")
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    known = {row[2]: row[0] for row in rows}
    assert all(known.get(name, version).removesuffix(" LTS") == version for name, version in RELEASES.items())
    assert known.get(DEFAULT, "LTS").endswith("LTS")


def test_the_image_is_the_newest_root_tree_of_the_release(image_kit: ImageKit) -> None:
    arguments = fetched(plan_of(image_kit, cloud_images="http://cloud.example/", release="noble"))
    assert arguments["folder"] == "http://cloud.example/noble/current"
    assert arguments["names"].split()[0] == "noble-server-cloudimg-amd64-root.tar.xz"
    assert arguments["keyring"] == str(KEYRING)


def test_a_version_in_place_of_a_name_is_answered_with_the_name(image_kit: ImageKit) -> None:
    with pytest.raises(ImagewrightError, match="26.04") as caught:
        plan_of(image_kit, release="26.04")
    assert caught.value.hint == "--release resolute"


@pytest.mark.parametrize("image", ["mine.tar.gz"])
def test_a_name_is_one_of_the_servers(image_kit: ImageKit, image: str) -> None:
    arguments = fetched(plan_of(image_kit, cloud_images="http://cloud.example", base_image_file=image))
    assert (arguments["names"], arguments["file"]) == (image, "")


def test_a_path_is_one_of_the_callers(image_kit: ImageKit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert fetched(plan_of(image_kit, base_image_file="./mine.tar"))["file"] == str(tmp_path / "mine.tar")
    assert fetched(plan_of(image_kit, "cloud-image", base_image_file="mine.tar"))["file"] == str(tmp_path / "mine.tar")


def test_an_address_that_nothing_vouches_for_is_refused_before_any_work(image_kit: ImageKit) -> None:
    with pytest.raises(ImagewrightError, match="nothing vouches for the base image") as caught:
        plan_of(image_kit, "cloud-image", base_image_file="https://images.example/root.tar")
    assert "base-image-digest" in caught.value.hint


@pytest.mark.parametrize(
    ("image", "said"),
    [("ftp://images.example/root.tar", "neither of http"), ("https://images.example/", "names no file")],
)
def test_an_address_that_cannot_be_fetched_is_refused(image_kit: ImageKit, image: str, said: str) -> None:
    with pytest.raises(ImagewrightError, match=said):
        plan_of(image_kit, "cloud-image", base_image_file=image, settings={"cloud-image.base-image-digest": "1" * 64})


def test_a_digest_that_is_none_is_refused(image_kit: ImageKit) -> None:
    for system in ("ubuntu", "cloud-image"):
        with pytest.raises(ImagewrightError, match="is no SHA-256 digest"):
            plan_of(image_kit, system, base_image_file="./x", settings={f"{system}.base-image-digest": "abc"})


def test_the_tree_depends_on_the_digest_and_not_on_where_the_image_came_from(image_kit: ImageKit) -> None:
    one = plan_of(image_kit, cloud_images="http://one.example").of(Phase.ROOT)[0]
    other = plan_of(image_kit, cloud_images="http://other.example").of(Phase.ROOT)[0]
    assert one.key == other.key
    assert one.facts == ("base image",)


# -- the script that names mirrors


def named(tmp_path: Path, text: str, before: str, after: str, file: str = "sources.list.d/x.sources") -> str:
    """What the script makes of a file of /etc/apt; the script's paths are led to the test's folder."""
    apt = tmp_path / "apt"
    path = apt / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    script = SOURCES.read_text().replace("/etc/apt", str(apt))
    environment = {**os.environ, "MIRROR_BEFORE": before, "MIRROR_AFTER": after}
    subprocess.run(["sh", "-euc", script], env=environment, check=True)
    return path.read_text()


@pytest.mark.parametrize("file", ["sources.list", "sources.list.d/ubuntu.list"])
def test_sources_in_lines_name_the_mirror(tmp_path: Path, file: str) -> None:
    text = (
        "deb [signed-by=/x] http://a.example/ubuntu noble main\ndeb http://security.example/ubuntu/ noble-security x\n"
    )
    assert named(tmp_path, text, "", "https://m.example/u&b,untu/", file) == (
        "deb [signed-by=/x] https://m.example/u&b,untu noble main\ndeb https://m.example/u&b,untu noble-security x\n"
    )


def test_debians_security_updates_come_from_beside_the_mirror(tmp_path: Path) -> None:
    text = "URIs: http://a.example/debian/\nURIs: http://a.example/debian-security\nURIs: http://own.example/stuff\n"
    assert named(tmp_path, text, "", "http://m.example/debian") == (
        "URIs: http://m.example/debian\nURIs: http://m.example/debian-security\nURIs: http://own.example/stuff\n"
    )
    assert named(tmp_path, text, "", "http://m.example/d") == (
        "URIs: http://m.example/d\nURIs: http://a.example/debian-security\nURIs: http://own.example/stuff\n"
    )


def test_lists_of_mirrors_are_replaced_too(tmp_path: Path) -> None:
    """Debian's own cloud images have their sources name such files."""
    text = "https://a.example/debian\n"
    assert named(tmp_path, text, "", "http://m.example/debian", "mirrors/debian.list") == "http://m.example/debian\n"


def test_a_mirror_takes_the_place_of_another(tmp_path: Path) -> None:
    text = "URIs: http://u:p@in.example/x+y/\nURIs: http://u:p@in.example/x+y-security\nURIs: http://a.example/ubuntu\n"
    assert named(tmp_path, text, "http://u:p@in.example/x+y", "http://in.example/x+y") == (
        "URIs: http://in.example/x+y\nURIs: http://in.example/x+y-security\nURIs: http://a.example/ubuntu\n"
    )
