"""The boot server as machines see it, over real connections."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard
from imagewright.bootserver import protocol, reports
from imagewright.bootserver import server as bootserver
from imagewright.bootserver.deployment import Order
from imagewright.bootserver.events import Event
from imagewright.bootserver.protocol import Endpoint
from imagewright.bootserver.serving import Service, Serving, serving
from imagewright.errors import HostError, UsageError

from .conftest import IQN, Machine, write_disk

Answer = tuple[int, dict[str, str], bytes]


class Server:
    def __init__(self, it: Serving, events: list[Event]) -> None:
        self.it = it
        self.events = events

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        endpoint = self.it.server.endpoint
        connection = http.client.HTTPConnection(endpoint.address, endpoint.port, timeout=120)
        connection.request(method, path, body or None, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def said(self, kind: str, timeout: float = 30) -> Event:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for event in list(self.events):
                if event.kind == kind:
                    return event
            time.sleep(0.02)
        raise AssertionError(f"nothing of the kind {kind} was said: {self.events}")


@contextmanager
def running(folder: Path, **more: object) -> Iterator[Server]:
    scratch = folder / "scratch"
    scratch.mkdir()
    events: list[Event] = []
    service = Service(listen=Endpoint(address="127.0.0.1", port=0), **more)  # type: ignore[arg-type]
    with serving(service, scratch, events.append) as it:
        yield Server(it, events)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_disk(tmp_path / "web.raw", 16, ("root", 1, 10))


def test_the_image_is_served_as_it_is_and_compressed_each_with_its_digest(image: Path, tmp_path: Path) -> None:
    with running(tmp_path, image=image) as server:
        assert server.ask("GET", "/")[2] == b"/images/web.raw\n/images/web.raw.zst\n"
        status, headers, content = server.ask("GET", "/images/web.raw")
        assert (status, content, headers["accept-ranges"]) == (200, image.read_bytes(), "bytes")
        status, _, packed = server.ask("GET", "/images/web.raw.zst")
        assert len(packed) < 2**16
        assert zstandard.ZstdDecompressor().decompress(packed) == image.read_bytes()
        told = server.ask("GET", "/images/web.raw.zst.sha256")[2].decode()
        assert told == f"{hashlib.sha256(packed).hexdigest()}  web.raw.zst\n"
        assert server.said("image").text.startswith("/images/web.raw sha256 ")


def test_a_part_of_an_image_can_be_fetched_and_only_while_it_is_the_same_image(image: Path, tmp_path: Path) -> None:
    with running(tmp_path, image=image) as server:
        whole = image.read_bytes()
        status, headers, content = server.ask("GET", "/images/web.raw", headers={"Range": "bytes=1048570-1048585"})
        assert (status, content) == (206, whole[1048570:1048586])
        assert headers["content-range"] == f"bytes 1048570-1048585/{len(whole)}"
        same = {"Range": "bytes=0-0", "If-Range": headers["etag"]}
        assert server.ask("GET", "/images/web.raw", headers=same)[0] == 206
        other = {"Range": "bytes=0-0", "If-Range": '"another"'}
        assert server.ask("GET", "/images/web.raw", headers=other)[0] == 200
        status, headers, _ = server.ask("GET", "/images/web.raw", headers={"Range": f"bytes={len(whole)}-"})
        assert (status, headers["content-range"]) == (416, f"bytes */{len(whole)}")
        status, headers, content = server.ask("HEAD", "/images/web.raw")
        assert (status, headers["content-length"], content) == (200, str(len(whole)), b"")


def test_a_machine_whose_disk_is_slow_gets_the_whole_image(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootserver._Handler, "timeout", 0.2)
    with running(tmp_path, image=image) as server:
        endpoint = server.it.server.endpoint
        with socket.socket() as machine:
            machine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
            machine.connect((endpoint.address, endpoint.port))
            machine.sendall(b"GET /images/web.raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            time.sleep(1.5)
            machine.settimeout(30)
            content = b"".join(iter(lambda: machine.recv(2**20), b""))
        assert content.partition(b"\r\n\r\n")[2] == image.read_bytes()


@pytest.mark.parametrize("path", ["/images/", "/images/../keys", "/images/%2e%2e/keys", "/etc/passwd", "/images/web"])
def test_nothing_else_is_served(path: str, image: Path, tmp_path: Path) -> None:
    with running(tmp_path, image=image) as server:
        assert server.ask("GET", path)[0] == 404


def test_reports_and_inventories_are_kept_as_json_files(tmp_path: Path) -> None:
    with running(tmp_path, reports=tmp_path / "kept") as server:
        report = {"flavour": "deploy", "state": "failed", "message": "no\ndisk"}
        assert server.ask("POST", "/report", json.dumps(report).encode())[0] == 201
        assert server.ask("POST", "/inventory", b'{"cpus": 4}')[0] == 201
        first, second = sorted((tmp_path / "kept").iterdir())
        kept = json.loads(first.read_bytes())
        assert (kept["schema"], kept["kind"], kept["client"], kept["content"]) == (1, "report", "127.0.0.1", report)
        assert json.loads(second.read_bytes())["content"] == {"cpus": 4}
        assert server.said("report").text.endswith("deploy: failed: no?disk")


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/report", b"[1]", {}, 400),
        ("/report", b"{", {}, 400),
        ("/report", b'{"temperature": NaN}', {}, 400),
        ("/report", b"[" * 100_000, {}, 400),
        ("/report", b"", {"Content-Length": "x"}, 411),
        ("/report", b"{}", {"Content-Length": str(2**21)}, 413),
        ("/elsewhere", b"{}", {}, 404),
    ],
)
def test_what_is_no_report_is_refused_and_leaves_no_file(
    path: str, body: bytes, headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    with running(tmp_path, reports=tmp_path / "kept") as server:
        assert server.ask("POST", path, body, headers)[0] == status
        assert list((tmp_path / "kept").iterdir()) == []
        assert server.said("refused").client == "127.0.0.1"


def test_a_full_folder_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_MOST_FILES", 1)
    with running(tmp_path, reports=tmp_path / "kept") as server:
        assert server.ask("POST", "/report", b"{}")[0] == 201
        assert server.ask("POST", "/report", b"{}")[0] == 507
        assert len(list((tmp_path / "kept").iterdir())) == 1


def test_a_client_that_says_nothing_does_not_hold_up_others(image: Path, tmp_path: Path) -> None:
    with running(tmp_path, image=image) as server:
        endpoint = server.it.server.endpoint
        with socket.create_connection((endpoint.address, endpoint.port)):
            assert server.ask("GET", "/")[0] == 200


def form(key: str = "abc", address: str = "127.0.0.1") -> bytes:
    return f"i=17&k={key}&a={address}&n={IQN}".encode()


def test_a_deployment_needs_the_key_and_the_machine_s_own_address(image: Path, tmp_path: Path) -> None:
    with running(tmp_path, image=image, order=Order(image=image), keys={"17": "abc"}) as server:
        assert server.ask("POST", "/", form("wrong"))[0] == 403
        assert server.ask("POST", "/", form(address="192.0.2.7"))[0] == 403
        assert server.ask("POST", "/", b"x")[0] == 400


def test_without_keys_no_disk_is_written(image: Path, tmp_path: Path) -> None:
    with running(tmp_path, image=image) as server:
        assert server.ask("POST", "/", form())[0] == 403


@pytest.mark.parametrize("mib", [32, 8])
def test_a_deployment_is_reported_and_ends_a_server_that_serves_once(
    mib: int, image: Path, tgt: Callable[..., Machine], tmp_path: Path
) -> None:
    disk = write_disk(tmp_path / "disk", mib)
    machine = tgt(disk)
    with socket.create_server(("127.0.0.1", 0)) as waiting:
        reached = {
            Endpoint(address="127.0.0.1", port=protocol.ISCSI_PORT): machine.target.portal,
            Endpoint(address="127.0.0.1", port=protocol.PORT): Endpoint(
                address="127.0.0.1", port=waiting.getsockname()[1]
            ),
        }
        order = Order(image=image, connect_to=reached)
        kept = tmp_path / "kept"
        with running(tmp_path, image=image, order=order, keys={"17": "abc"}, reports=kept, once=True) as server:
            assert server.ask("POST", "/", form())[0] == 200
            good = server.it.wait(60)
    report = json.loads(next(kept.iterdir()).read_bytes())
    assert report["kind"] == "deployment"
    if mib == 32:
        assert good
        assert report["content"]["state"] == "done"
        assert disk.read_bytes()[2**20 : 2**20 + 4] == b"root"
    else:
        assert not good
        assert report["content"]["reference"] == "disk-too-small"
        assert report["content"]["state"] == "failed"


def test_a_ramdisk_s_last_report_ends_a_server_that_serves_once(tmp_path: Path) -> None:
    with running(tmp_path, reports=tmp_path / "kept", once=True) as server:
        server.ask("POST", "/report", b'{"state": "started"}')
        assert not server.it.wait(0.2)
        server.ask("POST", "/report", b'{"state": "done"}')
        assert server.it.wait(60)


def test_a_port_that_is_taken_is_a_clear_error(tmp_path: Path) -> None:
    with running(tmp_path, reports=tmp_path / "kept") as server:
        taken = Service(listen=server.it.server.endpoint, reports=tmp_path / "kept")
        with pytest.raises(HostError, match="cannot listen at 127.0.0.1:"), serving(taken, tmp_path):
            pass


def test_a_folder_of_reports_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"), running(tmp_path, reports=tmp_path / "file"):
        pass


def test_threads_end_with_the_server(image: Path, tmp_path: Path) -> None:
    before = threading.active_count()
    with running(tmp_path, image=image) as server:
        server.ask("GET", "/images/web.raw.zst")
    deadline = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before
