from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from imagewright.errors import ImagewrightError, StepFailed
from imagewright.plan import Plan
from imagewright.testing.contract import PackContract
from imagewright.testing.kit import ImageKit
from imagewright.types import Call, CallContext, Phase, Put
from imagewright_debian.bootstrap import bootstrap, dress
from imagewright_debian.sources import Archive, sources_file


class TestContract(PackContract):
    flavours = ("debian",)
    operating_system = "debian"


def plan_of(kit: ImageKit, **options: Any) -> Plan:
    return kit.plan("debian", operating_system="", skip_base=True, **options)


def bootstrap_of(plan: Plan) -> Call:
    (step,) = plan.of(Phase.ROOT)
    assert isinstance(step.step.action, Call)
    return step.step.action


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_the_releases_are_planned(image_kit: ImageKit, release: str) -> None:
    call = bootstrap_of(plan_of(image_kit, release=release, mirror="http://mirror.example/debian"))
    assert call.arguments["release"] == release
    assert f"deb http://mirror.example/debian {release}-updates " in str(call.arguments["sources"])


def test_the_default_release_is_the_stable_one(image_kit: ImageKit) -> None:
    assert bootstrap_of(plan_of(image_kit)).arguments["release"] == "trixie"


def test_an_unknown_release_is_refused_with_those_that_there_are(image_kit: ImageKit) -> None:
    with pytest.raises(ImagewrightError, match="no release 'potato'") as caught:
        plan_of(image_kit, release="potato")
    assert "bookworm" in caught.value.hint


def test_another_mirror_is_another_tree(image_kit: ImageKit) -> None:
    keys = {plan_of(image_kit, mirror=f"http://{name}.example/debian").of(Phase.ROOT)[0].key for name in ("a", "b")}
    assert len(keys) == 2


def test_the_images_mirror_changes_the_sources_at_the_end_only(image_kit: ImageKit) -> None:
    here: dict[str, Any] = {
        "mirror": "http://in.example/debian",
        "settings": {"debian.security-mirror": "http://in.example/security"},
    }
    plain = plan_of(image_kit, **here)
    other = plan_of(image_kit, image_mirror="http://out.example/debian", **here)
    assert plain.of(Phase.ROOT)[0].key == other.of(Phase.ROOT)[0].key
    assert "95-debian-sources" not in [one.step.id for one in plain.of(Phase.FINALISE)]
    (put,) = (one.step.action for one in other.of(Phase.FINALISE) if one.step.id == "95-debian-sources")
    assert isinstance(put, Put)
    text = put.tree.entries[0].content.decode()
    assert "http://out.example/debian\n" in text
    assert "in.example" not in text


def test_a_certificate_that_cannot_be_read_is_named(image_kit: ImageKit, tmp_path: Path) -> None:
    with pytest.raises(ImagewrightError, match="absent.pem"):
        plan_of(image_kit, ca_certificate=tmp_path / "absent.pem")


def test_a_certificate_is_part_of_the_declaration(image_kit: ImageKit, tmp_path: Path) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.write_text("-----BEGIN CERTIFICATE-----\n")
    assert bootstrap_of(plan_of(image_kit, ca_certificate=certificate)).arguments["authority"]


def test_nothing_of_the_host_stays_in_a_first_tree(tmp_path: Path) -> None:
    for folder in ("etc/apt/apt.conf.d", "etc/dpkg/dpkg.cfg.d", "etc/apt/sources.list.d", "var/cache/apt/archives"):
        (tmp_path / folder).mkdir(parents=True)
    left = ("etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/apt/sources.list")
    for name in (*left, "etc/hostname", "etc/resolv.conf", "var/cache/apt/archives/lock"):
        (tmp_path / name).write_text("of the host\n")
        (tmp_path / name).chmod(0o755)
    sources = sources_file(Archive(main="http://m.example/debian", security="", components=("main",)), "trixie")
    dress(tmp_path, sources_file=sources, documentation=False)
    assert not [name for name in left if (tmp_path / name).exists()]
    assert (tmp_path / "etc/hostname").read_text() == "localhost\n"
    assert (tmp_path / "etc/hostname").stat().st_mode & 0o111 == 0
    assert (tmp_path / "etc/resolv.conf").readlink().is_relative_to("../run")
    assert (tmp_path / "etc/apt/sources.list.d/debian.sources").read_text() == sources
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [text for text in texts if "of the host" in text]


@pytest.mark.parametrize(("offline", "hint"), [(True, "without --offline"), (False, "--mirror names another")])
def test_a_first_tree_that_cannot_be_made_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, offline: bool, hint: str
) -> None:
    (tmp_path / "mmdebstrap").write_text("#!/bin/sh\nexit 25\n")
    (tmp_path / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    ctx = CallContext(
        target_root=tmp_path / "root",
        environment={"_LIB": str(tmp_path / "lib"), "PATH": os.environ["PATH"]},
        offline=offline,
    )
    with pytest.raises(StepFailed, match="exit status 25") as caught:
        bootstrap(
            ctx,
            release="trixie",
            architecture="amd64",
            sources="",
            sources_file="",
            components="main",
            documentation=False,
            authority="",
        )
    assert hint in caught.value.hint
