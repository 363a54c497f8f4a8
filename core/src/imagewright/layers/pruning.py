"""Which kept layers there are, and which of them go: the longest unused first, never one that another stands on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagewright.layers import locks, record
from imagewright.layers.record import LayerRecord

MOST = 20 * 2**30
"""Bytes of layers that builds themselves leave in the cache."""

OLDEST = 30 * 24 * 3600
"""Seconds after which builds themselves let a layer go that none of them used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLayer:
    """A layer in the cache. ``made`` is its record, None if that cannot be read; ``used`` is in seconds since 1970.

    A layer counts as used when one that stands on it was.
    """

    folder: Path
    made: LayerRecord | None
    used: float
    depth: int = 0
    usable: bool = True

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return self.made.size if self.made else 0


def kept_layers(folder: Path) -> tuple[KeptLayer, ...]:
    """All layers of one folder of the store, the last used first; those whose parent is gone are not usable."""
    found: dict[str, tuple[Path, LayerRecord, float]] = {}
    broken: list[KeptLayer] = []
    for place in sorted(folder.glob("*/tree")):
        path = place.parent / record.NAME
        made = record.read(path)
        used = path.stat().st_mtime if path.exists() else 0.0
        if made is None or made.key != place.parent.name:
            broken.append(KeptLayer(folder=place.parent, made=None, used=used, usable=False))
        else:
            found[made.identity] = (place.parent, made, used)
    uses = {identity: used for identity, (_place, _made, used) in found.items()}
    depths: dict[str, int] = {}
    for identity in found:
        chain, seen = identity, []
        while chain in found and chain not in seen:
            seen.append(chain)
            chain = found[chain][1].parent
        for one in seen:
            uses[one] = max(uses[one], found[identity][2])
        # a chain that does not end at the bottom hangs in the air
        depths[identity] = len(seen) if not chain else -len(seen)
    layers = [
        KeptLayer(
            folder=place, made=made, used=uses[identity], depth=abs(depths[identity]), usable=depths[identity] > 0
        )
        for identity, (place, made, _used) in found.items()
    ]
    return tuple(sorted((*layers, *broken), key=lambda one: (-one.used, one.depth, one.folder)))


def doomed(layers: Sequence[KeptLayer], *, most: int | None, oldest: float | None) -> tuple[KeptLayer, ...]:
    """Those that go so that at most ``most`` bytes stay and none that was unused for ``oldest`` seconds, in that order.

    What no build can use goes in any case.
    """
    now, left = time.time(), sum(one.size for one in layers)
    gone: list[KeptLayer] = []
    # backwards: the longest unused first, and of one moment those that stand on others
    for one in sorted(layers, key=lambda one: (one.usable, one.used, -one.depth)):
        old = oldest is not None and now - one.used > oldest
        much = most is not None and left > most
        if not one.usable or old or much:
            gone.append(one)
            left -= one.size
    return tuple(gone)


def take_away(layers: Iterable[KeptLayer], aside: Path) -> tuple[tuple[KeptLayer, ...], tuple[KeptLayer, ...]]:
    """Move layers below the folder ``aside``, where whoever may removes them; those moved, and those in use that stay.

    ``aside`` lies on the filesystem of the store. Raises OSError.
    """
    moved, stay = [], []
    kept_parents: set[str] = set()
    for one in layers:
        needed = one.made is not None and one.made.identity in kept_parents
        descriptor = None if needed else locks.seize(one.folder)
        if descriptor is None:
            stay.append(one)
            if one.made is not None:
                kept_parents.add(one.made.parent)
            continue
        try:
            one.folder.rename(aside / one.folder.name)
            moved.append(one)
        finally:
            os.close(descriptor)
    return tuple(moved), tuple(stay)


def forget_answers(folder: Path, oldest: float) -> None:
    """Remove answers of the world, and lock files of killed builds, that nobody looked at for so many seconds."""
    now = time.time()
    for path in (*folder.glob("answers/*"), *folder.glob("locks/*")):
        try:
            if now - path.stat().st_mtime > oldest:
                path.unlink()
        except OSError:
            continue
