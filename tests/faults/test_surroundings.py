"""What goes away under a builder: streams, terminal, a folder for passing files; and a mirror that misbehaves."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from imagewright.testing.repository import repository

from .harness import PATIENT, Bench

pytestmark = pytest.mark.timeout(PATIENT)

FILES = repository()


class Mirror(ThreadingHTTPServer):
    """A repository of the toy that answers as ``misbehave`` says, from the question ``since`` on."""

    daemon_threads = True
    misbehave: Callable[[Any, bytes], None] | None = None
    since = 0
    asked = 0
    ended = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        content = FILES.get(self.path.rpartition("/")[2], b"")
        self.server.asked += 1
        if self.server.misbehave and self.server.asked > self.server.since:
            self.server.misbehave(self, content)
        else:
            self.answer(200, content)

    def answer(self, status: int, content: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def reset(handler: Handler, _content: bytes) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


def flipped(content: bytes) -> bytes:
    return bytes([*content[:-700], content[-700] ^ 1, *content[-699:]]) if len(content) > 700 else content[::-1]


MISBEHAVIOUR: dict[str, Callable[[Handler, bytes], None]] = {
    "an error of the server": lambda handler, content: handler.answer(500, b"no"),
    "nothing there": lambda handler, content: handler.answer(404, b"no"),
    "too little": lambda handler, content: handler.answer(200, content[: len(content) // 2], len(content)),
    "less than it says it is": lambda handler, content: handler.answer(200, content[: len(content) // 2]),
    "another content": lambda handler, content: handler.answer(200, flipped(content)),
    "a page of a portal": lambda handler, content: handler.answer(200, b"<html>please log in</html>\n"),
    "nothing at all": lambda handler, content: handler.answer(200, b""),
    "no HTTP": lambda handler, content: handler.wfile.write(b"SSH-2.0-other\r\n"),
    "a closed connection": reset,
    "endless silence": lambda handler, content: handler.server.ended.wait(600) and None,
}


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror(("127.0.0.1", 0), Handler) as server:
        server.ended = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.ended.set()
        server.shutdown()


@pytest.mark.parametrize("what", MISBEHAVIOUR)
def test_a_mirror_that_gives(bench: Bench, mirror: Mirror, what: str) -> None:
    address = f"http://127.0.0.1:{mirror.server_port}/{what.replace(' ', '-')}"
    for since in (0, 2) if what == "endless silence" else (0, 1, 2):
        mirror.asked, mirror.since = 0, since
        mirror.misbehave = MISBEHAVIOUR[what]
        packages = bench.kit.cache / "packages"
        with bench.emptied(packages):
            done = bench.strike(
                f"a mirror that gives {what}", "--mirror", address, "--refresh", "-p", "hello", "-p", "mail",
                statuses=(1,),
            )  # fmt: skip
        if done.status:
            assert "packages/" in done.stderr
        else:
            assert mirror.asked <= since or what == "another content"


def test_a_mirror_that_is_not_there(bench: Bench) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/toy"
        done = bench.strike("no network", "--mirror", address, "--refresh", statuses=(1,))
    assert done.status == 1


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_goes_away_in_the_middle(bench: Bench, stream: str) -> None:
    for _ in range(3):
        with bench.fault(f"the reader of {stream} goes away"):
            earlier = bench.outputs()
            pipe = bench.kit.folder / f"pipe-{time.monotonic_ns()}"
            os.mkfifo(pipe)
            order = bench.order()
            Path(order["stderr"]).touch()
            said = order[stream]
            order[stream] = str(pipe)
            reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            pid = bench.begin(order)
            if stream == "stderr":
                bench.until(lambda reader=reader: _read(reader))
            else:
                bench.until(lambda order=order: os.path.getsize(order["stderr"]))
            os.close(reader)
            order[stream] = said
            Path(said).touch()
            done = bench.end(pid, order)
            pipe.unlink()
            # who reads no progress gets the image all the same; who reads no paths is told by the status
            assert done.status == (0 if stream == "stderr" else 141), done.stderr
            assert "Traceback" not in done.stderr
            assert bench.outputs() != earlier


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 100)
    except BlockingIOError:
        return b""


def test_a_terminal_that_goes_away(bench: Bench) -> None:
    events = bench.counts()["event"]
    for at in range(2, events, 4):
        with bench.fault("the terminal goes away"):
            earlier = bench.outputs()
            order = bench.order("--progress", "rich", terminal=True, signal=signal.SIGSTOP, at="event", number=at)
            pid = bench.begin(order)
            bench.until(lambda pid=pid: _stopped(pid))
            bench.hang_up(pid)
            bench.kill(pid, signal.SIGCONT)
            done = bench.end(pid, order)
            assert done.status == 129, done.stderr
            assert bench.outputs() == earlier


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_folder_for_passing_files_that_vanishes(bench: Bench) -> None:
    events = bench.counts()["event"]
    for behind in (1, events // 3, events // 2, events - 4):
        with bench.fault("TMPDIR vanishes"):
            done = bench.run(gone=str(bench.spare), behind=behind)
            bench.spare.mkdir()
            assert done.status == 0, done.stderr
            bench.word()
