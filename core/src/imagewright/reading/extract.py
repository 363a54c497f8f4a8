"""Writes files so that all of them appear or none: what was there before is kept until everything is complete."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from imagewright.errors import HostError, UsageError


class Output(NamedTuple):
    """A file to write, with its bytes in pieces."""

    path: Path
    content: Iterable[bytes]


def check(paths: Iterable[Path], sources: Iterable[Path]) -> None:
    """Refuse paths that cannot be written, or that are the image itself. Raises UsageError."""
    images = [path.stat() for path in sources]
    for path in paths:
        if path.is_dir():
            raise UsageError(
                "bad-output", f"`{path}` is a folder", hint="name a file, such as `--output web`", option="output"
            )
        try:
            status = path.stat()
        except OSError:
            continue
        if any(os.path.samestat(status, image) for image in images):
            raise UsageError(
                "output-is-image",
                f"`{path}` is the image itself, which is never changed",
                hint="name another `--output`",
                option="output",
            )


def write(outputs: Iterable[Output]) -> None:
    """Write all files, then put them in their places together. Raises HostError; what the contents raise passes."""
    staged: list[tuple[Path, Path]] = []
    try:
        for output in outputs:
            _stage(output, staged)
        _place(staged)
    except OSError as error:
        name = error.filename if isinstance(error.filename, str) else ""
        raise HostError(
            "output-unwritable",
            "the files cannot be written",
            where=(name,) if name else (),
            cause=error.strerror or "",
        ) from error
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)


def copied(path: Path) -> Iterator[bytes]:
    """The bytes of a file in pieces."""
    with path.open("rb") as stream:
        while data := stream.read(2**20):
            yield data


def _stage(output: Output, staged: list[tuple[Path, Path]]) -> None:
    temporary = _beside(output.path, "new")
    try:
        # Not mkstemp: the caller's umask decides who may read a kernel, as for any file of theirs.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        error.filename = str(output.path)
        raise
    staged.append((temporary, output.path))
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        for chunk in output.content:
            view = memoryview(chunk)
            while view:
                view = view[stream.write(view) :]


def _place(staged: list[tuple[Path, Path]]) -> None:
    """Rename all; if one fails, those before it are undone."""
    kept: list[tuple[Path, Path | None]] = []
    try:
        for temporary, path in staged:
            old = _beside(path, "old")
            try:
                os.link(path, old, follow_symlinks=False)
            except FileNotFoundError:
                kept.append((path, None))
            else:
                kept.append((path, old))
            os.replace(temporary, path)
    except BaseException:
        for path, saved in kept:
            if saved is None:
                path.unlink(missing_ok=True)
            else:
                os.replace(saved, path)
        raise
    for _, saved in kept:
        if saved is not None:
            saved.unlink(missing_ok=True)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name[:200]}.{os.urandom(6).hex()}.{what}")
