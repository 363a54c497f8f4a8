"""Archives that break off, answer with errors or with something else: what is asked of them is known, or is not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from imagewright.api import CallContext
from imagewright.testing.reliability import Recorder
from imagewright_debian.state import archive_state

INDEX = b"Date: monday\n" * 100


class Archive(BaseHTTPRequestHandler):
    """Answers every question as the test says."""

    act: Callable[[Archive], None]

    def do_GET(self) -> None:
        type(self).act(self)

    def answer(self, status: int, content: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def _reset(archive: Archive) -> None:
    archive.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    archive.connection.close()


UNHELPFUL: dict[str, tuple[Callable[[Archive], None], bool]] = {
    "less than it says": (lambda archive: archive.answer(200, INDEX[:300], len(INDEX)), False),
    "nothing there": (lambda archive: archive.answer(404, b"no"), False),
    "a closed connection": (_reset, False),
    "no HTTP": (lambda archive: archive.wfile.write(b"SSH-2.0-other\r\n") and None, False),
    # what is signed is found out where the tree is made, which is a new one since the answer is
    "a page of a portal": (lambda archive: archive.answer(200, b"<html>please log in</html>"), True),
}


@pytest.fixture
def sources() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Archive) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"deb http://127.0.0.1:{server.server_port} trixie main"
        server.shutdown()


@pytest.mark.parametrize("what", UNHELPFUL)
def test_an_archive_that_is_no_help_is_known_not_to_be_asked(
    sources: str, tmp_path: Path, reliability: Recorder, what: str
) -> None:
    (tmp_path / "lib").mkdir()
    environment = {"_LIB": str(tmp_path / "lib"), "no_proxy": "127.0.0.1", "PATH": "/usr/bin:/bin"}
    context = CallContext(target_root=None, environment=environment)
    act, known = UNHELPFUL[what]

    def asked() -> str:
        return archive_state(context, sources=sources, authority="", release="trixie")

    with reliability.trying("faults", "an unhelpful archive of packages"):
        Archive.act = lambda archive: archive.answer(200, INDEX)
        good = asked()
        assert "not known" not in good
        Archive.act = act
        bad = asked()
        assert bad != good
        assert ("not known" not in bad) is known
        assert [path.name for path in tmp_path.iterdir()] == ["lib"]
        Archive.act = lambda archive: archive.answer(200, INDEX)
        assert asked() == good
