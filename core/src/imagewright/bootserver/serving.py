"""Runs the boot server: deployments in the background, one for each machine at a time, until it is told to end."""

from __future__ import annotations

import contextlib
import http
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagewright.bootserver import reports
from imagewright.bootserver.deployment import Order, deploy
from imagewright.bootserver.events import Event, Log
from imagewright.bootserver.images import Images
from imagewright.bootserver.initiator import Initiator
from imagewright.bootserver.protocol import Endpoint, Request
from imagewright.bootserver.server import BootServer, Rooms
from imagewright.errors import ImagewrightError

_AT_ONCE = 8
"""How many disks are written at a time; a machine that comes then is told to come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What to serve. ``order`` is None if no disks are written; ``keys`` are those of the deployment ids."""

    listen: Endpoint
    image: Path | None = None
    order: Order | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    reports: Path | None = None
    once: bool = False


class Serving:
    """A boot server that runs; made by :func:`serving`."""

    def __init__(self, service: Service, folder: Path, log: Log) -> None:
        self.service = service
        self._folder = folder
        self._log = log
        self._lock = threading.Lock()
        self._running: dict[str, Initiator] = {}
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._ok = True
        self._reports = None if service.reports is None else reports.Reports(service.reports)
        self.images = Images(service.image, folder)
        self.server = BootServer(
            service.listen,
            Rooms(
                images=self.images,
                reports=self._reports,
                keys=service.keys,
                deploy=self._deploy,
                received=self._received,
                log=log,
            ),
        )

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until one deployment, report or inventory has come to its end, if once was asked for; was it good?"""
        self._over.wait(timeout)
        return self._over.is_set() and self._ok

    def stop(self) -> None:
        """End the deployments that run."""
        with self._lock:
            running, threads = list(self._running.values()), list(self._threads)
        for initiator in running:
            initiator.stop()
        for thread in threads:
            thread.join(10)

    def prepare(self) -> None:
        """Make the images that are served; in the background."""
        self._start(self._prepare)

    def _prepare(self) -> None:
        initiator = Initiator(self._folder)
        with self._named("images", initiator):
            try:
                offered = self.images.prepare(initiator)
            except (ImagewrightError, OSError) as error:
                self._log(Event(kind="failed", text=f"the image is not served: {error}"))
                return
        for one in offered.values():
            self._log(Event(kind="image", text=f"/images/{one.name} sha256 {one.digest}"))

    def _deploy(self, request: Request, peer: str) -> http.HTTPStatus:
        order = self.service.order
        if order is None:
            return self._no(http.HTTPStatus.NOT_FOUND, request, peer, "no disks are written here")
        if not order.speaks_for(peer, request.address):
            return self._no(
                http.HTTPStatus.FORBIDDEN, request, peer, f"it says it is at {request.address}, but it is not"
            )
        initiator = Initiator(self._folder)
        with self._lock:
            if request.address in self._running:
                return self._no(http.HTTPStatus.CONFLICT, request, peer, "its disk is being written already")
            if len(self._running) >= _AT_ONCE:
                return self._no(http.HTTPStatus.SERVICE_UNAVAILABLE, request, peer, "too many disks at once")
            self._running[request.address] = initiator
        self._log(Event(kind="deploying", text=f"deployment {request.id}: writing {request.iqn}", client=peer))
        self._start(self._write, order, request, initiator)
        return http.HTTPStatus.OK

    def _no(self, status: http.HTTPStatus, request: Request, peer: str, why: str) -> http.HTTPStatus:
        self._log(Event(kind="refused", text=f"deployment {request.id}: {why}", client=peer))
        return status

    def _write(self, order: Order, request: Request, initiator: Initiator) -> None:
        client = request.address
        facts: dict[str, object] = {"deployment": request.id, "target": request.iqn, "image": order.image.name}
        try:
            with self._named(client, initiator):
                done = deploy(order, request, self._folder, initiator)
        except Exception as error:
            # Whatever it is: the machine's fate has to be in the log and in a report, not in a dead thread.
            self._log(Event(kind="failed", text=f"deployment {request.id}: {error}", client=client))
            reference = error.reference if isinstance(error, ImagewrightError) else type(error).__name__
            self._conclude(client, {**facts, "state": "failed", "reference": reference, "message": str(error)})
            return
        stayed = f", kept {', '.join(done.kept)}" if done.kept else ""
        text = f"deployment {request.id}: written in {done.seconds:.1f} s{stayed}"
        self._log(Event(kind="deployed", text=text, client=client))
        told = {"image_size": done.image_size, "disk_size": done.disk_size, "kept": list(done.kept)}
        self._conclude(client, {**facts, **told, "state": "done", "seconds": round(done.seconds, 1)})

    def _conclude(self, client: str, content: dict[str, object]) -> None:
        if self._reports is not None:
            try:
                self._reports.put("deployment", client, content)
            except (reports.Full, OSError) as error:
                self._log(Event(kind="failed", text=f"the report cannot be kept: {error}", client=client))
        self._end(ok=content["state"] == "done")

    def _received(self, kind: reports.Kind, kept: reports.Kept, client: str) -> None:
        text = f"{kept.path.name}{': ' if kept.summary else ''}{kept.summary}"
        self._log(Event(kind="inventory" if kind == "inventory" else "report", text=text, client=client))
        if kept.outcome != "under way":
            self._end(ok=kept.outcome == "done")

    def _end(self, *, ok: bool) -> None:
        if self.service.once and not self._over.is_set():
            self._ok = ok
            self._over.set()

    def _start(self, target: object, *arguments: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
        thread.start()

    @contextlib.contextmanager
    def _named(self, name: str, initiator: Initiator) -> Iterator[None]:
        with self._lock:
            self._running[name] = initiator
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(name, None)


@contextlib.contextmanager
def serving(service: Service, folder: Path, log: Log = lambda _: None) -> Iterator[Serving]:
    """Run a boot server for as long as the context lasts, with temporary files in ``folder``.

    Raises HostError if the port cannot be had or a tool is missing, UsageError for a folder that cannot be written.
    """
    it = Serving(service, folder, log)
    try:
        with it.server.answering():
            log(Event(kind="started", text=f"listening at {it.server.endpoint}"))
            it.prepare()
            yield it
    finally:
        it.stop()
