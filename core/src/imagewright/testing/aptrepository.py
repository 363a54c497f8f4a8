"""A real apt repository over HTTP for tests: signed with a key of its own, and open to one login alone.

It has what a vendor's has (packages, ``Packages``, ``Release``, ``InRelease``), made with dpkg-deb and gpg of the host.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from imagewright.types import Repository

SUITE = "private"
COMPONENT = "main"
DATE = "Tue, 14 Nov 2023 22:13:20 UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class AptRepository:
    """A repository that is served; ``refused`` grows with each request that had no login or a wrong one."""

    address: str
    login: str
    key: bytes
    served: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def value(self) -> Repository:
        """The repository as a request or a flavour names it."""
        return Repository(
            address=self.address, suite=SUITE, components=(COMPONENT,), keys=(self.key,), login=self.login
        )

    @property
    def option(self) -> str:
        """What ``--repository`` takes."""
        return f"{self.address} {SUITE} {COMPONENT}"

    @property
    def netrc(self) -> str:
        """The line of a file for ``--repository-login``."""
        user, _, password = self.login.partition(":")
        return f"machine {self.address.partition('://')[2]} login {user} password {password}\n"


@contextmanager
def apt_repository(
    folder: Path, packages: Mapping[str, Mapping[str, str]], *, login: str = "acme:s3cr3t-login-of-acme"
) -> Iterator[AptRepository]:
    """Make and serve a repository below ``folder``; ``packages`` maps names to files, and those to their texts."""
    key = _make(folder, packages)
    served: list[str] = []
    refused: list[str] = []
    wanted = f"Basic {base64.b64encode(login.encode()).decode()}"

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") == wanted:
                served.append(self.path)
                super().do_GET()
                return
            refused.append(self.path)
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="acme"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder / "tree"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/debian"
        try:
            yield AptRepository(address=address, login=login, key=key, served=served, refused=refused)
        finally:
            server.shutdown()


def _make(folder: Path, packages: Mapping[str, Mapping[str, str]]) -> bytes:
    """Write the repository; return its public key in armour."""
    top = folder / "tree/debian"
    index = top / f"dists/{SUITE}/{COMPONENT}/binary-amd64"
    index.mkdir(parents=True)
    (top / "pool").mkdir()
    text = "\n".join(_package(folder / "sources", top, name, files) for name, files in sorted(packages.items()))
    contents = {"Packages": text.encode(), "Packages.gz": gzip.compress(text.encode(), mtime=0)}
    sums = []
    for name, content in contents.items():
        (index / name).write_bytes(content)
        sums.append(f" {hashlib.sha256(content).hexdigest()} {len(content)} {COMPONENT}/binary-amd64/{name}\n")
    release = top / f"dists/{SUITE}/Release"
    head = f"Origin: acme\nSuite: {SUITE}\nCodename: {SUITE}\nArchitectures: amd64\nComponents: {COMPONENT}\n"
    release.write_text(f"{head}Date: {DATE}\nSHA256:\n{''.join(sums)}")
    return _sign(folder / "keyring", release)


def _package(sources: Path, top: Path, name: str, files: Mapping[str, str]) -> str:
    """Build a package; return its paragraph of ``Packages``."""
    tree = sources / name
    (tree / "DEBIAN").mkdir(parents=True)
    control = (
        f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: Acme <acme@example.org>\nDescription: {name}\n"
    )
    (tree / "DEBIAN/control").write_text(control)
    for place, content in files.items():
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        (tree / place).write_text(content)
    # modes of the package are not the business of the tester's umask
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    archive = top / f"pool/{name}_1.0_all.deb"
    _run("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(archive))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return f"{control}Filename: pool/{archive.name}\nSize: {archive.stat().st_size}\nSHA256: {digest}\n"


def _sign(keyring: Path, release: Path) -> bytes:
    keyring.mkdir(mode=0o700)
    gpg = ("gpg", "--batch", "--quiet", "--homedir", str(keyring), "--passphrase", "", "--pinentry-mode", "loopback")
    try:
        _run(*gpg, "--quick-generate-key", "Acme <acme@example.org>", "rsa3072", "sign", "never")
        _run(*gpg, "--clearsign", "--output", str(release.with_name("InRelease")), str(release))
        return _run(*gpg, "--armor", "--export")
    finally:
        _run("gpgconf", "--homedir", str(keyring), "--kill", "all")


def _run(*argv: str) -> bytes:
    # the same bytes in every run, so that an archive in a package cache is the one that the index names
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise AssertionError(f"{argv[0]} ended with status {done.returncode}:\n{done.stderr.decode(errors='replace')}")
    return done.stdout
