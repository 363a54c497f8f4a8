"""Images that were built before: where nothing changed, their files are copied and nothing else is done."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from imagewright.building.artefacts.beside import remove, stale_beside
from imagewright.building.artefacts.files import copied
from imagewright.building.artefacts.publishing import alone_in, publish
from imagewright.building.host.checks import programs_needed
from imagewright.building.tree.forecast import Forecast
from imagewright.building.tree.growing import TREE_PHASES
from imagewright.building.tree.keeping import tell_of_age
from imagewright.building.tree.layerkeys import core_digest
from imagewright.building.tree.slate import slate_key
from imagewright.discovery import load_output
from imagewright.documents import parse_json
from imagewright.events import BuildStarted, Monitor, StepFinished, StepStarted
from imagewright.layers import locks
from imagewright.layers.pruning import OLDEST
from imagewright.plan import CORE, digest_of
from imagewright.planning import Prepared
from imagewright.planning.fingerprints import fingerprint_of
from imagewright.request import Request
from imagewright.types import Phase, Script, Size

MOST = 10 * 2**30
"""Bytes of finished images that builds leave in the cache."""

_NOTE = "image.json"


def image_key(request: Request, prepared: Prepared, top: str) -> str | None:
    """The key of the files that a build writes; ``top`` is the identity of the tree's topmost kept layer.

    It covers everything between the tree and the files: names, sizes, layout, formats, the code, and the programs of
    the host by path, size and time. None if it cannot be known without running something.
    """
    plan = prepared.plan
    asks_host = plan.of(Phase.EXTRA_DATA) or any(
        not isinstance(step.step.action, Size) for step in plan.of(Phase.BLOCK_DEVICE_SIZE)
    )
    own_layout = any(isinstance(step.step.action, Script) for step in plan.of(Phase.BLOCK_DEVICE))
    if not top or request.no_cache or asks_host or own_layout:
        return None
    programs = []
    for name in programs_needed(request, prepared):
        path = shutil.which(name)
        if path is not None:
            status = os.stat(path)
            programs.append([path, status.st_size, status.st_mtime_ns])
    drivers = sorted({type(load_output(kind)).__module__ for kind in request.types})
    others = [module for module in drivers if not module.startswith("imagewright.")]
    return digest_of(
        "image",
        1,
        core_digest("imagewright.building", "imagewright.sandbox", "imagewright.disk", "imagewright.outputs"),
        core_digest("imagewright.supplychain"),
        slate_key(request, prepared),
        [fingerprint_of(f"{module}:") for module in others],
        programs,
        plan.digest,
        prepared.lock.digest if prepared.lock else "",
        [prepared.context.image_name, request.output.name, sorted(request.types), request.arch],
        [request.image_size, request.root_label, request.fs_type, *request.beside.key()],
        top,
    )


def again(request: Request, prepared: Prepared, monitor: Monitor, *, log: Path) -> tuple[Path, ...]:
    """Put the files of a build before in place if this one would write the same; the paths, none if it must run.

    Raises HostError if they cannot be put in place.
    """
    if request.no_cache or request.refresh or request.start_from:
        return ()
    foretold = Forecast(request, prepared)
    tree = [step.name for phase in TREE_PHASES for step in prepared.plan.of(phase)]
    prospects = foretold.all()
    if not tree or any(prospects[name].status != "cached" for name in tree):
        return ()
    key = image_key(request, prepared, foretold.top)
    folder = request.cache_dir / "images" / (key or "none")
    held = locks.share(folder) if key else None
    if held is None:
        return ()
    try:
        names = _names(folder)
        if not names:
            return ()
        monitor.handle(
            BuildStarted(image=prepared.context.image_name, phases=(("artefacts", len(request.types)),), log=log)
        )
        for number, kind in enumerate(sorted(request.types), start=1):
            monitor.handle(
                StepStarted(phase="artefacts", step=kind, flavour=CORE.flavour, number=number, total=len(request.types))
            )
            monitor.handle(StepFinished(phase="artefacts", step=kind, status="cached", seconds=0.0))
        umask = os.umask(0o022)
        os.umask(umask)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".copy-") as passing:
            files = []
            # between filesystems a rename is a copy anyhow, and one is enough
            moved = os.stat(passing).st_dev == os.stat(request.output.parent).st_dev
            for name in names:
                if moved:
                    copied(folder / name, Path(passing, name))
                files.append((Path(passing, name) if moved else folder / name, request.output.with_name(name)))
            stale = stale_beside([folder / name for name in names], request.output, request.output.name)
            publish(files, 0o666 & ~umask, request.cache_dir)
        with suppress(OSError):
            os.utime(folder / _NOTE)
    finally:
        os.close(held)
    remove(stale)
    tell_of_age(monitor, foretold.oldest)
    return tuple(request.output.with_name(name) for name in names)


def keep_image(cache_dir: Path, key: str, paths: Sequence[Path], manifest: Mapping[str, Any]) -> None:
    """Copy the files of a finished build into the cache, and let the images go that nobody used for long.

    They are those of its ``manifest``, or nothing is kept: another builder may have put its own in place by now.
    """
    images = cache_dir / "images"
    with suppress(OSError):
        images.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=images, prefix=".new-") as passing:
            files: dict[str, list[int]] = {}
            with alone_in({path.parent for path in paths}):
                for path in paths:
                    copied(path, Path(passing, path.name))
                    files[path.name] = _looks(Path(passing, path.name))
            name = next(name for name in files if name.endswith(".manifest.json"))
            if json.loads(Path(passing, name).read_text()) != json.loads(json.dumps(manifest)):
                return
            fresh = Path(passing, "ready")
            fresh.mkdir()
            for name in files:
                Path(passing, name).rename(fresh / name)
            (fresh / _NOTE).write_text(json.dumps({"files": files}))
            if not (images / key).exists():
                fresh.rename(images / key)
        leave_room(cache_dir, most=MOST, oldest=OLDEST)


def leave_room(cache_dir: Path, *, most: int | None, oldest: float | None) -> int:
    """Remove kept images, the longest unused first, until the bounds hold: bytes, and seconds; how many went."""
    found = []
    for folder in (cache_dir / "images").glob("*"):
        with suppress(OSError):
            note = folder / _NOTE
            used = note.stat().st_mtime if note.exists() else folder.stat().st_mtime
            size = sum(path.stat().st_blocks * 512 for path in folder.iterdir() if path.is_file())
            # what a killed build was copying is nobody's after an hour
            passing = folder.name.startswith(".")
            if not passing or time.time() - used > 3600:
                found.append((not passing, used, size, folder))
    left, gone = sum(size for _whole, _used, size, _folder in found), 0
    for whole, used, size, folder in sorted(found):
        old = oldest is not None and time.time() - used > oldest
        if whole and not old and (most is None or left <= most):
            continue
        held = locks.seize(folder)
        if held is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)
            left -= size
            gone += 1
    return gone


def _names(folder: Path) -> tuple[str, ...]:
    """The files of a kept image in their order; none if one is not as it was written."""
    try:
        document: Any = parse_json((folder / _NOTE).read_bytes())
        files = dict(document["files"])
        whole = all(_looks(folder / name) == looks for name, looks in files.items())
    except (OSError, ValueError, TypeError, KeyError):
        return ()
    return tuple(files) if whole else ()


def _looks(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
