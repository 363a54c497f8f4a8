"""The archives of a first tree ahead of mmdebstrap: where they help, and without them all goes its usual way."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from imagewright.errors import ImagewrightError
from imagewright.testing.kit import ImageKit
from imagewright.types import Call, CallContext, Phase
from imagewright_debian.bootstrap import fetch_packages
from imagewright_debian.firsttree import ahead


def first_step(kit: ImageKit, **settings: str) -> Call:
    plan = kit.plan(
        "debian", operating_system="", skip_base=True, settings={f"debian.{k}": v for k, v in settings.items()}
    )
    (step,) = plan.of(Phase.ROOT)
    assert isinstance(step.step.action, Call)
    return step.step.action


def context(folder: Path) -> CallContext:
    """What the function gets, with a store that holds nothing."""
    for name in ("work/lib", "store", "fetched/archives"):
        (folder / name).mkdir(parents=True)
    return CallContext(
        target_root=None,
        environment={"PATH": os.environ["PATH"], "_LIB": str(folder / "work/lib"), "LC_ALL": "C.UTF-8"},
        packages=folder / "store",
        fetched=folder / "fetched",
    )


def test_archives_are_fetched_ahead_unless_all_is_to_be_unpacked_in_the_usual_way(image_kit: ImageKit) -> None:
    assert first_step(image_kit).fetches == "imagewright_debian.bootstrap:fetch_packages"
    assert first_step(image_kit, unpack="plain").fetches == ""


def test_another_way_of_unpacking_is_refused_with_those_that_there_are(image_kit: ImageKit) -> None:
    with pytest.raises(ImagewrightError, match="fast or plain, not 'slow'"):
        first_step(image_kit, unpack="slow")


def test_where_the_archive_does_not_answer_nothing_is_brought_and_mmdebstrap_goes_its_way(tmp_path: Path) -> None:
    with socket.socket() as bound:
        # a port that is taken and on which nobody listens
        bound.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{bound.getsockname()[1]}/debian"
        ctx = context(tmp_path)
        sources = f"deb {address} trixie main"
        given = {"release": "trixie", "architecture": "amd64", "authority": ""}
        assert fetch_packages(ctx, sources=sources, **given) == {}
        assert ahead(ctx, tmp_path / "work", ()) is None
    assert os.listdir(tmp_path / "work") == ["lib"]


def test_the_default_archive_of_mmdebstrap_is_its_own_affair(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    assert fetch_packages(ctx, release="trixie", architecture="amd64", sources="", authority="") == {}
    assert not (tmp_path / "fetched/apt").exists()


def test_the_programs_that_mmdebstrap_calls_take_plain_forms_and_leave_out_what_is_excluded(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    (tmp_path / "fetched/apt").mkdir()
    (tmp_path / "fetched/apt/complete").touch()
    tree = tmp_path / "package"
    for name in ("DEBIAN", "usr/share/doc/odd", "usr/share/odd"):
        (tree / name).mkdir(parents=True)
        (tree / name).chmod(0o755)
    control = "Package: odd\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example>\nDescription: odd\n"
    (tree / "DEBIAN/control").write_text(control)
    (tree / "usr/share/doc/odd/copyright").write_text("mine\n")
    (tree / "usr/share/odd/file").write_text("file\n")
    (tmp_path / "store/plain").mkdir()
    archive = tmp_path / "store/plain/odd_1_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, archive], check=True, capture_output=True)
    found = ahead(ctx, tmp_path / "work", ("./usr/share/doc/*",))
    assert found is not None
    (tmp_path / "target").mkdir()
    # the archive that mmdebstrap names is not even there: its plain form is what is read
    pipe = "dpkg-deb --fsys-tarfile /no/such/odd_1_all.deb | mmtarfilter --path-exclude=x | tar -C target -xf -"
    subprocess.run(["sh", "-euc", pipe], check=True, cwd=tmp_path, env={"PATH": found.path})
    laid = sorted(str(path.relative_to(tmp_path / "target")) for path in (tmp_path / "target").rglob("*"))
    assert laid == ["usr", "usr/share", "usr/share/doc", "usr/share/odd", "usr/share/odd/file"]
