"""Everything of the project that reads what others wrote, with a good sample of it and what it may raise."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagewright.bootserver import protocol
from imagewright.bootserver.reports import BadReport, Full, Reports
from imagewright.cli.imagesfile import read_images
from imagewright.cli.options.resolve import read_files, resolve
from imagewright.cli.options.settings import SETTINGS
from imagewright.comparing.sides import opened
from imagewright.disk.sizes import parse_block_device, parse_script_output, partition_number
from imagewright.documents import parse_json
from imagewright.errors import ImagewrightError
from imagewright.folders import read_flavour_folder
from imagewright.layers import record
from imagewright.lockfile.lock import read_lock
from imagewright.ramdisk.elf import NotElf, read_elf, read_versions
from imagewright.ramdisk.kernelmodules import KernelModules
from imagewright.ramdisk.roots import Root
from imagewright.reading.errors import Damaged
from imagewright.reading.images import open_image, readable
from imagewright.reading.systems import find_system
from imagewright.supplychain import envelopes
from imagewright.types import Origin
from imagewright_cloud_images import tars
from imagewright_cloud_images.signatures import read_sums
from imagewright_debian.apt import Apt
from imagewright_debian.sources import host_mirrors

Give = Callable[[bytes, Path], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parser:
    """``give`` takes bytes and an empty folder of its own; besides reading them it may only raise ``refusals``."""

    kind: str
    sample: bytes
    give: Give
    refusals: tuple[type[Exception], ...] = (ImagewrightError,)


FLAVOUR_TOML = b"""\
summary = "Greets whoever logs in"
requires = ["base"]
conflicts = ["silence"]
packages = ["figlet"]
reads = ["~/.config/greeting"]

[parameters.word]
type = "string"
default = "hello"
help = "what it says"

[edges.install.50-greeting]
after = ["install/10-other"]

[repositories.acme]
address = "http://packages.example/debian"
suite = "stable"
components = ["main"]
"""

SETTINGS_FILE = b"""\
release = "trixie"
type = ["raw", "qcow2"]
image-size = 2.5
offline = true
package = ["vim", "less"]

[set]
vm.size = 4
"""

IMAGES_FILE = b"""\
[defaults]
release = "trixie"
type = ["raw"]

[images."web-{size}"]
flavours = ["debian", "vm"]
matrix = { size = ["small", "large"] }
output = "out/web-{size}"

[images.deploy]
kind = "ramdisk"
flavours = ["deploy"]
"""

LOCK = b"""\
schema = 1
imagewright = "0.1.0"
source_date_epoch = 1795834380

[image]
arch = "amd64"
operating_system = "debian"
release = "trixie"

[flavours]
"vm" = "imagewright-flavours-standard 0.1.0 0123"

[bases]
"state of the source" = "0123"

[packages]
"curl:amd64" = "8.1-1 sha256:%s"
""" % (b"ab" * 32)

MANIFEST = json.dumps(
    {
        "schema": 1,
        "packages": [{"name": "curl", "architecture": "amd64", "version": "8.1-1"}],
        "imagewright": "0.1.0",
        "source_date_epoch": 1795834380,
        "facts": {"state": "ab"},
        "kernel": {"version": "6.1"},
        "plan": {
            "digest": "ab",
            "flavours": [{"name": "vm", "distribution": "x", "version": "1", "parameters": {"size": "4"}}],
        },
        "disk": {"size": 2**31, "partitions": [{"number": 1, "offset": 1, "size": 2, "type": "a", "uuid": "b"}]},
        "artefacts": [{"file": "web.qcow2", "size": 1, "sha256": "ab"}],
    },
    indent=1,
).encode()

LAYER = b"""\
{"schema": 1, "step": "install/10-x", "flavour": "x", "key": "ab", "facts": {"kernel": "6.1"}, "epoch": 1, "made": 1.5,
 "entries": 3, "size": 4, "content": "ab"}
"""

URIS = b"""\
Reading package lists...
'http://deb.example/debian/pool/main/c/curl/curl_8.1-1_amd64.deb' curl_8.1-1_amd64.deb 1000 SHA256:%s
'http://deb.example/debian/pool/main/l/less/less_1%%3a2_amd64.deb' less_1%%3a2_amd64.deb 2000 SHA256:%s
""" % (b"ab" * 32, b"cd" * 32)

SOURCES = b"""\
Types: deb
URIs: http://deb.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://deb.example/debian-security
Suites: trixie-security
Components: main
"""

MODULES_DEP = b"""\
kernel/net/core/a.ko: kernel/lib/b.ko.xz kernel/lib/c.ko
kernel/lib/b.ko.xz: kernel/lib/c.ko
kernel/lib/c.ko:
"""
MODULES_ALIAS = b"alias pci:v*d* a\nalias net-pf-10 b\nalias fs-? c\nalias crypto-crc32c c\n"
MODULES_SOFTDEP = b"softdep a pre: b post: c\nsoftdep b pre: crypto-crc32c\n"

DEPLOY_FORM = b"i=17&k=secret&a=192.0.2.7&n=iqn.2012-11.org.example:disk"
REPORT = b'{"flavour": "deploy", "state": "failed", "message": "no disk", "disks": [{"size": 5, "name": "sda"}]}'
SUMS = b"%s *web.img\n%s  other.squashfs\n" % (b"ab" * 32, b"cd" * 32)


def _file(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _flavour(data: bytes, folder: Path) -> object:
    (folder / "mine" / "install.d").mkdir(parents=True)
    _file(folder / "mine" / "install.d", "50-greeting", b"#!/bin/sh\n").chmod(0o755)
    _file(folder / "mine", "flavour.toml", data)
    return read_flavour_folder(folder / "mine", Origin(flavour="mine", location=str(folder / "mine")))


def _settings(data: bytes, folder: Path) -> object:
    _file(folder, "imagewright.toml", data)
    files = read_files(folder, folder / "none.toml")
    return resolve(tuple(SETTINGS.values()), flags={}, environment={}, files=files)


def _manifest(data: bytes, folder: Path) -> None:
    with opened(_file(folder, "web.manifest.json", data)) as side:
        assert side.facts


def _image(data: bytes, folder: Path) -> None:
    path = _file(folder, "image", data)
    with open_image(path) as image, readable(path):
        for chunk in find_system(image).choose().kernel.chunks():
            assert chunk


def _elf(data: bytes, folder: Path) -> None:
    place = str(_file(folder, "program", data))
    read_elf(place)
    read_versions(place)


def _modules(data: bytes, folder: Path) -> None:
    home = folder / "lib/modules/6.1"
    home.mkdir(parents=True)
    parts = [*data.split(b"\0\0", 2), b"", b""]
    for name, part in zip(("dep", "alias", "softdep"), parts, strict=False):
        _file(home, f"modules.{name}", part)
    modules = KernelModules(Root(str(folder), str(folder)), "lib/modules/6.1")
    asked = [("a", "me", False), ("net-pf-10", "me", True), ("fs-x", "me", True), ("net/core/", "me", True)]
    modules.indexes(modules.select(asked).files)


def _sources(data: bytes, folder: Path) -> object:
    (folder / "sources.list.d").mkdir()
    _file(folder / "sources.list.d", "debian.sources", data)
    _file(folder, "sources.list", data)
    return host_mirrors(folder)


def _reports(data: bytes, folder: Path) -> None:
    kept = Reports(folder / "kept").keep("report", "192.0.2.7", data)
    assert kept.path.parent == folder / "kept"
    assert "\n" not in kept.summary


def _size(data: bytes, folder: Path) -> None:
    parse_script_output(data.decode("utf-8", "replace"), 2)


def _device(data: bytes, folder: Path) -> None:
    device = parse_block_device(data.decode("utf-8", "replace"))
    if device is not None:
        number = partition_number(device, "/dev/disk")
        assert number is None or 0 < number < 1000


def _apt(data: bytes, folder: Path) -> None:
    for package in Apt().parse_resolution(data.decode("utf-8", "replace")):
        # these become names of files
        assert "/" not in package.name + package.architecture + package.digest


def _sums(data: bytes, folder: Path) -> None:
    for name, digest in read_sums(data, "http://images.example/SHA256SUMS").items():
        assert len(digest) == 64, name


def _members(data: bytes, folder: Path) -> None:
    for member in tars.members(tars.opened(io.BytesIO(data), "")):
        assert not member.path.startswith("/")
        assert ".." not in member.path.split("/")
        if member.content is not None:
            assert sum(len(piece) for piece in member.content()) == member.size


def _tar_sample() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, target in (
            ("etc", tarfile.DIRTYPE, ""),
            ("etc/hosts", tarfile.REGTYPE, ""),
            ("etc/link", tarfile.SYMTYPE, "/etc/hosts"),
            ("etc/hard", tarfile.LNKTYPE, "etc/hosts"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, 5 if kind == tarfile.REGTYPE else 0
            info.pax_headers = {"SCHILY.xattr.security.capability": "x"} if info.size else {}
            archive.addfile(info, io.BytesIO(b"hosts"))
    return made.getvalue()


def _elf_sample() -> bytes:
    return Path("/bin/true").resolve().read_bytes()[:40000]


def _gpt_sample() -> bytes:
    head = bytearray(512 * 64)
    struct.pack_into("<8xBBBBBBBBII", head, 446 - 8, 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, 63)
    head[510:512] = b"\x55\xaa"
    struct.pack_into(
        "<8sIIIIQQQQ16sQIII", head, 512, b"EFI PART", 0x10000, 92, 0, 0, 1, 63, 34, 40, b"d" * 16, 2, 128, 128, 0
    )
    return bytes(head)


def _layer(data: bytes, folder: Path) -> Any:
    return record.read(_file(folder, "record.json", data))


PARSERS = (
    Parser(kind="flavour metadata", sample=FLAVOUR_TOML, give=_flavour),
    Parser(kind="settings files", sample=SETTINGS_FILE, give=_settings),
    Parser(kind="images files", sample=IMAGES_FILE, give=lambda data, to: read_images(_file(to, "i.toml", data))),
    Parser(kind="lock files", sample=LOCK, give=lambda data, to: read_lock(_file(to, "web.lock", data))),
    Parser(kind="manifests", sample=MANIFEST, give=_manifest),
    Parser(kind="records of layers", sample=LAYER, give=_layer, refusals=()),
    Parser(kind="sizes that hooks print", sample=b"working\nIMAGE_SIZE=16\n", give=_size),
    Parser(kind="devices that hooks print", sample=b"ok\nIMAGE_BLOCK_DEVICE=/dev/diskp1\n", give=_device),
    Parser(kind="partition tables", sample=_gpt_sample(), give=_image),
    Parser(kind="ELF headers", sample=_elf_sample(), give=_elf, refusals=(NotElf,)),
    Parser(
        kind="indexes of modules",
        sample=MODULES_DEP + b"\0\0" + MODULES_ALIAS + b"\0\0" + MODULES_SOFTDEP,
        give=_modules,
    ),
    Parser(kind="resolutions of apt", sample=URIS, give=_apt),
    Parser(kind="package sources of hosts", sample=SOURCES, give=_sources),
    Parser(kind="sums of servers", sample=SUMS, give=_sums),
    Parser(kind="tar archives", sample=_tar_sample(), give=_members, refusals=(Damaged,)),
    Parser(
        kind="statements of provenance",
        sample=json.dumps(envelopes.enclosed(b"{}", [envelopes.Signature(key="a", content=b"b")]), indent=1).encode(),
        give=lambda data, _: envelopes.opened(parse_json(data)),
        refusals=(ValueError,),
    ),
    Parser(
        kind="orders of ramdisks",
        sample=DEPLOY_FORM,
        give=lambda data, _: protocol.parse(data),
        refusals=(protocol.BadRequest,),
    ),
    Parser(kind="reports of ramdisks", sample=REPORT, give=_reports, refusals=(BadReport, Full)),
)
