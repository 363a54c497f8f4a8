"""Looking after the kept layers of the caller: what ``imagewright cache`` does."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imagewright.building import preloads
from imagewright.building.host.workfolder import work_folder
from imagewright.building.images.unchanged import leave_room
from imagewright.building.packages.store import MOST, store_of
from imagewright.building.tree.layerkeys import mapping_name
from imagewright.errors import HostError
from imagewright.layers import locks
from imagewright.layers.pruning import KeptLayer, doomed, forget_answers, kept_layers, take_away
from imagewright.layers.store import TREE
from imagewright.sandbox import Sandbox
from imagewright.sandbox.jobs import KEPT, PythonJob
from imagewright.sandbox.mapping import mapping_of_caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What went, what should have gone and is in use, and what is left."""

    gone: tuple[KeptLayer, ...]
    in_use: tuple[KeptLayer, ...]
    left: tuple[KeptLayer, ...]
    images: int  # how many kept images went, to which the same bounds apply
    archives: int = 0  # bytes of package archives that went, to which the same bounds apply


def store_folder(cache_dir: Path) -> Path:
    """The folder of layers for the caller's mapping of ids. Raises HostError if the caller has none."""
    return cache_dir / "layers" / mapping_name(mapping_of_caller())


def layers_of(cache_dir: Path) -> tuple[KeptLayer, ...]:
    """The caller's layers, the last used first."""
    return kept_layers(store_folder(cache_dir))


def prune(cache_dir: Path, *, most: int | None, oldest: float | None) -> Pruned:
    """Remove layers until the bounds hold: bytes in all, and seconds since one was last used. Raises HostError."""
    folder = store_folder(cache_dir)
    going = doomed(kept_layers(folder), most=most, oldest=oldest)
    if oldest is not None:
        forget_answers(folder, oldest)
    gone, in_use = _remove(cache_dir, going)
    images = leave_room(cache_dir, most=most, oldest=oldest)
    bound = MOST if most is None else min(most, MOST)
    archives = store_of(cache_dir).prune(most=bound, oldest=oldest)
    return Pruned(gone=gone, in_use=in_use, left=kept_layers(folder), images=images, archives=archives)


def verify(cache_dir: Path, tell: Callable[[KeptLayer, bool], None]) -> tuple[KeptLayer, ...]:
    """Read every layer whole and remove those that are damaged, with all that stands on them; return the damaged ones.

    ``tell`` is told of each layer and whether it is as it was made. Raises HostError.
    """
    folder = store_folder(cache_dir)
    found = kept_layers(folder)
    if not found:
        return ()
    damaged = []
    looking = partial(Sandbox.open, preload=preloads.LAYERS, kept=folder)
    with work_folder(cache_dir / "work", looking) as (_folder, sandbox):
        for one in found:
            held = locks.share(one.folder)
            if held is None:  # somebody is removing it
                continue
            job = PythonJob(
                function="imagewright.layers.content:described",
                arguments={"path": f"{KEPT}/{one.folder.name}/{TREE}"},
            )
            try:
                made = one.made
                seen = sandbox.call(job, lambda line: None) if made is not None and one.usable else None
            except (OSError, HostError):
                seen = None
            finally:
                os.close(held)
            good = made is not None and isinstance(seen, dict) and seen["full"] == made.full
            tell(one, good)
            if not good:
                damaged.append(one)
    _remove(cache_dir, damaged)
    # what stood on them is of no use any more
    _remove(cache_dir, doomed(kept_layers(folder), most=None, oldest=None))
    return tuple(damaged)


def _remove(
    cache_dir: Path, going: tuple[KeptLayer, ...] | list[KeptLayer]
) -> tuple[tuple[KeptLayer, ...], tuple[KeptLayer, ...]]:
    if not going:
        return (), ()
    # the work folder's end removes what its namespace alone may remove, or the next command does
    with work_folder(cache_dir / "work") as (folder, _sandbox):
        aside = folder / "pruned"
        aside.mkdir()
        try:
            return take_away(going, aside)
        except OSError as error:
            raise HostError(
                "cache-not-writable",
                f"a layer cannot be removed: {error.strerror}",
                where=(f"folder: {error.filename}",),
                hint="look at who owns the folder and whether its filesystem can be written",
            ) from error
