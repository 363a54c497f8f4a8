"""Answers machines over HTTP, with a bounded number of threads and bounded sizes.

==========================  ===================================================================================
``POST /``                  the protocol of ``deploy``: ``i``, ``k``, ``a``, ``n``; the machine's disk is written
``GET /images/NAME``        an image, with ``Range``; ``HEAD`` too
``GET /images/NAME.sha256`` its digest, as sha256sum prints it
``POST /report``            a report, a JSON object
``POST /inventory``         an inventory, a JSON object
``GET /``                   the names of the images, one a line
==========================  ===================================================================================
"""

from __future__ import annotations

import contextlib
import http
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from imagewright import __version__
from imagewright.bootserver import protocol, ranges
from imagewright.bootserver.events import Event, Log, printable
from imagewright.bootserver.images import DIGEST, Images, Offered
from imagewright.bootserver.reports import LARGEST, BadReport, Full, Kept, Reports
from imagewright.bootserver.reports import Kind as ReportKind
from imagewright.errors import HostError

_CONNECTIONS = 64
"""How many machines are answered at once; others wait in the kernel's queue."""

_SILENCE = 60.0
"""Seconds after which a machine that says or takes nothing is given up."""

_SLOWEST = 600.0
"""The same for a machine that is sent an image: its disk may zero gigabytes before it takes more."""

_PATIENCE = 600.0
"""Seconds for which a machine waits for an image that is being made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What the server answers from. ``deploy`` starts a deployment and says at once whether it did: a status."""

    images: Images
    reports: Reports | None
    keys: Mapping[str, str]
    deploy: Callable[[protocol.Request, str], http.HTTPStatus]
    received: Callable[[ReportKind, Kept, str], None]
    log: Log


class BootServer(ThreadingHTTPServer):
    """A server that listens; :meth:`answering` runs it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, endpoint: protocol.Endpoint, rooms: Rooms) -> None:
        """Listen at ``endpoint``, port 0 for a free one. Raises HostError if it is taken or not this host's."""
        self.rooms = rooms
        self.address_family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)
        try:
            super().__init__((endpoint.address, endpoint.port), _Handler)
        except OSError as error:
            raise HostError(
                "cannot-listen",
                f"the boot server cannot listen at {endpoint}",
                cause=error.strerror or str(error),
                hint="choose another with `--listen ADDRESS:PORT`",
            ) from error

    def server_bind(self) -> None:
        """Bind without asking the name service for this host's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def endpoint(self) -> protocol.Endpoint:
        """Where it listens."""
        return protocol.Endpoint(address=self.server_name, port=self.server_port)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Answer until the context ends."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, once there is room for one."""
        self._slots.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A machine that went away is none of our faults; it is said in the log when something was expected of it."""


class _Refused(Exception):
    def __init__(self, status: http.HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: BootServer
    protocol_version = "HTTP/1.1"
    server_version = f"imagewright/{__version__}"
    sys_version = ""
    timeout = _SILENCE

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Not that way: see ``_say``."""

    @property
    def _client(self) -> str:
        # An IPv4 machine at a socket for both is the same machine.
        return str(self.client_address[0]).removeprefix("::ffff:")

    def _say(self, kind: Any, text: str) -> None:
        self.server.rooms.log(Event(kind=kind, text=text, client=self._client))

    def _answer(self, action: Callable[[str], None]) -> None:
        try:
            action(unquote(urlsplit(self.path).path))
        except _Refused as refusal:
            self._say("refused", f"{self.command} {printable(self.path, 100)}: {refusal}")
            # What was not read of a refused request must not be taken for the next one.
            self.close_connection = True
            self._text(refusal.status, f"{refusal}\n")

    def _get(self, path: str) -> None:
        if path == "/":
            names = self.server.rooms.images.names
            self._text(http.HTTPStatus.OK, "".join(f"/images/{name}\n" for name in names))
            return
        name = path.removeprefix("/images/")
        images = self.server.rooms.images
        if name != path:
            wanted = name if name in images.names else name.removesuffix(DIGEST)
            offered = images.find(wanted, _PATIENCE)
            if offered is not None and wanted != name:
                self._text(http.HTTPStatus.OK, f"{offered.digest}  {offered.name}\n")
                return
            if offered is not None:
                self._file(offered)
                return
        raise _Refused(http.HTTPStatus.NOT_FOUND, "there is no such image")

    def _file(self, offered: Offered) -> None:
        try:
            stream = offered.path.open("rb")
        except OSError as error:
            raise _Refused(http.HTTPStatus.NOT_FOUND, f"the image is gone: {error.strerror}") from error
        with stream:
            status = os.fstat(stream.fileno())
            tag = f'"{offered.digest[:32]}-{status.st_mtime_ns:x}-{status.st_size:x}"'
            header = self.headers.get("Range") if self.headers.get("If-Range", tag) == tag else None
            try:
                part = ranges.part(header, status.st_size)
            except ranges.Unsatisfiable:
                self._text(
                    http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                    "the image is shorter\n",
                    {"Content-Range": f"bytes */{status.st_size}"},
                )
                return
            start, end = part or (0, status.st_size)
            self.send_response(http.HTTPStatus.PARTIAL_CONTENT if part else http.HTTPStatus.OK)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(end - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", tag)
            if part:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{status.st_size}")
            self.end_headers()
            if self.command == "HEAD":
                return
            stream.seek(start)
            try:
                self.connection.settimeout(_SLOWEST)
                self.connection.sendfile(stream, start, end - start)
                self.connection.settimeout(self.timeout)
            except OSError as error:
                self.close_connection = True
                self._say("failed", f"{offered.name} was not fetched to its end: {error.strerror or error}")
                return
            self._say("served", f"{offered.name}, bytes {start} to {end}")

    def _post(self, path: str) -> None:
        match path:
            case "/":
                self._deploy(self._body(protocol.LARGEST_FORM))
            case "/report" | "/inventory":
                kind: ReportKind = "report" if path == "/report" else "inventory"
                self._keep(kind, self._body(LARGEST[kind]))
            case _:
                raise _Refused(http.HTTPStatus.NOT_FOUND, "nothing is taken here")

    def _deploy(self, body: bytes) -> None:
        try:
            request = protocol.parse(body)
        except protocol.BadRequest as error:
            raise _Refused(http.HTTPStatus.BAD_REQUEST, str(error)) from error
        if not protocol.allowed(request, self.server.rooms.keys):
            raise _Refused(http.HTTPStatus.FORBIDDEN, f"deployment {request.id}: unknown id or wrong key")
        status = self.server.rooms.deploy(request, self._client)
        self._text(status, f"{status.phrase}\n")

    def _keep(self, kind: ReportKind, body: bytes) -> None:
        folder = self.server.rooms.reports
        if folder is None:
            raise _Refused(http.HTTPStatus.NOT_FOUND, "no reports are kept here")
        try:
            kept = folder.keep(kind, self._client, body)
        except BadReport as error:
            raise _Refused(http.HTTPStatus.BAD_REQUEST, str(error)) from error
        except (Full, OSError) as error:
            why = "the folder of reports is full" if isinstance(error, Full) else f"no room: {error.strerror}"
            raise _Refused(http.HTTPStatus.INSUFFICIENT_STORAGE, why) from error
        self._text(http.HTTPStatus.CREATED, "kept\n")
        self.server.rooms.received(kind, kept, self._client)

    def _body(self, largest: int) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise _Refused(http.HTTPStatus.LENGTH_REQUIRED, "its length is not said")
        if int(length) > largest:
            raise _Refused(http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"it is longer than {largest} bytes")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            raise _Refused(http.HTTPStatus.BAD_REQUEST, "it ended early")
        return body

    def _text(self, status: http.HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
