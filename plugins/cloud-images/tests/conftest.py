"""A server with the layout of Ubuntu's, that can be as unhelpful as any; keys that sign; small images."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imagewright.testing.built import Built
from imagewright.testing.kit import ImageKit
from imagewright_cloud_images import download

if TYPE_CHECKING:
    from .calling import Caller

RELEASE = "resolute"
NAME = f"{RELEASE}-server-cloudimg-amd64-root.tar.xz"
FOLDER = f"/{RELEASE}/current"

CAPABILITY = bytes.fromhex("01000002 00200000 00000000 00000000 00000000".replace(" ", ""))
"""cap_net_raw+ep, as struct vfs_cap_data of revision 2 (capabilities(7))."""

# what the tree needs of apt and systemd: each says what it was asked for
APT = """#!/bin/sh
echo "apt-get $*" >>/var/log/asked
case " $* " in
    *" --print-uris "*) echo "'http://mirror.example/sudo.deb' sudo_1_all.deb 1 SHA256:00" ;;
    *" install "*) for last; do :; done
        case " $* " in *linux-image*) mkdir -p /boot /usr/lib/modules/6.99; echo kernel >/boot/vmlinuz-6.99 ;; esac ;;
esac
"""
DPKG_QUERY = "#!/bin/sh\nprintf 'ii \\tsudo\\t1\\tall\\n'\n"
TOLD = '#!/bin/sh\necho "${0##*/} $*" >>/var/log/asked\n'


class Handler(BaseHTTPRequestHandler):
    """Answers for a :class:`CloudServer`."""

    protocol_version = "HTTP/1.1"
    server: CloudServer

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range", "")))
        for action in self.server.actions:
            if action(self):
                return
        self.give(self.server.files.get(self.path.partition("?")[0]))

    def do_CONNECT(self) -> None:
        self.send_error(405)

    def give(self, content: bytes | None, *, cut: int = 0, ranges: bool = True) -> None:
        """Send a file, or 404; ``cut`` closes the connection after so many bytes of the body."""
        if content is None:
            self.send_error(404)
            return
        start = 0
        wanted = self.headers.get("Range", "")
        if wanted and ranges and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut] if cut else body)
        if cut:
            self.wfile.flush()
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class CloudServer(ThreadingHTTPServer):
    """``files`` by path; ``actions`` may answer in their place; ``asked`` holds (path, range) of every question."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.actions: list[Callable[[Handler], bool]] = []
        self.asked: list[tuple[str, str]] = []
        self.ranges = True
        self.scheme = "http"

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def count(self, name: str) -> int:
        """How often a file was asked for."""
        return sum(path.endswith(f"/{name}") for path, _ in self.asked)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""


@dataclass(kw_only=True)
class Key:
    """A key that signs, and its keyring."""

    home: Path
    keyring: Path
    fingerprint: str

    def sign(self, content: bytes) -> bytes:
        """A detached signature."""
        return subprocess.run(
            [*gpg(self.home), "--detach-sign", "--output", "-"], input=content, check=True, capture_output=True
        ).stdout


def gpg(home: Path) -> list[str]:
    return ["gpg", "--homedir", str(home), "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback"]


def make_key(home: Path, name: str, expires: str = "never") -> Key:
    home.mkdir(mode=0o700)
    parameters = [*gpg(home), "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", expires]
    subprocess.run(parameters, check=True, capture_output=True)
    keyring = home / "keyring.gpg"
    subprocess.run([*gpg(home), "--export", "--output", str(keyring)], check=True, capture_output=True)
    keyring.chmod(0o644)
    listed = subprocess.run([*gpg(home), "--with-colons", "--list-keys"], check=True, capture_output=True, text=True)
    fingerprint = next(line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fpr"))
    return Key(home=home, keyring=keyring, fingerprint=fingerprint)


@pytest.fixture(scope="session")
def keys() -> Iterator[tuple[Key, Key]]:
    """The key of the server, and a stranger's."""
    if shutil.which("gpg") is None:
        pytest.fail("the tests sign with gpg")
    # sockets have short names only
    folder = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    folder.chmod(0o755)
    try:
        yield make_key(folder / "own", "Cloud Images <images@cloud.example>"), make_key(folder / "other", "A Stranger")
    finally:
        for home in folder.iterdir():
            subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def key(keys: tuple[Key, Key]) -> Key:
    return keys[0]


@pytest.fixture
def server() -> Iterator[CloudServer]:
    with serving(CloudServer()) as found:
        yield found


class serving:  # noqa: N801 - a context manager
    """Serve until the end of the block."""

    def __init__(self, server: CloudServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> CloudServer:
        self._thread.start()
        return self._server

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass(kw_only=True)
class Cloud:
    """A server with one release whose image and sums can be replaced."""

    server: CloudServer
    key: Key
    digest: str = field(default="", init=False)

    @property
    def folder(self) -> str:
        return f"{self.server.address}{FOLDER}"

    def publish(self, image: bytes, name: str = NAME, *, sums: bytes | None = None, key: Key | None = None) -> str:
        """Put an image there, with signed sums; its digest."""
        self.digest = hashlib.sha256(image).hexdigest()
        text = sums if sums is not None else f"{'0' * 64} *another.img\n{self.digest} *{name}\n".encode()
        self.server.files |= {
            f"{FOLDER}/{name}": image,
            f"{FOLDER}/SHA256SUMS": text,
            f"{FOLDER}/SHA256SUMS.gpg": (key or self.key).sign(text),
        }
        return self.digest


@pytest.fixture
def cloud(server: CloudServer, key: Key) -> Cloud:
    found = Cloud(server=server, key=key)
    found.publish(b"an image " * 50_000)
    return found


# -- small images


def add(
    archive: tarfile.TarFile,
    name: str,
    content: str | bytes = b"",
    *,
    mode: int = 0o644,
    owner: tuple[int, int] = (0, 0),
    kind: bytes = tarfile.REGTYPE,
    target: str = "",
    attributes: dict[str, bytes] | None = None,
    device: tuple[int, int] = (0, 0),
    mtime: int = 1_600_000_000,
) -> None:
    """Add a member to an archive."""
    info = tarfile.TarInfo(name)
    data = content.encode() if isinstance(content, str) else content
    info.size, info.mode, info.type, info.linkname = len(data), mode, kind, target
    (info.uid, info.gid), (info.devmajor, info.devminor), info.mtime = owner, device, mtime
    for key, value in (attributes or {}).items():
        info.pax_headers[f"SCHILY.xattr.{key}"] = value.decode("utf-8", "surrogateescape")
    archive.addfile(info, io.BytesIO(data))


EXTRAS: tuple[dict[str, object], ...] = (
    {"name": "usr/bin/apt-get", "content": APT, "mode": 0o755},
    {"name": "usr/bin/dpkg-query", "content": DPKG_QUERY, "mode": 0o755},
    {"name": "usr/bin/systemctl", "content": TOLD, "mode": 0o755},
    {"name": "usr/sbin/update-initramfs", "content": TOLD, "mode": 0o755},
    {"name": "etc/initramfs-tools", "kind": tarfile.DIRTYPE, "mode": 0o755},
    {"name": "etc/initramfs-tools/conf.d", "kind": tarfile.DIRTYPE, "mode": 0o755},
    {"name": "etc/default", "kind": tarfile.DIRTYPE, "mode": 0o755},
    {"name": "etc/apt/apt.conf.d", "kind": tarfile.DIRTYPE, "mode": 0o755},
    {"name": "etc/apt/sources.list.d", "kind": tarfile.DIRTYPE, "mode": 0o755},
    {"name": "etc/dpkg/dpkg.cfg.d", "kind": tarfile.DIRTYPE, "mode": 0o755},
    {
        "name": "etc/apt/sources.list.d/ubuntu.sources",
        "content": "Types: deb\nURIs: http://archive.example/ubuntu/\nSuites: resolute resolute-updates\n"
        "Components: main\n\nTypes: deb\nURIs: http://security.example/ubuntu/\nSuites: resolute-security\n"
        "Components: main\n",
    },
    {"name": "usr/lib/os-release", "content": "ID=ubuntu\nVERSION_ID=26.04\n"},
    {
        "name": "etc/fstab",
        "content": "LABEL=cloudimg-rootfs / ext4 defaults 0 1\nLABEL=UEFI /boot/efi vfat x 0 1\n"
        "tmpfs /scratch tmpfs defaults 0 0\n",
    },
    {"name": "etc/machine-id", "content": "0123456789abcdef0123456789abcdef\n"},
    {"name": "etc/ssh/ssh_host_ed25519_key", "content": "secret", "mode": 0o600},
    {"name": "var/lib/cloud/instance/id", "content": "i-1"},
    {"name": "etc/shadow", "content": "root:*:1:0:9:7:::\ntester:$6$x$y:1:0:9:7:::\n", "mode": 0o640, "owner": (0, 42)},
    {"name": "usr/bin/ping", "content": "ping", "mode": 0o755, "attributes": {"security.capability": CAPABILITY}},
    {"name": "usr/bin/su", "content": "su", "mode": 0o4755},
    {"name": "usr/bin/su-again", "kind": tarfile.LNKTYPE, "target": "usr/bin/su", "mode": 0o4755},
    {"name": "var/mail", "kind": tarfile.DIRTYPE, "mode": 0o2775, "owner": (0, 8)},
    {"name": "var/mail/ann", "content": b"\0" * 3_000_000 + b"end", "mode": 0o660, "owner": (1000, 8)},
    {"name": "dev/null", "kind": tarfile.CHRTYPE, "device": (1, 3), "mode": 0o666},
)


@pytest.fixture(scope="session")
def toy_tree(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A tar of the toy operating system that passes for a small Ubuntu: apt and systemctl only say what they hear."""
    folder = tmp_path_factory.mktemp("toy-tree")
    with ImageKit.open(folder / "kit", shared=folder) as kit:
        plain = kit.build().path("tar").read_bytes()
    out = io.BytesIO()
    replaced = {str(extra["name"]) for extra in EXTRAS}
    with (
        tarfile.open(fileobj=io.BytesIO(plain)) as source,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):
        for info in source:
            name = info.name.removeprefix("./")
            # like Ubuntu's root tree, it has no kernel
            if name not in replaced and not name.startswith(("boot/", "usr/lib/modules/")):
                made.addfile(info, source.extractfile(info) if info.isreg() else None)
        for extra in EXTRAS:
            add(made, **extra)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.fixture
def toy_file(toy_tree: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "toy-root.tar"
    path.write_bytes(toy_tree)
    return path


@pytest.fixture(autouse=True)
def _quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the tester's stands between the tests and their server."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caller:
    from .calling import Caller

    quick = functools.partial(download.Patience, stall=0.4, pause=0.01, attempts=3)
    monkeypatch.setattr(download, "Patience", quick)
    return Caller(cache=tmp_path / "cache")


@pytest.fixture
def built(image_kit: ImageKit, toy_file: Path) -> Built:
    from .building import build

    return build(image_kit, toy_file)
