"""Equal inputs give equal bytes, whoever builds, wherever and however."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from imagewright.testing.kit import ImageKit
from imagewright.testing.trees import DiskView

from .test_disks import LAYOUT

MOMENT = 1_700_000_000
"""The date of the toy's package index."""

FILES = {
    "README.md": "# varied\n",
    "flavour.toml": 'summary = "leaves what is hard to write the same way twice"\npackages = ["hello", "mail"]\n',
    "install.d/10-many": """\
#!/bin/sh
set -eu
mkdir -p /srv/many/deep
for number in $(seq 300 -1 1); do echo "$number" >"/srv/many/$number-$(expr "$number" '*' 7919 % 997)"; done
ln /srv/many/1-* /srv/many/deep/hard
ln -s ../nowhere /srv/many/deep/soft
mkfifo /srv/many/pipe 2>/dev/null || true
cat "$(dirname "$0")"/parts/* >/srv/parts
ls -f "$(dirname "$0")"/parts | sort >/srv/names
env | grep -v -e ^PWD= | sort >/srv/environment
umask >/srv/umask
date -u -d "@$SOURCE_DATE_EPOCH" >/srv/date
chmod 2755 /srv/many/deep
chown 1000:1000 /srv/many/deep
""",
    **{f"install.d/parts/{name}": f"{name}\n" for name in ("b", "z", "a", "m", "k")},
    "init": "say varied\n",
    "binary-deps": "cat\n",
}

OPTIONS = ("-t", "qcow2,raw,tar", "--image-size", "0.25", "--skip-base", "--progress", "none", "-o", "same")
DISK = ("same.qcow2", "same.raw", "same.tar", "same.manifest.json", "same.sha256")
RAMDISK = ("small.ramdisk", "small.kernel", "small.manifest.json", "small.sha256")


def written(kit: ImageKit, files: Mapping[str, str]) -> None:
    kit.flavour("varied", files)
    kit.pack("laid-pack", LAYOUT, {"laid": "Partitioned"})


def build(kit: ImageKit, *options: str, **environment: str) -> dict[str, str]:
    """The digests of everything that the two commands write."""
    kit.command("disk-image-create", *OPTIONS, *options, "toy", "varied", "laid", **environment)
    kit.command("ramdisk-image-create", "-o", "small.ramdisk", "--progress", "none", "toy", "varied", **environment)
    return {name: hashlib.sha256((kit.output / name).read_bytes()).hexdigest() for name in (*DISK, *RAMDISK)}


@contextmanager
def another_caller() -> Iterator[None]:
    """One core, and a umask that keeps everything from everybody."""
    umask, cores = os.umask(0o077), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        os.umask(umask)


def other_disk(tmp_path: Path) -> Path:
    """A work folder whose folders list their names in another order: a tmpfs, where the kernel has overlays on it."""
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    memory = Path("/dev/shm")
    if release >= (6, 6) and os.access(memory, os.W_OK) and os.statvfs(memory).f_bavail * 4096 > 2**30:
        return memory
    return tmp_path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ImageKit, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("first")
    with ImageKit.open(folder / "kit", shared=folder / "shared") as kit:
        written(kit, FILES)
        yield kit, build(kit)


def test_another_caller_elsewhere_makes_the_same_bytes(first: tuple[ImageKit, dict[str, str]], tmp_path: Path) -> None:
    place = tmp_path / "a folder of another name" / "deeper"
    with another_caller(), ImageKit.open(place, shared=tmp_path / "shared") as kit:
        written(kit, dict(reversed(FILES.items())))
        # another home, too: what is not listed here is the same for both
        again = build(
            kit,
            "--no-cache",
            "--work-dir",
            str(other_disk(tmp_path)),
            HOME=str(tmp_path),
            USER="somebody",
            LOGNAME="somebody",
            HOSTNAME="elsewhere",
            TZ="Pacific/Kiritimati",
            LANG="de_DE.UTF-8",
            LC_ALL="tr_TR.UTF-8",
            COLUMNS="40",
            PYTHONHASHSEED="1234",
        )
    assert again == first[1]


def test_a_build_from_kept_layers_makes_the_same_bytes(first: tuple[ImageKit, dict[str, str]]) -> None:
    kit, digests = first
    assert build(kit, "--from", "finalise") == digests


def test_times_are_those_of_the_inputs_and_never_the_clocks(first: tuple[ImageKit, dict[str, str]]) -> None:
    kit, _ = first
    manifest = json.loads((kit.output / "same.manifest.json").read_text())
    assert manifest["source_date_epoch"] == MOMENT
    view = DiskView(kit.output / "same.raw")
    moments = {path: view.get(path).moment for path in view.entries()}
    assert {path: moment for path, moment in moments.items() if moment > MOMENT} == {}
    assert view.read("srv/date") == "Tue Nov 14 22:13:20 UTC 2023\n"


def test_source_date_epoch_is_honoured(first: tuple[ImageKit, dict[str, str]]) -> None:
    kit, digests = first
    other = build(kit, SOURCE_DATE_EPOCH="1600000000")
    manifest = json.loads((kit.output / "same.manifest.json").read_text())
    assert manifest["source_date_epoch"] == 1_600_000_000
    view = DiskView(kit.output / "same.raw")
    assert max(view.get(path).moment for path in view.entries()) == 1_600_000_000
    assert all(other[name] != digests[name] for name in DISK)
    # and the next build is what it was
    assert build(kit) == digests


def test_diff_finds_nothing_between_the_types_of_one_build(first: tuple[ImageKit, dict[str, str]]) -> None:
    kit, _ = first
    for one, other in (("same.raw", "same.qcow2"), ("same.raw", "same.tar"), ("same.qcow2", "same.manifest.json")):
        done = kit.command("imagewright", "diff", one, other)
        assert done.stdout.startswith(("the same bytes", "nothing differs")), done.stdout


def test_diff_says_what_a_package_and_a_script_brought(first: tuple[ImageKit, dict[str, str]]) -> None:
    kit, _ = first
    kit.flavour("more", {"install.d/20-more": "#!/bin/sh\nchmod 600 /etc/passwd\necho more >/srv/more\n"})
    kit.command("disk-image-create", *OPTIONS[:-1], "more", "toy", "varied", "laid", "more")
    done = kit.command("imagewright", "diff", "--json", "same.raw", "more.raw", check=False)
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert [one["name"] for one in document["flavours"]] == ["more"]
    files = {one["path"]: (one["how"], [part["name"] for part in one["what"]]) for one in document["files"]}
    assert files["/srv/more"] == ("added", [])
    assert files["/etc/passwd"] == ("changed", ["mode"])
