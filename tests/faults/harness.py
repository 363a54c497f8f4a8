"""The tiny image that faults are injected into, and everything that has to hold after each of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagewright.testing.kit import ImageKit
from imagewright.testing.reliability import Recorder

PATIENCE = 300.0
"""Seconds after which a builder counts as hanging, on a machine however busy."""

PATIENT = 3600
"""Seconds for a test of many faults, which takes one or two where nothing else runs."""

WORDS = ("odd", "even")
"""What images alternately hold, so that an earlier one is not taken for the next."""

DEVICES = ("", "full", "fd", "mqueue", "null", "ptmx", "pts", "random", "shm", "stdin", "tty", "urandom", "zero")
"""What is in every ``/dev``, and the folder itself."""

KERNELS = re.compile(r"/(?:proc|sys|dev(?:/.*)?)?$")
"""Mount points that a machine has from its start on."""

FLAVOUR = {
    "flavour.toml": (
        'summary = "one word"\n[parameters.word]\nhelp = "the word"\ndefault = "odd"\n'
        '[parameters.turn]\nhelp = "makes the steps run again, and the image no other"\ndefault = "0"\n'
    ),
    "install.d/50-word": '#!/bin/sh\nset -eu\necho "$WORD" >/etc/word\n',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a builder ended: its exit status (negative for the signal that killed it) and what it said."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What no build may change of this machine, whatever happens to it, without what others do there meanwhile."""

    mounts: tuple[str, ...]
    devices: tuple[tuple[str, int, int], ...]
    loops: tuple[str, ...]
    folders: tuple[tuple[str, ...], ...]

    @classmethod
    def now(cls, kit: Path, *empty: Path) -> Host:
        """The host with the devices that every one has; ``kit`` is where the builders' files are."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        backing = [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
        found = [(name, os.lstat(f"/dev/{name}")) for name in DEVICES if os.path.lexists(f"/dev/{name}")]
        return cls(
            mounts=tuple(line for line in mounts if str(kit) in line or _of_the_kernel(line.split()[4])),
            devices=tuple((name, status.st_mode, status.st_ino) for name, status in found),
            loops=tuple(sorted(path for path in backing if str(kit) in path)),
            folders=tuple(tuple(sorted(os.listdir(folder))) for folder in (Path("/"), *empty) if folder.exists()),
        )


def _of_the_kernel(place: str) -> bool:
    # in /dev/shm anybody may work
    return bool(KERNELS.match(place)) and not place.startswith("/dev/shm/")


class Builders:
    """The process that forks builders (see :mod:`builders`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("builders.py")), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._channel = ours
        self._number = 0

    def _ask(self, **order: Any) -> Any:
        self._number += 1
        self._channel.send(json.dumps({**order, "number of the order": self._number}).encode())
        # the answer to an order whose asker was interrupted is nobody's
        while (answer := json.loads(self._channel.recv(1 << 16)))["number of the order"] != self._number:
            pass
        return answer

    def start(self, **order: Any) -> int:
        return int(self._ask(do="start", **order)["pid"])

    def wait(self, pid: int) -> int:
        status = self._ask(do="wait", pid=pid, seconds=PATIENCE)["status"]
        assert status is not None, f"the builder hangs: {Path(f'/proc/{pid}/wchan').read_text()}"
        return int(status)

    def ended(self, pid: int, seconds: float) -> int | None:
        """The status of a builder that ends within so many seconds, else None."""
        status = self._ask(do="wait", pid=pid, seconds=seconds)["status"]
        return None if status is None else int(status)

    def kill(self, pid: int, number: int) -> None:
        self._ask(do="kill", pid=pid, number=number)

    def hang_up(self, pid: int) -> None:
        self._ask(do="hang up", pid=pid)

    def left(self) -> list[str]:
        """The processes that builders left, after a while in which the kernel may end them."""
        end = time.monotonic() + 120
        while (left := self._ask(do="left")["left"]) and time.monotonic() < end:
            time.sleep(0.005)
        return [str(line) for line in left]

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


class Bench:
    """One cache, one work folder and one output, to which faults happen one after the other."""

    def __init__(self, kit: ImageKit, builders: Builders, recorder: Recorder | None = None) -> None:
        self.kit = kit
        self.recorder = recorder
        self._builders = builders
        self.turn = 0
        self._home = kit.folder / "home"
        self.spare = kit.folder / "tmp"
        self._home.mkdir()
        self.spare.mkdir()
        kit.flavour("word", FLAVOUR)
        self.clean: Mapping[str, str] = {}
        self.names: set[str] = set()
        self._logs = kit.folder / "said"
        self._logs.mkdir()

    # -- running builders

    def order(self, *arguments: str, word: str = "", turn: int | None = None, **fault: Any) -> dict[str, Any]:
        """What the builders' process is told: a whole ``disk-image-create`` of the tiny image."""
        turn = self.turn if turn is None else turn
        self._logs.mkdir(exist_ok=True)
        names = {name: str(self._logs / f"{time.monotonic_ns()}.{name}") for name in ("stdout", "stderr")}
        argv = [
            "disk-image-create",
            "-t",
            "tar",
            "-o",
            str(self.kit.output / "it"),
            "--skip-base",
            "--progress",
            "plain",
        ]
        argv += [
            "--set",
            f"word.word={word or WORDS[turn % 2]}",
            "--set",
            f"word.turn={turn}",
            *arguments,
            "toy",
            "word",
        ]
        environment = self.kit.environment(HOME=str(self._home), TMPDIR=str(self.spare), LC_ALL="C.UTF-8")
        return {"argv": argv, "environment": environment, "folder": str(self.kit.folder), **names, **fault}

    def begin(self, order: dict[str, Any]) -> int:
        return self._builders.start(**order)

    def end(self, pid: int, order: dict[str, Any]) -> Ended:
        status = self._builders.wait(pid)
        texts = [Path(order[name]).read_text(errors="replace") for name in ("stdout", "stderr")]
        for name in ("stdout", "stderr"):
            Path(order[name]).unlink()
        return Ended(status=status, stdout=texts[0], stderr=texts[1])

    def run(self, *arguments: str, **fault: Any) -> Ended:
        order = self.order(*arguments, **fault)
        return self.end(self.begin(order), order)

    def left(self) -> list[str]:
        return self._builders.left()

    def kill(self, pid: int, number: int) -> None:
        """Send a signal to a builder, which may have ended."""
        self._builders.kill(pid, number)

    def hang_up(self, pid: int) -> None:
        """Take the terminal of a builder away."""
        self._builders.hang_up(pid)

    def until(self, true: Callable[[], object]) -> None:
        """Wait for something that a builder does."""
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.005)

    @contextmanager
    def emptied(self, folder: Path) -> Iterator[None]:
        """Let a folder of the cache be there anew for a builder: what it holds is laid aside for a while."""
        aside = self.kit.folder / "aside"
        folder.rename(aside)
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)

    def counts(self, *, unchanged: bool = False) -> dict[str, int]:
        """How many calls and events a whole build has, or one in which nothing has changed."""
        place = self.kit.folder / "counts.json"
        with self.fault_free():
            if unchanged:
                self.build()
            assert self.run(counts=str(place)).status == 0
        found: dict[str, int] = json.loads(place.read_text())
        return found

    # -- what there is

    def outputs(self) -> dict[str, str]:
        """Digests of everything in the output folder."""
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(self.kit.output.iterdir())}

    def word(self) -> str:
        """The word of the image that is there; AssertionError if its files are not those of one clean build."""
        assert set(self.outputs()) == self.names
        lines = (self.kit.output / "it.sha256").read_text().splitlines()
        sums = {name.strip().lstrip("*"): digest for digest, _, name in (line.partition(" ") for line in lines)}
        found = self.outputs()
        assert sums == {name: found[name] for name in sums}, "the sums are not those of the files"
        document = json.loads((self.kit.output / "it.manifest.json").read_text())
        assert document["artefacts"][0]["sha256"] == found["it.tar"], "the manifest is another image's"
        content = self.content()
        words = [word for word, clean in self.clean.items() if clean == content]
        assert words, "the image is none that a clean build makes"
        return words[0]

    def content(self) -> str:
        """The digest of the image that is there, every byte of it but those of its version, which names the plan."""
        document = json.loads((self.kit.output / "it.manifest.json").read_text())
        version = document["image"]["version"].encode()
        image = (self.kit.output / "it.tar").read_bytes()
        assert image.count(version) >= 1
        return hashlib.sha256(image.replace(version, b"0" * len(version))).hexdigest()

    def prepare(self) -> None:
        """Make the images that clean builds give, in a cache that is thrown away, and then the first earlier output."""
        clean = {}
        for word in WORDS:
            done = self.run("--no-cache", word=word)
            assert done.status == 0, done.stderr
            self.names = set(self.outputs())
            clean[word] = self.content()
        assert len(set(clean.values())) == len(WORDS)
        self.clean = clean
        self.build()

    def build(self, turn: int | None = None) -> None:
        """A build without any fault, which must succeed."""
        turn = self.turn if turn is None else turn
        done = self.run(turn=turn)
        assert done.status == 0, done.stderr
        assert self.word() == WORDS[turn % 2]

    # -- faults

    @contextmanager
    def fault(self, kind: str, *, next_turn: bool = True) -> Iterator[Host]:
        """Count a fault; afterwards the host is as it was, the next build is right, and nothing is left behind."""
        assert self.recorder is not None
        self.turn += next_turn
        with self.recorder.trying("faults", kind):
            host = Host.now(self.kit.folder, self._home, self.spare)
            yield host
            self.check_host(host)
            self.build()
            self.check_cleared()
            self.check_host(host)

    @contextmanager
    def fault_free(self) -> Iterator[None]:
        """A turn that counts as no fault."""
        self.turn += 1
        yield
        self.check_cleared()

    def check_host(self, before: Host) -> None:
        assert self.left() == []
        assert Host.now(self.kit.folder, self._home, self.spare) == before

    def check_cleared(self) -> None:
        """The next command has cleared everything that the one before it left."""
        assert [path.name for path in self.kit.work.iterdir()] == []
        assert [path.name for path in (self.kit.cache / "publishing").glob("*")] == []
        strange = [path.name for path in self.kit.cache.iterdir() if path.name.startswith(".")]
        assert strange == []

    def strike(
        self,
        kind: str,
        *arguments: str,
        statuses: tuple[int, ...] = (),
        next_turn: bool = True,
        in_view: bool = False,
        **fault: Any,
    ) -> Ended:
        """One builder with one fault, and everything that must hold afterwards.

        ``statuses`` are those with which it may end beside 0; whoever ends with 0 has built the image, and whoever
        fails has left the earlier one. With ``in_view`` the builder's output folder is one that it alone sees.
        """
        with self.fault(kind, next_turn=next_turn):
            earlier = self.outputs()
            done = self.run(*arguments, **fault)
            self.check_end(done, earlier, statuses, in_view=in_view)
        return done

    def check_end(
        self, done: Ended, earlier: dict[str, str], statuses: tuple[int, ...], *, in_view: bool = False
    ) -> None:
        assert done.status in (0, *statuses), f"status {done.status}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        assert "something unexpected" not in done.stderr, done.stderr
        if in_view:
            assert self.outputs() == earlier
        elif done.status == 0:
            assert self.word() == WORDS[self.turn % 2]
        elif done.status > 0:
            if self.outputs() != earlier:
                # whoever is asked to end when everything is in place already has built the image
                different = sorted(name for name, _digest in self.outputs().items() ^ earlier.items())
                assert done.status > 128, f"of the earlier output, others are {different}\n{done.stderr}"
                assert self.word() == WORDS[self.turn % 2], f"others are {different}\n{done.stderr}"
            assert re.search(r"^(error: |interrupted$|terminated$)", done.stderr, re.MULTILINE), done.stderr
        else:
            # what one that was killed had begun to put in place is undone by the next command, and never half a file
            names = {name: digest for name, digest in self.outputs().items() if not name.startswith(".")}
            assert set(names) == set(earlier)
