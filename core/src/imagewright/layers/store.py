"""The folder that keeps layers: finding, taking in, and the answers of the world."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from imagewright.documents import parse_json
from imagewright.layers import locks, record
from imagewright.layers.record import LayerRecord
from imagewright.sandbox.syscalls import syncfs

TREE = "tree"
SYNCED = "synced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the world answered: ``facts`` by their names, and when it was asked, in seconds since 1970."""

    facts: Mapping[str, str]
    asked: float

    @property
    def age(self) -> float:
        """Seconds since it was asked; without end for an answer from the future."""
        age = time.time() - self.asked
        return age if age >= 0 else float("inf")


class Store:
    """One folder of kept layers, for one mapping of ids; used by one build, shared with others by locks.

    Nothing here fails a build: where the folder cannot be read or written, layers are not found or not kept, and
    ``on_trouble`` is told so once.
    """

    def __init__(self, folder: Path, on_trouble: Callable[[str], None]) -> None:
        self.folder = folder
        self._on_trouble = on_trouble
        self._keeps = True
        self._held: dict[str, int] = {}
        self._unsynced: list[Path] = []

    @property
    def keeps(self) -> bool:
        """Whether layers are taken in; not after trouble."""
        return self._keeps

    def give_up(self, sentence: str) -> None:
        """Keep no layer from now on, and say why."""
        if self._keeps:
            self._keeps = False
            self._on_trouble(sentence)

    def close(self) -> None:
        """Let go of the layers that were in use."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    # -- layers

    def find(self, key: str, parent: str, sound: Callable[[LayerRecord], bool]) -> LayerRecord | None:
        """The layer of that key made on the layer ``parent``, locked against removal until :meth:`close`.

        ``sound`` takes the cheap look for damage. A layer that may be cut short by a crash of the machine is not used.
        """
        folder = self.folder / key
        if key in self._held:
            return None
        descriptor = locks.share(folder)
        if descriptor is None:
            return None
        found = record.read(folder / record.NAME)
        known = found is not None and found.key == key and found.parent == parent and whole(folder, found)
        if found is None or not known or not sound(found):
            os.close(descriptor)
            return None
        self._held[key] = descriptor
        with suppress(OSError):
            os.utime(folder / record.NAME)
        self._remember_unsynced(folder)
        return found

    def peek(self, key: str, parent: str) -> LayerRecord | None:
        """The record of the layer that :meth:`find` would look at; for plans."""
        found = record.read(self.folder / key / record.NAME)
        fits = found is not None and found.key == key and found.parent == parent
        return found if fits and found is not None and whole(self.folder / key, found) else None

    @contextmanager
    def making(self, key: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Be the only one who makes what ``key`` names; whoever comes second waits and finds it made."""
        with ExitStack() as held:
            if self._keeps:
                try:
                    held.enter_context(locks.alone(self._made("locks") / key, on_wait))
                except OSError as error:
                    self.give_up(f"layers are not kept: {_said(error)}")
            yield

    def keep(self, source: Path, made: LayerRecord, aside: Path) -> bool:
        """Move the folder ``source``, which has the layer as ``tree``, to its place; whether it is there.

        One that is there already is replaced: it was not found, so it is damaged or lies on another parent. It is moved
        to ``aside``, since only the namespace may remove it. A layer that another build uses stays.
        """
        if not self._keeps:
            return False
        place = self.folder / made.key
        try:
            made.write(source / record.NAME)
            if place.exists():
                descriptor = locks.seize(place)
                if descriptor is None:
                    self.give_up("layers of this build are not kept from here on: another build uses older ones")
                    return False
                place.rename(aside)
                os.close(descriptor)
            source.rename(place)
        except OSError as error:
            self.give_up(f"layers are not kept: {_said(error)}")
            return False
        descriptor = locks.share(place)
        if descriptor is not None:
            self._held[made.key] = descriptor
        self._remember_unsynced(place)
        return True

    def settle(self) -> None:
        """Wait until the layers that this build used are on the disk: a crash of the machine cannot cut them then."""
        if not self._unsynced:
            return
        try:
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                syncfs(descriptor)
            finally:
                os.close(descriptor)
            for folder in self._unsynced:
                (folder / SYNCED).touch()
        except OSError:
            return
        self._unsynced.clear()

    def _remember_unsynced(self, folder: Path) -> None:
        if not (folder / SYNCED).exists():
            self._unsynced.append(folder)

    # -- answers

    def answer(self, question: str) -> Answer | None:
        """What was last answered to a question, by whomever it was asked."""
        try:
            document = parse_json((self.folder / "answers" / f"{question}.json").read_bytes())
            facts, asked = document["facts"], document["asked"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if not isinstance(facts, dict) or not isinstance(asked, int | float):
            return None
        return Answer(facts={str(name): str(value) for name, value in facts.items()}, asked=asked)

    def remember(self, question: str, facts: Mapping[str, str]) -> None:
        """Write down what was answered just now."""
        text = json.dumps({"asked": time.time(), "facts": dict(facts)}, sort_keys=True)
        try:
            write_whole(self._made("answers") / f"{question}.json", text)
        except OSError as error:
            self.give_up(f"layers are not kept: {_said(error)}")

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


def whole(folder: Path, found: LayerRecord) -> bool:
    """Whether no crash of the machine can have cut the layer short: it is on the disk, or the machine still runs."""
    return found.boot == boot() or (folder / SYNCED).exists()


def boot() -> str:
    """The name of this run of the kernel (random(4))."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def salt_of(folder: Path) -> bytes:
    """The machine's salt for digests of secrets; a passing one where none can be kept."""
    path = folder / "salt"
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".salt-") as fresh:
                fresh.write(os.urandom(32))
                fresh.flush()
                with suppress(FileExistsError):
                    os.link(fresh.name, path)
        found = path.read_bytes()
        if len(found) == 32:
            return found
    return os.urandom(32)


def write_whole(path: Path, text: str) -> None:
    """Write a small file at once, so that nobody reads half of it, however many write it. Raises OSError."""
    passing = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        passing.write_text(text)
        passing.replace(path)
    except OSError:
        passing.unlink(missing_ok=True)
        raise


def _said(error: OSError) -> str:
    place = error.filename2 or error.filename
    return f"{place}: {error.strerror}" if place else str(error.strerror or error)
