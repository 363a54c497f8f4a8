"""Which firmware files modules ask for, as their modinfo says (``firmware=``), and where they are."""

from __future__ import annotations

import fnmatch
import io
import lzma
import os
import posixpath
import re
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from imagewright.errors import StepFailed
from imagewright.ramdisk.roots import Found, Root

FOLDER = "usr/lib/firmware"
SUFFIXES = ("", ".zst", ".xz")
"""The kernel takes firmware as it is, or compressed (Documentation/driver-api/firmware/fw-compression)."""

_FIRMWARE = re.compile(rb"(?<=\0)firmware=([^\0]+)\0")


def asked_for(root: Root, paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The firmware that module files (paths without links) ask for, by path; all processors decompress.

    Raises OSError if one cannot be read.
    """
    given = tuple(paths)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # read in turn, since not every root may be read by two at once
        waiting = [pool.submit(names_in, root.content(path), path) for path in given]
        found = [one.result() for one in waiting]
    return dict(zip(given, found, strict=True))


def names_in(content: bytes, path: str) -> tuple[str, ...]:
    """The firmware that one module asks for; the name of its file says how it is compressed.

    Raises StepFailed for one that is damaged.
    """
    try:
        plain = _plain(content, path)
    except (lzma.LZMAError, zlib.error, ValueError) as error:
        raise StepFailed(
            "module-damaged", f"the kernel module /{path} cannot be decompressed", cause=str(error)
        ) from error
    # the modinfo section may begin with it
    found = _FIRMWARE.findall(b"\0" + plain)
    return tuple(dict.fromkeys(text.decode("utf-8", "replace") for text in found))


class Firmware:
    """The firmware in a root."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._listed: dict[str, tuple[str, ...]] = {}

    @property
    def empty(self) -> bool:
        """Whether there is none at all, so that nobody need ask modules what they want."""
        return not (self._root.names(FOLDER) or self._root.names("lib/firmware"))

    def find(self, name: str) -> tuple[tuple[str, Found], ...]:
        """The (path, file) pairs that serve a name, which may be a pattern; compressed ones too."""
        return tuple(self._matches(name))

    def _matches(self, name: str) -> Iterator[tuple[str, Found]]:
        folder, base = posixpath.split(name)
        for top in (FOLDER, "lib/firmware"):
            if any(mark in base for mark in "*?["):
                where = f"{top}/{folder}".rstrip("/")
                wanted = [f"{where}/{one}" for one in self._names(where) if _fits(one, base)]
            else:
                wanted = [f"{top}/{name}{suffix}" for suffix in SUFFIXES]
            found = [(path, got) for path in wanted if (got := self._root.find(path)) is not None and got.is_file]
            if found:
                yield from found
                return

    def _names(self, folder: str) -> tuple[str, ...]:
        if folder not in self._listed:
            self._listed[folder] = self._root.names(folder)
        return self._listed[folder]


def _fits(name: str, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern + suffix) for suffix in SUFFIXES)


def _plain(content: bytes, path: str) -> bytes:
    if path.endswith(".xz"):
        return lzma.decompress(content)
    if path.endswith(".zst"):
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)) as stream:
                return b"".join(iter(partial(stream.read, 1 << 20), b""))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
    if path.endswith(".gz"):
        return zlib.decompress(content, wbits=31)
    return content
