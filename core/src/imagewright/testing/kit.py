"""Planning and building in a test: what the fixture ``image_kit`` gives."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from imagewright import __version__
from imagewright.entrypoints import survey
from imagewright.errors import ImagewrightError
from imagewright.plan import Plan, digest_of
from imagewright.planning import Prepared, prepare
from imagewright.planning.ramdisks import PlannedRamdisk, plan_ramdisk
from imagewright.request import RamdiskRequest, Request
from imagewright.testing.built import Built, RecordingMonitor

TOY = "toy"
"""The operating system of builds that name no other."""

KEPT_FOR = 24 * 3600
"""Seconds for which an image of a real operating system serves later tests."""

CALLER = ("HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "USER")
"""What of the environment builds of the kit see: a variable of the tester's must not change a flavour's parameter."""


class ImageKit:
    """Plans and builds in folders of one test.

    Options of its methods are the fields of :class:`imagewright.request.Request`; ``settings`` may be a mapping from
    ``flavour.parameter`` to a value, ``types`` one name, ``environment`` is added to the caller's.
    """

    def __init__(self, folder: Path, *, shared: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.work = folder / "work"
        self.output = folder / "output"
        self.flavours = folder / "flavours"
        self.shared = shared
        self._toy = folder / "toy"
        self._builds = 0
        self._also: list[Path] = []

    @classmethod
    @contextmanager
    def open(cls, folder: Path, *, shared: Path) -> Iterator[ImageKit]:
        """Make the folders; at the end, remove what only the namespace may remove."""
        kit = cls(folder, shared=shared)
        for path in (kit.cache, kit.work, kit.output, kit.flavours):
            path.mkdir(parents=True)
        kit._write_toy()
        try:
            yield kit
        finally:
            kit.clear()

    @property
    def flavour_path(self) -> tuple[Path, ...]:
        """The folders in which builds of the kit look for flavours."""
        return (self._toy, self.flavours, *self._also)

    def also(self, folder: Path) -> None:
        """Look for flavours in ``folder`` too, such as a pack's own directory flavours."""
        self._also.append(folder)

    # -- writing flavours

    def flavour(self, name: str, files: Mapping[str, str | bytes | tuple[str | bytes, int]] | None = None) -> Path:
        """Write a directory flavour; return its folder.

        ``files`` maps paths to contents or to (content, mode). Scripts (``PHASE.d/NN-name``) are executable.
        """
        folder = self.flavours / name
        folder.mkdir(parents=True, exist_ok=True)
        for path, given in (files or {}).items():
            content, mode = given if isinstance(given, tuple) else (given, None)
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
            script = re.fullmatch(r"[a-z-]+\.d/[0-9]{2}-[^/]+", path)
            place.chmod(mode if mode is not None else 0o755 if script else 0o644)
        return folder

    def pack(
        self, name: str, module: str, flavours: Mapping[str, str], *, version: str = "1.0", onto: Path | None = None
    ) -> Path:
        """Write a flavour pack as ``pip install --target`` leaves it; return the folder that is on the flavour path.

        ``module`` is the source of its one module, ``flavours`` maps their names to the module's attributes. Use a
        name of its own for each pack: a module stays loaded for the whole test run.
        """
        folder = onto or self.flavours
        stem = name.replace("-", "_")
        (folder / f"{stem}.py").write_text(textwrap.dedent(module))
        points = [f"{flavour} = {stem}:{attribute}" for flavour, attribute in flavours.items()]
        _write_distribution(folder, name, version, points, files=(f"{stem}.py",))
        return folder

    # -- planning and building

    def request(self, *flavours: str, operating_system: str = TOY, output: str = "image", **options: Any) -> Request:
        """The request that :meth:`plan` and :meth:`build` make."""
        types = options.pop("types", ("tar",))
        settings = options.pop("settings", ())
        if isinstance(settings, Mapping):
            settings = tuple((*name.partition(".")[::2], str(value)) for name, value in settings.items())
        named = (operating_system, *flavours) if operating_system else flavours
        environment = {name: os.environ[name] for name in CALLER if name in os.environ}
        options.setdefault("skip_base", operating_system == TOY)
        options.setdefault("flavour_path", self.flavour_path)
        options.setdefault("cache_dir", self.cache)
        options.setdefault("work_dir", self.work)
        return Request(
            flavours=named,
            output=self.output / output,
            types=(types,) if isinstance(types, str) else tuple(types),
            settings=settings,
            environment={**environment, **options.pop("environment", {})},
            **options,
        )

    def prepare(self, *flavours: str, **options: Any) -> Prepared:
        """The plan with what belongs to it; nothing runs."""
        with own_import_path():
            return prepare(self.request(*flavours, **options))

    def plan(self, *flavours: str, **options: Any) -> Plan:
        """The plan; nothing runs. Raises ImagewrightError."""
        return self.prepare(*flavours, **options).plan

    def ramdisk_plan(self, *flavours: str, operating_system: str = TOY, **options: Any) -> PlannedRamdisk:
        """The plan of a ramdisk; nothing runs. Raises ImagewrightError."""
        request = self.request(*flavours, operating_system=operating_system, output="ramdisk", **options)
        with own_import_path():
            return plan_ramdisk(RamdiskRequest(image=request))

    def build(self, *flavours: str, fresh: bool = False, **options: Any) -> Built:
        """Build; raises ImagewrightError. An image of a real operating system is built once a day and kept.

        ``fresh`` builds it here and now, with the test's own cache.
        """
        request = self.request(*flavours, **options)
        with own_import_path():
            return self._build(request) if fresh or operating_system_is_ours(request) else self._kept(request)

    def fails(
        self, *flavours: str, match: str = "", kind: type[ImagewrightError] = ImagewrightError, **options: Any
    ) -> ImagewrightError:
        """Build, expecting an error of ``kind`` whose text matches ``match``; return it.

        AssertionError if the build succeeds, fails otherwise, or leaves anything behind.
        """
        before = self.leavings()
        try:
            self.build(*flavours, **options)
        except kind as error:
            if re.search(match, str(error)) is None:
                raise AssertionError(f"the error does not match {match!r}:\n{error}") from error
            left = self.leavings() - before
            if left:
                raise AssertionError(f"the failed build left {', '.join(sorted(left))}") from error
            return error
        raise AssertionError(f"the build of {' '.join(flavours)} was expected to fail and did not")

    def leavings(self) -> frozenset[str]:
        """What lies in the output and work folders now."""
        return frozenset(
            str(path.relative_to(self.folder)) for top in (self.work, self.output) for path in top.iterdir()
        )

    # -- the commands

    def environment(self, **more: str) -> dict[str, str]:
        """The environment in which the commands use the kit's folders."""
        kept = {name: os.environ[name] for name in CALLER if name in os.environ}
        return {
            **kept,
            "IMAGEWRIGHT_CACHE_DIR": str(self.cache),
            "IMAGEWRIGHT_WORK_DIR": str(self.work),
            "FLAVOURS_PATH": ":".join(str(path) for path in self.flavour_path),
            # no settings file of the tester's
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            **more,
        }

    def command(
        self, name: str, *arguments: str | Path, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the project in the output folder; an AssertionError shows what it said if it fails."""
        done = subprocess.run(
            [program(name), *map(str, arguments)],
            env=self.environment(**environment),
            cwd=self.output,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{name} ended with status {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def clear(self) -> None:
        """Remove the work folder's and the cache's content, whoever owns it."""
        if not any(self.cache.iterdir()) and not any(self.work.iterdir()):
            return
        # late, as in _build: a test that only plans does not pay for what builds
        from imagewright.building.host.workfolder import clear_abandoned
        from imagewright.sandbox import Sandbox

        clear_abandoned(self.work)
        with Sandbox.open(self.folder) as sandbox:
            for path in sorted(self.cache.iterdir()):
                sandbox.remove(path)
        shutil.rmtree(self.folder / "layers")

    # -- inner parts

    def _write_toy(self) -> None:
        self._toy.mkdir()
        _write_distribution(self._toy, "imagewright-toy", __version__, [f"{TOY} = imagewright.testing.toy:Toy"])

    def _build(self, request: Request) -> Built:
        from imagewright.building.images.build import build

        self._builds += 1
        log = self.folder / f"build-{self._builds}.log"
        monitor = RecordingMonitor(log)
        result = build(request, monitor, log=log)
        return Built(
            paths=result.paths,
            manifest=result.manifest,
            log=log.read_text(),
            seconds=result.seconds,
            events=tuple(monitor.events),
        )

    def _kept(self, request: Request) -> Built:
        wanted = {name: getattr(request, name) for name in Request.__slots__}
        for name in ("output", "cache_dir", "work_dir", "flavour_path", "environment"):
            wanted.pop(name)
        digest = digest_of(prepare(request).plan.digest, wanted, request.output.name)
        folder = self.shared / "images" / digest[:20]
        note = folder / "built.json"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not note.exists() or time.time() - note.stat().st_mtime > KEPT_FOR:
                kept = _replaced(request, output=folder / request.output.name, cache_dir=self.shared / "cache")
                built = self._build(kept)
                names = [path.name for path in built.paths]
                note.write_text(json.dumps({"names": names, "log": built.log, "seconds": built.seconds}))
                return built
        document = json.loads(note.read_text())
        paths = tuple(folder / name for name in document["names"])
        manifest = json.loads(next(path for path in paths if path.name.endswith(".manifest.json")).read_text())
        return Built(paths=paths, manifest=manifest, log=document["log"], seconds=document["seconds"])


def operating_system_is_ours(request: Request) -> bool:
    """Whether the request is for the toy operating system, or for one that lies in the test's own folders."""
    names = {found.name for found in survey(request.flavour_path).found if found.tree is not None}
    return TOY in request.flavours or bool(names & set(request.flavours))


@contextmanager
def own_import_path() -> Iterator[None]:
    """What a pack of the flavour path makes importable is gone at the end."""
    # loading a pack of the flavour path makes it importable for good; another test's pack must not show through
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


def program(name: str) -> str:
    """A command of the project in the environment of the running Python."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


def _replaced(request: Request, **changes: Any) -> Request:
    return Request(**{name: changes.get(name, getattr(request, name)) for name in Request.__slots__})


def _write_distribution(folder: Path, name: str, version: str, points: list[str], files: tuple[str, ...] = ()) -> None:
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (information / "entry_points.txt").write_text("\n".join(["[imagewright.flavours]", *points]) + "\n")
    records = [*files, *(f"{information.name}/{file}" for file in ("METADATA", "entry_points.txt", "RECORD"))]
    (information / "RECORD").write_text("".join(f"{record},,\n" for record in records))
