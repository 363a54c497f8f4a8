"""Finds executables by name, and puts them into a ramdisk with what they need in order to run."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imagewright.errors import ImagewrightError, StepFailed
from imagewright.ramdisk.archive import Member
from imagewright.ramdisk.contents import Contents
from imagewright.ramdisk.libraries import Libraries
from imagewright.ramdisk.roots import Found, Root

FOLDERS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
"""Where a root has its executables, in the order of a usual ``$PATH``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An executable by name, or any file or folder by its absolute path; ``package`` is what would bring it."""

    name: str
    asked: tuple[str, ...]
    package: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A root that executables are taken from, with the folders that are searched for them, in order."""

    root: Root
    folders: tuple[str, ...] = FOLDERS

    def find(self, name: str) -> Found | None:
        """The executable of that name, or what is at an absolute path."""
        if name.startswith("/"):
            return self.root.find(name)
        for folder in self.folders:
            found = self.root.find(f"{folder}/{name}")
            if found is not None and found.executable:
                return found
        return None


class Executables:
    """Puts executables from some sources, the first source first."""

    def __init__(self, contents: Contents, sources: Sequence[Source]) -> None:
        self._contents = contents
        self._sources = sources
        self._libraries = Libraries([source.root for source in sources])
        self._done: set[tuple[str, str]] = set()

    def find(self, name: str, *, last: bool = False) -> tuple[Root, Found] | None:
        """Where an executable is; ``last``: in the last source only."""
        for source in self._sources[-1:] if last else self._sources:
            found = source.find(name)
            if found is not None:
                return source.root, found
        return None

    def put(self, wanted: Wanted) -> bool:
        """Add what is wanted, with its libraries or interpreter; whether it was found.

        Raises StepFailed for a library that is missing; the error names who asked.
        """
        got = self.find(wanted.name)
        if got is None:
            return False
        try:
            self.put_found(*got, wanted.asked)
        except ImagewrightError as error:
            if not any(line.startswith("asked for by: ") for line in error.where):
                error.where = (*error.where, f"asked for by: {', '.join(wanted.asked)} ({wanted.name})")
            raise
        return True

    def put_found(self, root: Root, found: Found, asked: tuple[str, ...]) -> None:
        """Add a file or folder of a root, with what the executables among it need."""
        self._contents.put_found(root, found, asked)
        if found.is_folder:
            for name in root.names(found.path):
                below = root.find(f"{found.path}/{name}")
                if below is not None and (below.is_folder or below.executable or ".so" in name):
                    self.put_found(root, below, asked)
            return
        if (root.folder, found.path) in self._done:
            return
        self._done.add((root.folder, found.path))
        if self._libraries.elf(root, found.path) is None:
            if found.executable:
                self._put_interpreter(root, found, asked)
            return
        for library in self._libraries.of(root, found.path):
            self._contents.put_found(library.root, library.found, asked)
            if library.link:
                link = Member(path=library.link, kind="link", mode=0o777, target=f"/{library.found.path}")
                self._contents.put(link, origin=library.root.name, asked=asked)

    def _put_interpreter(self, root: Root, found: Found, asked: tuple[str, ...]) -> None:
        """A script needs what its first line names (execve(2))."""
        with open(root.place(found.path), "rb") as stream:
            line = stream.readline(256)
        if not line.startswith(b"#!"):
            return
        words = line[2:].decode("utf-8", "replace").split()
        if words and posixpath.basename(words[0]) == "env" and len(words) > 1:
            words = [words[0], next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")]
        for word in words[:1] if not words or posixpath.basename(words[0]) != "env" else words:
            if not word or self._contents.has(word if word.startswith("/") else f"usr/bin/{word}"):
                continue
            if not self.put(Wanted(name=word, asked=asked)):
                raise StepFailed(
                    "interpreter-missing",
                    f"the interpreter {word} is missing, and the script /{found.path} needs it",
                    where=(f"asked for by: {', '.join(asked)}",),
                    hint="add the package that brings it with -p",
                )


def missing(wanted: Wanted, source: str, packages: Mapping[str, str]) -> StepFailed:
    """The error for an executable that is nowhere; ``source`` is where it was looked for."""
    package = wanted.package or packages.get(wanted.name, "")
    asked = ", ".join(wanted.asked)
    if package:
        hint = f"the package {package} brings it: name it in `packages` of the flavour, or with -p {package}"
    else:
        hint = "name the package that brings it in `packages` of the flavour, or with -p"
    return StepFailed(
        "executable-missing",
        f"the executable {wanted.name} is missing; it is asked for by {asked}",
        where=(f"looked for in: {source}",),
        cause="neither busybox, nor a package of the ramdisk's root tree, nor your $PATH has it",
        hint=hint,
    )
