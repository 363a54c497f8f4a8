"""Which shared libraries a program needs, and where the dynamic loader would find them (ld.so(8)).

Nothing is run: the loader of a foreign tree need not run on this machine. The folders ``glibc-hwcaps`` are left out,
since a ramdisk has to start on processors that are not known yet.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from imagewright.errors import StepFailed
from imagewright.ramdisk.elf import Elf, NotElf, read_elf, read_versions
from imagewright.ramdisk.roots import Found, Root

_TRIPLETS = {3: "i386-linux-gnu", 40: "arm-linux-gnueabihf", 62: "x86_64-linux-gnu", 183: "aarch64-linux-gnu"}
"""Debian's multiarch folders by the machine of an ELF file (https://wiki.debian.org/Multiarch/Tuples)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library of a program, where it was found: ``found`` in ``root``.

    ``link`` is a path at which the loader of a ramdisk, which has no cache, finds it; empty if it does so anyway.
    """

    root: Root
    found: Found
    elf: Elf
    link: str = ""


class Libraries:
    """Finds the libraries of programs in some roots, the first root first; what was read once is remembered."""

    def __init__(self, roots: Sequence[Root]) -> None:
        self._roots = roots
        self._configured = {root.folder: configured_folders(root) for root in roots}
        self._read: dict[str, Elf | None] = {}

    def elf(self, root: Root, path: str) -> Elf | None:
        """What an executable at a path without links is; None if it is no ELF file. Raises StepFailed."""
        place = root.place(path)
        if place not in self._read:
            with self._blamed(path):
                self._read[place] = read_elf(place)
        return self._read[place]

    @contextmanager
    def _blamed(self, path: str) -> Iterator[None]:
        try:
            yield
        except (NotElf, OSError) as error:
            raise StepFailed(
                "executable-unreadable",
                f"an executable of the ramdisk cannot be read: /{path.lstrip('/')}",
                cause=str(error),
            ) from error

    def of(self, root: Root, path: str) -> Iterator[Library]:
        """The interpreter and all libraries of the ELF file at ``path``, each once, those of libraries too.

        Raises StepFailed for one that is nowhere, or of another root and too old. What is opened at run time is left
        out if it is not there.
        """
        elf = self.elf(root, path)
        if elf is None:
            return
        if elf.interpreter:
            yield self._interpreter(path, elf)
        seen: set[str] = set()
        waiting: list[tuple[Root, str, Elf, tuple[str, ...]]] = [(root, path, elf, ())]
        while waiting:
            holder, at, one, inherited = waiting.pop()
            passed_on = (*inherited, *(() if one.runpath else _expanded(one.rpath, at, one)))
            folders = (*passed_on, *_expanded(one.runpath, at, one))
            for names, required in [
                *(((name,), True) for name in one.needed),
                *((names, False) for names in one.opened),
            ]:
                if any(name in seen for name in names):
                    continue
                library = next((got for name in names if (got := self._search(name, folders, one))), None)
                if library is not None:
                    seen.update(names)
                    self._check_versions(holder, at, library, names)
                    yield library
                    waiting.append((library.root, library.found.path, library.elf, passed_on))
                elif required:
                    raise missing_library(names[0], at)

    def _check_versions(self, root: Root, path: str, library: Library, names: Sequence[str]) -> None:
        """A library of another root may lack what a program was built for; in one root packages see to that."""
        if library.root is root:
            return
        with self._blamed(path):
            needs = read_versions(root.place(path)).needs
        with self._blamed(library.found.path):
            defines = read_versions(library.root.place(library.found.path)).defines
        lacking = sorted(version for name in names for version in needs.get(name, frozenset()) - defines)
        if lacking and defines:
            raise StepFailed(
                "library-too-old",
                f"/{path.lstrip('/')} of {root.name} needs {', '.join(lacking)} of {names[0]}, "
                f"which that of {library.root.name} has not",
                cause="the two are of different releases, and a ramdisk holds one library of a name",
                hint="add the program's package to the root tree with -p, or take everything with --binaries-from host",
            )

    def _interpreter(self, path: str, elf: Elf) -> Library:
        for holder in self._roots:
            library = self._candidate(holder, elf.interpreter, elf)
            if library is not None:
                return library
        raise missing_library(elf.interpreter, path)

    def _search(self, name: str, folders: Sequence[str], wanting: Elf) -> Library | None:
        # one libc for all: a program of another root takes the first root's libraries where there are such
        for root in self._roots:
            if "/" in name:
                if (library := self._candidate(root, name, wanting)) is not None:
                    return library
                continue
            usual = _usual(wanting)
            for folder in (*folders, *self._configured[root.folder], *usual):
                library = self._candidate(root, f"{folder}/{name}", wanting)
                if library is not None:
                    odd = folder not in folders and folder not in usual
                    return replace(library, link=f"{usual[0]}/{name}".lstrip("/")) if odd else library
        return None

    def _candidate(self, root: Root, path: str, wanting: Elf) -> Library | None:
        found = root.find(path)
        if found is None or not found.is_file:
            return None
        elf = self.elf(root, found.path)
        if elf is None or (elf.machine, elf.bits) != (wanting.machine, wanting.bits):
            return None
        return Library(root=root, found=found, elf=elf)


def missing_library(name: str, path: str) -> StepFailed:
    """The error for a library that is nowhere; who asked for the program is added by whoever knows."""
    base = posixpath.basename(name)
    stem, _, version = base.partition(".so.")
    # Debian's policy for the names of such packages (8.1)
    guess = f"{stem}{'-' if stem[-1:].isdigit() else ''}{version}".lower().replace("_", "-") if version else ""
    return StepFailed(
        "library-missing",
        f"the library {base} is missing, and /{path.lstrip('/')} needs it",
        cause="no package of the ramdisk's root tree brings it",
        hint=f"the package {guess} brings it, if it is called as usual: add it with -p" if guess else "",
    )


def configured_folders(root: Root) -> tuple[str, ...]:
    """The folders that ``/etc/ld.so.conf`` names, in their order."""
    folders: dict[str, None] = {}
    _read_conf(root, "/etc/ld.so.conf", folders, set())
    return tuple(folders)


def _read_conf(root: Root, path: str, folders: dict[str, None], seen: set[str]) -> None:
    if path in seen:
        return
    seen.add(path)
    for line in root.text(path).splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        if words[0] == "include":
            for pattern in words[1:]:
                pattern = posixpath.join(posixpath.dirname(path), pattern)
                folder = posixpath.dirname(pattern)
                for name in root.names(folder):
                    if fnmatch.fnmatchcase(name, posixpath.basename(pattern)):
                        _read_conf(root, f"{folder}/{name}", folders, seen)
        elif words[0] != "hwcap":
            folders[words[0].partition("=")[0]] = None


def _usual(elf: Elf) -> tuple[str, ...]:
    triplet = _TRIPLETS.get(elf.machine, "")
    wide = ("/lib64", "/usr/lib64") if elf.bits == 64 else ()
    multiarch = (f"/lib/{triplet}", f"/usr/lib/{triplet}") if triplet else ()
    return (*multiarch, *wide, "/lib", "/usr/lib")


def _expanded(folders: Sequence[str], path: str, elf: Elf) -> tuple[str, ...]:
    """Search paths with their dynamic string tokens replaced (ld.so(8))."""
    origin = "/" + posixpath.dirname(path.lstrip("/"))
    triplet = _TRIPLETS.get(elf.machine, "")
    library = f"lib/{triplet}" if triplet else "lib64" if elf.bits == 64 else "lib"
    result = []
    for folder in folders:
        for token, value in (("ORIGIN", origin), ("LIB", library), ("PLATFORM", triplet.partition("-")[0])):
            folder = folder.replace(f"${{{token}}}", value).replace(f"${token}", value)
        result.append(folder)
    return tuple(result)
