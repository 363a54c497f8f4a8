"""The state of an archive: by which a first tree that was kept is still good or not."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from imagewright.api import CallContext
from imagewright_debian.state import archive_state


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with one suite, served over HTTP, and its line of sources."""
    suite = tmp_path / "archive/dists/trixie"
    suite.mkdir(parents=True)
    (suite / "InRelease").write_text("Date: monday\n")
    handler = partial(_Quiet, directory=str(tmp_path / "archive"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield suite, f"deb http://127.0.0.1:{server.server_port} trixie main"
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def asked(folder: Path, sources: str) -> str:
    (folder / "lib").mkdir(exist_ok=True)
    environment = {"_LIB": str(folder / "lib"), "no_proxy": "127.0.0.1", "PATH": "/usr/bin:/bin"}
    context = CallContext(target_root=None, environment=environment)
    return archive_state(context, sources=sources, authority="", release="trixie")


def test_the_answer_is_the_same_until_the_index_changes(archive: tuple[Path, str], tmp_path: Path) -> None:
    suite, sources = archive
    first = asked(tmp_path, sources)
    assert "not known" not in first
    assert asked(tmp_path, sources) == first
    (suite / "InRelease").write_text("Date: tuesday\n")
    assert asked(tmp_path, sources) != first


def test_an_archive_without_one_signed_file_is_known_by_its_index(archive: tuple[Path, str], tmp_path: Path) -> None:
    suite, sources = archive
    (suite / "InRelease").rename(suite / "Release")
    assert "not known" not in asked(tmp_path, sources)


def test_what_cannot_be_asked_is_new_every_time(archive: tuple[Path, str], tmp_path: Path) -> None:
    suite, sources = archive
    (suite / "InRelease").unlink()
    first = asked(tmp_path, sources)
    assert "not known" in first
    assert asked(tmp_path, sources) != first
    assert asked(tmp_path, "") != asked(tmp_path, "")
