"""A package mirror on this machine, so that all who are compared fetch the same files at the same speed.

``with mirror(folder) as address:`` serves Debian's archive on the loopback; what ``folder`` lacks is fetched from the
mirror of the host's apt, once. Indexes are kept for twelve hours, so that those of one run fit together. The server is
a process of its own, below none of the measured commands.
"""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagewright_debian.sources import host_mirrors

KEPT = 12 * 3600  # seconds
_ABSENT = ".absent"


@contextmanager
def mirror(folder: Path) -> Iterator[str]:
    """Serve the archive; the address. Raises SystemExit if the host's apt has no mirror of Debian."""
    if not host_mirrors()[0]:
        raise SystemExit("the host's apt names no mirror of Debian; without one there is nothing to compare with")
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "indexes-fetched"
    if not stamp.exists() or time.time() - stamp.stat().st_mtime > KEPT:
        shutil.rmtree(folder / "debian" / "dists", ignore_errors=True)
        stamp.touch()
    server = subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}/debian"
    finally:
        server.terminate()
        server.wait()


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and fills it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Fetch what is not there yet, and serve it."""
        self._fetch()
        super().do_GET()

    def do_HEAD(self) -> None:
        """The same without the content."""
        self._fetch()
        super().do_HEAD()

    def _fetch(self) -> None:
        place = Path(self.translate_path(self.path))
        absent = place.with_name(place.name + _ABSENT)
        if not self.path.startswith("/debian/") or place.exists() or absent.exists():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        passing = place.with_name(f".{place.name}.{os.getpid()}.{id(self)}")
        try:
            address = host_mirrors()[0].rstrip("/") + self.path.removeprefix("/debian")
            with urllib.request.urlopen(address, timeout=60) as answer, passing.open("wb") as file:
                shutil.copyfileobj(answer, file)
            passing.replace(place)
        except urllib.error.HTTPError as error:
            passing.unlink(missing_ok=True)
            if error.code == 404:
                absent.touch()
        except OSError:
            passing.unlink(missing_ok=True)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def _serve(folder: Path) -> None:
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0),
        lambda *words: _Handler(*words, directory=str(folder)),
    ) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
