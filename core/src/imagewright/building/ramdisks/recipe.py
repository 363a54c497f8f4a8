"""What a ramdisk is made from and how, and having it made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from imagewright.building.ramdisks.firmwarenotes import note, noted
from imagewright.building.ramdisks.kernel import Kernel, host_kernel
from imagewright.building.ramdisks.shop import TREE, Shop, stem_of
from imagewright.building.ramdisks.slate import ramdisk_marks
from imagewright.errors import StepFailed
from imagewright.plan import CORE
from imagewright.planning.ramdisks import PlannedRamdisk
from imagewright.ramdisk import making, udev
from imagewright.ramdisk.executables import Wanted, missing
from imagewright.ramdisk.kernelmodules import versions
from imagewright.ramdisk.making import Recipe, RootPlace
from imagewright.ramdisk.packages import PACKAGES
from imagewright.ramdisk.roots import Root
from imagewright.ramdisk.staging import HOST, host_folders, stage_host, staged_folders
from imagewright.sandbox.jobs import TARGET


def recipe_of(shop: Shop, given_by: Mapping[str, str], kernel: Kernel) -> Recipe:
    """What the call is told that makes the ramdisk; ``given_by`` says whose the files of the folder ``given`` are."""
    request = shop.request
    wanted = _wanted(shop.planned)
    return Recipe(
        roots=_roots(shop, wanted),
        executables=wanted,
        given=shop.inside("given"),
        given_by=given_by,
        modules=shop.modules,
        kernel_root=kernel.place,
        kernel_version=kernel.version,
        kernel_image=kernel.image,
        known=kernel.known or noted(request.image.cache_dir, kernel.version),
        marks=ramdisk_marks(request, shop.planned, shop.building).document(),
        compress=request.compress,
        moment=shop.epoch,
        ramdisk=shop.inside(f"out/{request.image.output.name}"),
        kernel_file=shop.inside(f"out/{stem_of(request.image.output)}.kernel"),
        busybox=str(request.busybox) if request.busybox else "",
    )


def carried_out(shop: Shop, recipe: Recipe) -> dict[str, Any]:
    """Make the ramdisk; the report. What the tree lacks is taken from the caller's ``$PATH``, which the manifest says.

    Raises ImagewrightError, such as for an executable that no root has.
    """
    try:
        report = shop.make(recipe)
    except StepFailed as error:
        given = shop.request.kernel_version
        if error.reference not in ("kernel-missing", "modules-missing") or recipe.kernel_root.folder != TARGET:
            raise
        if given not in versions(host := Root("", HOST)):
            raise
        kernel = host_kernel(shop, host, given)
        return carried_out(
            shop, replace(recipe, kernel_root=kernel.place, kernel_image=kernel.image, known=kernel.known)
        )
    absent = report.get("missing")
    if not absent:
        note(shop.request.image.cache_dir, recipe.kernel_version, report["asked"])
        return report
    wanted = {one.name: one for one in recipe.executables}
    if shop.request.binaries_from == "tree" and not any(place.folder.endswith("/host") for place in recipe.roots):
        place = _staged_host(shop, [wanted[name] for name in absent], "host")
        tree, *others = recipe.roots
        return carried_out(shop, replace(recipe, roots=(tree, place, *others)))
    raise missing(wanted[absent[0]], ", ".join(place.name for place in recipe.roots), PACKAGES)


def _wanted(planned: PlannedRamdisk) -> tuple[Wanted, ...]:
    """Each executable once, with all who ask for it."""
    wanted: dict[str, Wanted] = {}
    for one, who in planned.executables:
        before = wanted.get(one.name, Wanted(name=one.name, asked=()))
        wanted[one.name] = replace(before, asked=(*before.asked, who), package=before.package or one.package)
    return tuple(wanted.values())


def _roots(shop: Shop, wanted: tuple[Wanted, ...]) -> tuple[RootPlace, ...]:
    """Where executables come from; a busybox that the caller names is in the last root."""
    request = shop.request
    folders = host_folders(request.image.environment)
    own = (Wanted(name=str(request.busybox), asked=(CORE.flavour,)),) if request.busybox else ()
    if request.binaries_from == "tree":
        return (RootPlace(folder=TARGET, name=TREE), *((_staged_host(shop, own, "busybox"),) if own else ()))
    if shop.building is None:
        return (RootPlace(folder="", name=HOST, folders=folders),)
    return (_staged_host(shop, (*making.STANDARD, *udev.WANTED, *own, *wanted), "host"),)


def _staged_host(shop: Shop, wanted: Sequence[Wanted], name: str) -> RootPlace:
    folders = host_folders(shop.request.image.environment)
    stage_host(wanted, shop.folder / name, folders)
    shop.ready(name)
    return RootPlace(folder=shop.inside(name), name=HOST, folders=staged_folders(folders))
