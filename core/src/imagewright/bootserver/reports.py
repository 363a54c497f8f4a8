"""The folder of what machines sent: one JSON file each, complete or not there, and never more than a bound."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from imagewright.bootserver.events import printable
from imagewright.errors import UsageError

Kind = Literal["report", "inventory", "deployment"]
Outcome = Literal["done", "failed", "under way"]

LARGEST: dict[str, int] = {"report": 2**20, "inventory": 2**23}
"""Bytes that a machine may send."""

_MOST_FILES = 10_000
_MOST_BYTES = 2**30


class Full(Exception):
    """The folder holds as much as it may."""


class BadReport(ValueError):
    """What was sent is no JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file of the folder and, in a line, what it says."""

    path: Path
    summary: str
    outcome: Outcome


class Reports:
    """The folder; its methods may be called from several threads."""

    def __init__(self, folder: Path) -> None:
        """Make the folder. Raises UsageError if it cannot be made or written."""
        self.folder = folder
        self._lock = threading.Lock()
        self._number = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sizes = [path.stat().st_size for path in folder.glob("*.json")]
        except OSError as error:
            raise UsageError(
                "unwritable-folder", f"the folder {folder} cannot be made", cause=error.strerror or str(error)
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError("unwritable-folder", f"the folder {folder} cannot be written")
        self._files, self._bytes = len(sizes), sum(sizes)

    def keep(self, kind: Kind, client: str, body: bytes) -> Kept:
        """Keep what a machine sent. Raises BadReport, Full or OSError."""
        try:
            content = json.loads(body, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise BadReport("it is no JSON") from None
        if not isinstance(content, dict):
            raise BadReport("it is no JSON object")
        return self.put(kind, client, content)

    def put(self, kind: Kind, client: str, content: dict[str, Any]) -> Kept:
        """Keep a document. Raises Full or OSError."""
        now = datetime.now(UTC)
        document = {"schema": 1, "kind": kind, "received": now.isoformat(timespec="milliseconds"), "client": client}
        data = (json.dumps({**document, "content": content}, indent=1) + "\n").encode()
        with self._lock:
            if self._files >= _MOST_FILES or self._bytes + len(data) > _MOST_BYTES:
                raise Full
            self._files, self._bytes = self._files + 1, self._bytes + len(data)
            self._number += 1
            stamp = f"{now:%Y%m%dT%H%M%S}-{self._number:05}"
        path = self.folder / f"{stamp}-{_plain(client)}-{kind}.json"
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(data)
        partial.rename(path)
        return Kept(path=path, summary=_summary(content), outcome=_outcome(content))


def _no_number(name: str) -> float:
    # Python reads NaN and Infinity, and no other reader of the file would
    raise ValueError(name)


def _plain(client: str) -> str:
    return "".join(character if character.isalnum() or character == "." else "_" for character in client)


def _summary(content: dict[str, Any]) -> str:
    """The fields that a ramdisk's report has, as far as they are there."""
    words = [content[name] for name in ("flavour", "state", "message") if isinstance(content.get(name), str)]
    return printable(": ".join(word for word in words if word))


def _outcome(content: dict[str, Any]) -> Outcome:
    """What a report says of its ramdisk; a document without a state is all that there is to come."""
    state = content.get("state", "done")
    if state == "failed":
        return "failed"
    return "done" if state == "done" else "under way"
