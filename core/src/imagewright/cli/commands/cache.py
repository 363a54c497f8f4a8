"""``imagewright cache``: the layers that builds keep."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import typer

from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.cli.places import cache_folder
from imagewright.cli.tables import table
from imagewright.errors import ImagewrightError
from imagewright.layers.pruning import MOST, OLDEST, KeptLayer

DAY = 24 * 3600


def list_all(invocation: Invocation) -> None:
    """Print the layers, the last used first."""
    from imagewright.building.cache import layers_of

    found = layers_of(_folder(invocation))
    if invocation.values["json"]:
        print_document({"layers": [_document(one) for one in found], "size": sum(one.size for one in found)})
        return
    head = ("KEY", "STEP", "FLAVOUR", "SIZE", "USED", "")
    sys.stdout.write(table(head, [_row(one) for one in found]))
    sys.stdout.write(f"{_count(found)}, {_size(sum(one.size for one in found))}\n")


def prune(invocation: Invocation) -> None:
    """Remove layers until the bounds hold. Raises HostError."""
    from imagewright.building.cache import prune as prune_layers

    values = invocation.values
    most = MOST if values["max-size"] is None else values["max-size"]
    oldest = OLDEST if values["max-age"] is None else values["max-age"] * DAY
    done = prune_layers(_folder(invocation), most=most, oldest=oldest)
    freed = sum(one.size for one in done.gone)
    if invocation.values["json"]:
        print_document(
            {
                "removed": [_document(one) for one in done.gone],
                "in_use": [_document(one) for one in done.in_use],
                "images": done.images,
                "archives": done.archives,
                "freed": freed,
                "left": sum(one.size for one in done.left),
            }
        )
        return
    images = f"; {done.images} kept {'image' if done.images == 1 else 'images'}" if done.images else ""
    archives = f"; {_size(done.archives)} of package archives" if done.archives else ""
    sys.stdout.write(f"removed {_count(done.gone)}, {_size(freed)}{images}{archives}\n")
    if done.in_use:
        sys.stdout.write(f"{_count(done.in_use)} stay: a running build uses them\n")
    sys.stdout.write(f"left: {_count(done.left)}, {_size(sum(one.size for one in done.left))}\n")


def verify(invocation: Invocation) -> None:
    """Check every layer; exit code 1 if one was damaged. Raises HostError."""
    from imagewright.building.cache import verify as verify_layers

    checked: list[tuple[KeptLayer, bool]] = []
    damaged = verify_layers(_folder(invocation), lambda one, good: checked.append((one, good)))
    if invocation.values["json"]:
        print_document({"checked": len(checked), "damaged": [_document(one) for one in damaged]})
    else:
        for one in damaged:
            sys.stdout.write(
                f"damaged and removed: {one.folder.name[:12]} {one.made.step if one.made else ''}".rstrip() + "\n"
            )
        sys.stdout.write(f"checked {len(checked)} layers, {len(damaged)} damaged\n")
    if damaged:
        raise typer.Exit(ImagewrightError.exit_code)


def _folder(invocation: Invocation) -> Path:
    given: Path | None = invocation.values["cache-dir"]
    return (given or cache_folder()).absolute()


def _document(one: KeptLayer) -> dict[str, object]:
    made = one.made
    return {
        "key": one.folder.name,
        "step": made.step if made else "",
        "flavour": made.flavour if made else "",
        "distribution": made.distribution if made else "",
        "size": one.size,
        "entries": made.entries if made else 0,
        "made": made.made if made else None,
        "used": one.used,
        "usable": one.usable,
    }


def _row(one: KeptLayer) -> tuple[str, ...]:
    made = one.made
    step, flavour = (made.step, made.flavour) if made else ("", "")
    return one.folder.name[:12], step, flavour, _size(one.size), _age(one.used), "" if one.usable else "of no use"


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _age(used: float) -> str:
    hours = int(max(time.time() - used, 0)) // 3600
    return f"{hours} h ago" if hours < 48 else f"{hours // 24} days ago"


def _count(layers: tuple[KeptLayer, ...]) -> str:
    return f"{len(layers)} {'layer' if len(layers) == 1 else 'layers'}"
