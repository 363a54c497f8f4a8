"""Downloads over HTTP: resumed, retried, through the caller's proxies, with progress, and never waiting for ever."""

from __future__ import annotations

import re
import shutil
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

import httpx
from imagewright.errors import HostError, StepFailed
from imagewright.types import GIB

from imagewright_cloud_images.locating import without_login

SMALL = 4 * 2**20
"""Bytes that a list of sums or a signature may have."""

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/")


class _Interrupted(Exception):
    """An attempt failed in a way that another may not.

    ``progress`` says whether it brought something, ``unreached`` that no server of that name ever answered.
    """

    progress = False
    unreached = False


class NotThere(StepFailed):
    """The server says that it has no such file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for an unhelpful server. Times in seconds.

    ``stall``: silence that ends an attempt; so does a stretch of that length in which fewer than ``least`` bytes come.
    ``attempts`` in a row may bring nothing new; between them a pause that doubles from ``pause`` on. A server that
    never answered gets ``unreached`` attempts, each with ``connect`` for the connection: mostly its name is wrong.
    """

    stall: float = 30.0
    connect: float = 10.0
    least: int = 2**14
    attempts: int = 6
    unreached: int = 2
    pause: float = 1.0
    longest_pause: float = 15.0


class Downloader:
    """Fetches files; ``report`` is told of progress, retries and redirections."""

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        report: Callable[[str], None],
        proxies: Mapping[str, str] | None = None,
        certificate: str = "",
        patience: Patience | None = None,
    ) -> None:
        """``environment`` holds the caller's proxy variables; ``proxies`` (by scheme) stand in where it has none.

        ``certificate`` is a file with one more authority to trust. Raises HostError if it cannot be read.
        """
        self._report = report
        self._patience = patience or Patience()
        trust = ssl.create_default_context()
        if certificate:
            try:
                trust.load_verify_locations(cafile=certificate)
            except (OSError, ssl.SSLError) as error:
                raise HostError(
                    "ca-certificate-unreadable",
                    f"the certificate {certificate} cannot be read",
                    cause=str(error),
                    hint="name a file in PEM form with --ca-certificate",
                ) from error
        self._routed = _Routed(environment, proxies or {}, trust)
        self._client = httpx.Client(
            transport=self._routed,
            follow_redirects=True,
            max_redirects=10,
            timeout=httpx.Timeout(self._patience.stall, connect=min(self._patience.connect, self._patience.stall)),
            # the bytes as they are: a file that is compressed stays so
            headers={"Accept-Encoding": "identity", "User-Agent": "imagewright"},
            trust_env=False,
        )

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        self._client.close()

    def small(self, address: str) -> bytes:
        """The content of a small file. Raises NotThere, StepFailed."""
        found = bytearray()

        def attempt() -> None:
            found.clear()
            with self._asked(address, 0) as response:
                for piece in self._pieces(response):
                    found.extend(piece)
                    if len(found) > SMALL:
                        raise StepFailed(
                            "download-failed",
                            f"{without_login(address)} has more than {SMALL // 2**20} MiB, which no such file has",
                        )

        self._patiently(address, attempt)
        return bytes(found)

    def file(self, address: str, path: Path) -> None:
        """Fetch into ``path``; what lies there already is taken for the file's beginning, and the rest asked for.

        Who calls checks the digest. Raises NotThere, StepFailed; HostError if the file does not fit on the disk.
        """

        def attempt() -> None:
            have = path.stat().st_size if path.exists() else 0
            before = have
            try:
                with self._asked(address, have) as response:
                    if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                        return  # all of it is there, or it is something else, as the digest will say
                    if have and response.status_code != httpx.codes.PARTIAL_CONTENT:
                        self._report("the server does not continue files; beginning anew")
                        have = before = 0
                    total = have + int(response.headers.get("Content-Length", 0) or 0)
                    _check_room(path.parent, total - have)
                    shown = _Progress(self._report, total)
                    with path.open("r+b" if have else "wb") as file:
                        file.seek(have)
                        for piece in self._pieces(response):
                            file.write(piece)
                            have += len(piece)
                            shown.at(have)
                    shown.at(have, end=True)
            except _Interrupted as error:
                error.progress = have - before >= self._patience.least
                raise

        self._patiently(address, attempt)

    def _patiently(self, address: str, attempt: Callable[[], None]) -> None:
        """Try until it works, or until so many attempts in a row have brought nothing."""
        failures = 0
        while True:
            try:
                attempt()
            except _Interrupted as error:
                failures = 1 if error.progress else failures + 1
                if failures >= (self._patience.unreached if error.unreached else self._patience.attempts):
                    raise StepFailed(
                        "download-failed",
                        f"{without_login(address)} cannot be fetched: {error}",
                        cause="no server was reached"
                        if error.unreached
                        else f"{failures} attempts in a row brought nothing",
                        hint="look at the address, at the network, and at the proxy that http_proxy or https_proxy name"
                        if error.unreached
                        else "try again later: what has come is kept and continued",
                    ) from error
                pause = min(self._patience.pause * 2 ** (failures - 1), self._patience.longest_pause)
                self._report(f"{error}; trying again in {pause:.0f} s")
                time.sleep(pause)
            else:
                return

    @contextmanager
    def _asked(self, address: str, have: int) -> Iterator[httpx.Response]:
        headers = {"Range": f"bytes={have}-"} if have else {}
        try:
            with self._client.stream("GET", address, headers=headers) as response:
                if response.history:
                    self._report(f"redirected to {without_login(str(response.url))}")
                self._check_status(address, response, have)
                yield response
        except httpx.TooManyRedirects as error:
            raise _failed(address, "the server redirects for ever") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise _failed(address, "it leads to an address that is neither of http nor of https") from error
        except httpx.ConnectTimeout as error:
            raise self._unreached(error, "it does not answer") from error
        except httpx.TimeoutException as error:
            raise _Interrupted(f"nothing came for {self._patience.stall:g} s") from error
        except httpx.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise _failed(
                    address,
                    "the server's certificate is not trusted",
                    hint="--ca-certificate FILE names the authority that signed it",
                ) from error
            if isinstance(error, httpx.ConnectError):
                raise self._unreached(error, _said(error)) from error
            raise _Interrupted(_said(error)) from error

    def _unreached(self, error: httpx.TransportError, said: str) -> _Interrupted:
        interrupted = _Interrupted(said)
        # a server that has answered before may well be starting again
        interrupted.unreached = error.request.url.host not in self._routed.answered
        return interrupted

    def _check_status(self, address: str, response: httpx.Response, have: int) -> None:
        status = response.status_code
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return
        if status in _AGAIN:
            raise _Interrupted(f"the server answers {status}")
        if status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
            raise NotThere("download-not-there", f"there is no {without_login(address)}", cause=f"answer: {status}")
        if status == httpx.codes.PARTIAL_CONTENT:
            found = _RANGE.match(response.headers.get("Content-Range", ""))
            if not have or found is None or int(found[1]) != have:
                raise _failed(address, "the server sends another part of the file than it was asked for")
        elif status != httpx.codes.OK:
            raise _failed(address, f"the server answers {status}")

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """The body; a server that keeps a trickle going is one that stalls."""
        begun, came = time.monotonic(), 0
        for piece in response.iter_raw():
            yield piece
            came += len(piece)
            now = time.monotonic()
            if now - begun >= self._patience.stall:
                if came < self._patience.least:
                    raise _Interrupted(f"only {came} bytes came in {now - begun:.0f} s")
                begun, came = now, 0


class _Routed(httpx.BaseTransport):
    """Sends each request through the proxy of its scheme, unless ``no_proxy`` names its host."""

    def __init__(self, environment: Mapping[str, str], fallback: Mapping[str, str], trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._proxies = {
            scheme: _variable(environment, f"{scheme}_proxy")
            or _variable(environment, "all_proxy")
            or fallback.get(scheme, "")
            for scheme in ("http", "https")
        }
        self._spared = {"no": _variable(environment, "no_proxy")}
        self._transports: dict[str, httpx.HTTPTransport] = {}
        self.answered: set[str] = set()  # hosts

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        host = request.url.host
        port = f"{host}:{request.url.port}" if request.url.port else host
        spared = proxy_bypass_environment(port, self._spared) if self._spared["no"] else False
        proxy = "" if spared else self._proxies.get(request.url.scheme, "")
        if proxy not in self._transports:
            try:
                self._transports[proxy] = httpx.HTTPTransport(verify=self._trust, proxy=_proxy(proxy))
            except (ValueError, httpx.InvalidURL, ImportError) as error:
                raise HostError(
                    "bad-proxy",
                    f"the proxy {without_login(proxy)} cannot be used",
                    cause=str(error),
                    hint="http_proxy and https_proxy hold an address such as http://proxy.example:3128",
                ) from error
        response = self._transports[proxy].handle_request(request)
        self.answered.add(host)
        return response

    def close(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            transport.close()


class _Progress:
    """Tells how far a download is: every few seconds, so that a log stays short."""

    every = 5.0

    def __init__(self, report: Callable[[str], None], total: int) -> None:
        self._report = report
        self._total = total
        self._told = time.monotonic()

    def at(self, have: int, *, end: bool = False) -> None:
        now = time.monotonic()
        if not end and now - self._told < self.every:
            return
        self._told = now
        share = f" of {_mib(self._total)} ({100 * have // self._total} %)" if self._total else ""
        self._report(f"fetched {_mib(have)}{share}")


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise HostError(
            "too-little-space",
            f"the image has {needed / GIB:.1f} GiB, and {free / GIB:.1f} GiB are free for it",
            where=(f"folder: {folder}",),
            hint="free some room, or name another place with --cache-dir",
        )


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.upper()) or ""


def _proxy(address: str) -> str | None:
    if not address:
        return None
    return address if "://" in address else f"http://{address}"


def _mib(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def _said(error: Exception) -> str:
    """What the system said, without its number: the error of the system is the cause, or an argument of it."""
    inner: object = error
    while isinstance(inner, Exception):
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror.lower()
        inner = inner.__cause__ or (inner.args[0] if inner.args else None)
    return str(error) or type(error).__name__


def _failed(address: str, why: str, *, hint: str = "") -> StepFailed:
    return StepFailed("download-failed", f"{without_login(address)} cannot be fetched: {why}", hint=hint)
