"""A lock file: written by one build, obeyed by the next, on a repository that has moved on meanwhile."""

from __future__ import annotations

import hashlib
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from imagewright.errors import PlanError, StepFailed, UsageError
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit
from imagewright.testing.ramdisks import make_ramdisk
from imagewright.testing.repository import PACKAGES, PackedFile, repository

OPTIONS: dict[str, Any] = {"types": ("raw", "tar"), "image_size": 64 * 2**20, "packages": ("hello",)}

MOVED_ON = tuple(
    replace(one, version="9.9", files=(PackedFile(path="usr/share/greeting", content=b"something else\n"),))
    if one.name == "greeting"
    else one
    for one in PACKAGES
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    address: str
    folder: Path

    def fill(self, packages: Any = PACKAGES) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        for name, content in repository(packages).items():
            (self.folder / name).write_bytes(content)


@contextmanager
def served(folder: Path) -> Iterator[Mirror]:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Mirror(address=f"http://127.0.0.1:{server.server_port}", folder=folder)
        finally:
            server.shutdown()


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with served(tmp_path / "mirror") as mirror:
        mirror.fill()
        yield mirror


def digests(built: Built) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in built.paths}


def test_a_lock_names_all_that_an_image_was_made_of(image_kit: ImageKit, tmp_path: Path) -> None:
    lock = tmp_path / "web.lock"
    image_kit.flavour("greeting", {"install.d/50-greet": "#!/bin/sh\necho hi >/etc/motd\n"})
    built = image_kit.build("greeting", lock=lock, **OPTIONS)
    document = tomllib.loads(lock.read_text())
    assert document["source_date_epoch"] == built.manifest["source_date_epoch"]
    assert document["image"] == {"arch": "amd64", "operating_system": "toy", "release": ""}
    assert set(document["flavours"]) == {"toy", "greeting"}
    assert document["flavours"]["toy"].startswith("imagewright-toy ")
    assert {name: text.split()[0] for name, text in document["packages"].items()} == dict(built.packages)
    archives = repository()
    for name, text in document["packages"].items():
        version, _, digest = text.partition(" sha256:")
        assert hashlib.sha256(archives[f"{name}_{version}.tar"]).hexdigest() == digest
    assert built.manifest["lock"] == hashlib.sha256(lock.read_bytes()).hexdigest()


def test_the_locked_versions_are_built_after_the_mirror_has_moved_on(
    image_kit: ImageKit, mirror: Mirror, tmp_path: Path
) -> None:
    lock = tmp_path / "web.lock"
    first = image_kit.build(lock=lock, mirror=mirror.address, **OPTIONS)
    before, text = digests(first), lock.read_text()
    mirror.fill(MOVED_ON)
    again = image_kit.build(lock=lock, mirror=mirror.address, **OPTIONS)
    assert again.packages["greeting"] == "1.1"
    assert digests(again) == before
    assert lock.read_text() == text


def test_packages_of_the_same_date_are_found_when_the_mirror_is_asked_again(
    image_kit: ImageKit, mirror: Mirror
) -> None:
    image_kit.build(mirror=mirror.address, **OPTIONS)
    mirror.fill(MOVED_ON)
    assert image_kit.build(mirror=mirror.address, refresh=True, **OPTIONS).packages["greeting"] == "9.9"


def test_refresh_renews_a_lock(image_kit: ImageKit, mirror: Mirror, tmp_path: Path) -> None:
    lock = tmp_path / "web.lock"
    image_kit.build(lock=lock, mirror=mirror.address, **OPTIONS)
    mirror.fill(MOVED_ON)
    built = image_kit.build(lock=lock, mirror=mirror.address, refresh=True, **OPTIONS)
    assert built.packages["greeting"] == "9.9"
    assert tomllib.loads(lock.read_text())["packages"]["greeting"].startswith("9.9 ")


def test_what_is_neither_in_the_cache_nor_on_the_mirror_is_one_error(
    image_kit: ImageKit, mirror: Mirror, tmp_path: Path
) -> None:
    lock = tmp_path / "web.lock"
    image_kit.build(lock=lock, mirror=mirror.address, **OPTIONS)
    mirror.fill(MOVED_ON)
    for archive in (image_kit.cache / "packages").rglob("greeting_*"):
        archive.unlink()
    error = image_kit.fails(lock=lock, mirror=mirror.address, kind=StepFailed, **OPTIONS)
    assert "greeting 1.1 is neither in the cache nor in the repository" in str(error)


def test_an_archive_that_changed_under_its_name_is_not_taken(
    image_kit: ImageKit, mirror: Mirror, tmp_path: Path
) -> None:
    lock = tmp_path / "web.lock"
    image_kit.build(lock=lock, mirror=mirror.address, **OPTIONS)
    for archive in (image_kit.cache / "packages").rglob("greeting_*"):
        archive.write_bytes(b"something else")
    image_kit.fails(lock=lock, mirror=mirror.address, match="greeting_1.1.tar is damaged", **OPTIONS)


def test_another_flavour_file_or_package_is_refused_by_name(image_kit: ImageKit, tmp_path: Path) -> None:
    lock = tmp_path / "web.lock"
    image_kit.flavour("greeting", {"install.d/50-greet": "#!/bin/sh\necho hi >/etc/motd\n"})
    image_kit.build("greeting", lock=lock, **OPTIONS)
    more = {**OPTIONS, "packages": ("hello", "mail")}
    error = image_kit.fails("greeting", lock=lock, kind=PlanError, match="package mail: 0.9 would come", **more)
    assert "--refresh" in error.hint
    image_kit.flavour("greeting", {"install.d/50-greet": "#!/bin/sh\necho ho >/etc/motd\n"})
    image_kit.fails("greeting", lock=lock, kind=PlanError, match="flavour greeting: folder sha256:", **OPTIONS)
    image_kit.fails(lock=lock, kind=PlanError, match="flavour greeting: folder .* is locked, none is here", **OPTIONS)


def test_a_build_that_fails_writes_no_lock(image_kit: ImageKit, tmp_path: Path) -> None:
    image_kit.flavour("broken", {"install.d/50-fail": "#!/bin/sh\nexit 1\n"})
    image_kit.fails("broken", lock=tmp_path / "web.lock", kind=StepFailed, **OPTIONS)
    assert not (tmp_path / "web.lock").exists()


def test_a_lock_is_renewed_by_asking_and_needs_the_network_once(image_kit: ImageKit, tmp_path: Path) -> None:
    image_kit.fails(lock=tmp_path / "web.lock", offline=True, kind=UsageError, match="no lock file", **OPTIONS)
    image_kit.build(lock=tmp_path / "web.lock", **OPTIONS)
    image_kit.build(lock=tmp_path / "web.lock", offline=True, **OPTIONS)


def test_another_date_than_the_locks_is_refused(image_kit: ImageKit, tmp_path: Path) -> None:
    lock = tmp_path / "web.lock"
    date = {"SOURCE_DATE_EPOCH": "1600000000"}
    before = digests(image_kit.build(lock=lock, environment=date, **OPTIONS))
    assert "source_date_epoch_given = true" in lock.read_text()
    assert digests(image_kit.build(lock=lock, **OPTIONS)) == before
    other = {"SOURCE_DATE_EPOCH": "1600000001"}
    image_kit.fails(lock=lock, environment=other, kind=PlanError, match="locks 1600000000", **OPTIONS)


def test_a_ramdisk_is_locked_with_its_tree_and_its_flavours(
    image_kit: ImageKit, mirror: Mirror, tmp_path: Path
) -> None:
    lock = tmp_path / "small.lock"
    image_kit.flavour("small", {"init": "say hello\n"})
    options: dict[str, Any] = {"lock": lock, "mirror": mirror.address, "packages": ("greeting",)}
    first = make_ramdisk(image_kit, "small", **options)
    before = hashlib.sha256(first.path.read_bytes()).hexdigest()
    document = tomllib.loads(lock.read_text())
    assert set(document["flavours"]) == {"toy", "small"}
    assert document["packages"]["greeting"].startswith("1.1 sha256:")
    mirror.fill(MOVED_ON)
    again = make_ramdisk(image_kit, "small", **options)
    assert hashlib.sha256(again.path.read_bytes()).hexdigest() == before
    assert again.manifest == first.manifest
    image_kit.flavour("small", {"init": "say other\n"})
    with pytest.raises(PlanError, match="1 thing differs"):
        make_ramdisk(image_kit, "small", **options)


def test_each_image_of_a_file_has_a_lock_of_its_own(image_kit: ImageKit) -> None:
    text = '[defaults]\nskip-base = true\ntype = ["tar"]\noutput = "{name}"\nlock = "%s"\n'
    text += '[images.one]\nflavours = ["toy"]\n[images.two]\nflavours = ["toy"]\npackage = ["hello"]\n'
    (image_kit.output / "images.toml").write_text(text % "same.lock")
    done = image_kit.command("imagewright", "build", "images.toml", check=False)
    assert done.returncode == 2, done.stderr
    assert "is that of the image one already" in done.stderr
    (image_kit.output / "images.toml").write_text(text % "{name}.lock")
    image_kit.command("imagewright", "build", "images.toml")
    packages = [tomllib.loads((image_kit.output / f"{name}.lock").read_text())["packages"] for name in ("one", "two")]
    assert [set(one) for one in packages] == [{"kernel"}, {"greeting", "hello", "kernel"}]
