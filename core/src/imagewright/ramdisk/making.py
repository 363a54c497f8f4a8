"""Makes a ramdisk and its kernel file from roots that lie ready. Called as mapped root in the sandbox, or plainly."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from imagewright.blankslate.looking import Seen, findings
from imagewright.blankslate.marks import Marks
from imagewright.errors import StepFailed
from imagewright.ramdisk import busybox, udev
from imagewright.ramdisk.archive import Member, compressed_apart, write_archive
from imagewright.ramdisk.compression import compressing
from imagewright.ramdisk.contents import CORE, Contents, Held
from imagewright.ramdisk.executables import FOLDERS, Executables, Source, Wanted
from imagewright.ramdisk.kernels import Asked, KernelSource, asked_of, put_kernel
from imagewright.ramdisk.roots import Root, reading

BUSYBOX = "busybox"

_LIBRARY = re.compile(r"\.so(\.[^/]*)?$")

PLACE = "usr/bin/busybox"
"""Where busybox is in every ramdisk."""

STANDARD = (
    Wanted(name=BUSYBOX, asked=(CORE,), package=BUSYBOX, optional=True),
    *(
        Wanted(name=name, asked=(CORE,), package="kmod", optional=True)
        for name in ("kmod", "depmod", "insmod", "lsmod", "modinfo", "modprobe", "rmmod")
    ),
)
"""Busybox, and the real programs for modules, which read compressed ones; busybox's serve where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootPlace:
    """A root for executables: its folder ("" is the machine's own root), its name, where executables are in it."""

    folder: str
    name: str
    folders: tuple[str, ...] = FOLDERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what a ramdisk is, as plain values.

    ``roots`` serve executables and libraries, the first first. ``given`` is the folder with what flavours give and
    ``/init``; ``given_by`` maps its paths to flavours. ``modules`` holds (name, who asks, whether it may be missing).
    ``busybox`` is the path of a busybox in the last root; empty: the one found by name. ``ramdisk`` and
    ``kernel_file`` are where the results go. ``known`` is what modules ask for, as far as that was read before.
    ``marks`` are those of the builder that no file may hold (:class:`~imagewright.blankslate.marks.Marks`).
    """

    roots: tuple[RootPlace, ...]
    executables: tuple[Wanted, ...]
    given: str
    given_by: Mapping[str, str]
    modules: tuple[tuple[str, str, bool], ...]
    kernel_root: RootPlace
    kernel_version: str
    kernel_image: str
    compress: str
    moment: int
    ramdisk: str
    kernel_file: str
    busybox: str = ""
    known: Mapping[str, Asked] = field(default_factory=dict)
    marks: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The recipe as JSON can carry it."""
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Recipe:
        """The recipe from :meth:`document`, possibly after JSON."""
        values = dict(document)
        values["roots"] = tuple(_place(one) for one in values["roots"])
        values["kernel_root"] = _place(values["kernel_root"])
        values["executables"] = tuple(Wanted(**{**one, "asked": tuple(one["asked"])}) for one in values["executables"])
        values["modules"] = tuple((name, asker, optional) for name, asker, optional in values["modules"])
        values["known"] = asked_of(values["known"])
        return cls(**values)


def _place(document: Mapping[str, Any]) -> RootPlace:
    return RootPlace(**{**document, "folders": tuple(document["folders"])})


def make(*, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Make the ramdisk; return the report, or ``{"missing": [NAME…]}`` for executables that no root has.

    The report holds where everything came from. Raises StepFailed for a library, a module or a kernel that is missing.
    """
    with reading():
        return _make(Recipe.of(recipe))


def _make(recipe: Recipe) -> dict[str, Any]:
    roots = _roots((*recipe.roots, recipe.kernel_root))
    sources = [Source(root=roots[place.folder], folders=place.folders) for place in recipe.roots]
    contents = Contents()
    executables = Executables(contents, sources)
    applets = _put_busybox(recipe, executables, contents)
    absent = _put_executables((*STANDARD[1:], *udev.WANTED, *recipe.executables), executables, applets)
    if absent:
        return {"missing": absent}
    kernel_root = roots[recipe.kernel_root.folder]
    kernel = put_kernel(
        contents,
        KernelSource(
            root=kernel_root,
            version=recipe.kernel_version,
            image=recipe.kernel_image,
            known=recipe.known,
        ),
        recipe.modules,
    )
    _put_given(contents, recipe)
    held = contents.finished()
    members = [one.member for one in held]
    stored, others = ([], members) if recipe.compress == "none" else compressed_apart(members)
    with open(recipe.ramdisk, "wb", buffering=1 << 20) as stream:
        size = write_archive(stored, stream.write, moment=recipe.moment) if stored else 0
        with compressing(recipe.compress, stream.write) as write:
            size += write_archive(others, write, moment=recipe.moment)
            # other processors compress the last pieces meanwhile
            shutil.copyfile(kernel_root.place(kernel.image.path), recipe.kernel_file)
            slate = _slate(held, Marks.of(recipe.marks))
    return {
        "executables": _listed(held),
        "kernel": kernel.report,
        "asked": kernel.asked,
        "files": len(held),
        "bytes": size,
        "applets": sorted(busybox.names(applets)),
        "udev": udev.present(contents),
        "slate": slate,
    }


def _slate(held: Sequence[Held], marks: Marks) -> list[dict[str, Any]]:
    """What the rules of the blank slate find, with where it came from and who asked for it."""
    by_path = {f"/{one.member.path}": one for one in held if one.member.kind == "file"}
    return [
        {
            "rule": found.rule,
            "path": found.path,
            "value": found.value,
            "from": by_path[found.path].origin,
            "asked_by": list(by_path[found.path].asked),
        }
        for found in findings(map(_seen, by_path, by_path.values()), marks)
    ]


def _seen(path: str, held: Held) -> Seen:
    member = held.member
    size = os.stat(member.source).st_size if member.source else len(member.read())
    return Seen(path=path, size=size, link=False, read=member.read)


def _roots(places: Iterable[RootPlace]) -> dict[str, Root]:
    roots: dict[str, Root] = {}
    for place in places:
        roots.setdefault(place.folder, Root(place.folder, place.name))
    return roots


def _put_busybox(recipe: Recipe, executables: Executables, contents: Contents) -> tuple[str, ...]:
    """Add busybox and its links, which give way to all that comes later; return the paths of the links."""
    name = recipe.busybox or BUSYBOX
    # one that the caller names is theirs, whatever the tree has at its path
    got = executables.find(name, last=bool(recipe.busybox))
    if got is None:
        raise StepFailed(
            "no-busybox",
            "no busybox was found, and a ramdisk is made of it",
            where=(f"looked for: {name} in {', '.join(place.name for place in recipe.roots)}",),
            hint="the package busybox brings it; BUSYBOX names one of your own",
        )
    root, found = got
    executables.put_found(root, found, (CORE,))
    if not contents.has(PLACE):
        contents.put(Member(path=PLACE, kind="link", mode=0o777, target=f"/{found.path}"), origin=root.name)
    paths = busybox.applets(root.folder, found.path)
    for path in paths:
        contents.put_applet(path)
    return paths


def _put_executables(wanted: Sequence[Wanted], executables: Executables, applets: tuple[str, ...]) -> list[str]:
    """Add executables; return the names of those that are nowhere.

    What busybox provides needs no other program, unless a package is named for it.
    """
    provided = busybox.names(applets)
    absent = []
    for one in wanted:
        if one.name in provided and not one.package:
            continue
        if not executables.put(one) and one.name not in provided and not one.optional:
            absent.append(one.name)
    return absent


def _put_given(contents: Contents, recipe: Recipe) -> None:
    """Lay what flavours give over everything else; ``/init`` is among it."""
    for current, folders, files in os.walk(recipe.given):
        for name in sorted((*folders, *files)):
            place = os.path.join(current, name)
            path = os.path.relpath(place, recipe.given)
            status = os.lstat(place)
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                member = Member(path=path, kind="link", mode=0o777, target=os.readlink(place))
            elif stat.S_ISDIR(status.st_mode):
                if contents.has(path) and path not in recipe.given_by:
                    continue
                member = Member(path=path, kind="folder", mode=mode)
            else:
                member = Member(path=path, mode=mode, source=place)
            giver = recipe.given_by.get(path, CORE)
            contents.put(member, origin=giver, asked=(giver,), over=True)


def _listed(held: Sequence[Held]) -> list[dict[str, Any]]:
    """Where every executable and library came from, and who asked."""
    return [
        {"path": f"/{one.member.path}", "from": one.origin, "asked_by": list(one.asked)}
        for one in held
        if one.member.kind == "file" and (one.member.mode & 0o111 or _LIBRARY.search(one.member.path))
    ]
