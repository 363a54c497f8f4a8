"""What every kind of image is made into: a stream of members, parents before what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["file", "folder", "link", "same", "fifo", "device", "socket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One name in a tree. ``path`` is relative to the root, which is empty; ``time`` in nanoseconds since 1970.

    ``target`` is where a link leads; for kind ``same`` (a hard link) the path of an earlier member. ``content`` gives
    the bytes of a file of ``size`` bytes, holes as zeros. ``attributes`` are those of xattr(7).
    """

    path: str
    kind: Kind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    time: int = 0
    size: int = 0
    target: str = ""
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    content: Callable[[], Iterator[bytes]] | None = None
