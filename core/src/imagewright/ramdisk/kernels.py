"""The kernel of a ramdisk: its file, its modules with what they need, and their firmware."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagewright.errors import StepFailed
from imagewright.ramdisk.archive import Member
from imagewright.ramdisk.contents import CORE, Contents
from imagewright.ramdisk.firmware import Firmware, asked_for
from imagewright.ramdisk.kernelmodules import STANDARD, WHOLE, KernelModules, Selected, folder_of, versions
from imagewright.ramdisk.roots import Found, Root
from imagewright.reading.versions import order

Asked = tuple[int, int, tuple[str, ...]]
"""Of a module's file the size and the moment of its change, and the firmware that it asks for."""

IMAGES = ("boot/vmlinuz-{}", "usr/lib/modules/{}/vmlinuz", "lib/modules/{}/vmlinuz", "boot/vmlinux-{}")
"""Where distributions put the kernel of a version."""

OTHERS = "name another kernel with -k, its root with -m, or an image with --kernel-from"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSource:
    """Where a kernel comes from. ``image`` is the path of its file in the root; empty: where it usually is.

    ``known`` says what modules ask for, as far as somebody has read them before.
    """

    root: Root
    version: str
    image: str = ""
    known: Mapping[str, Asked] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PutKernel:
    """The kernel's file, what the report says of modules and firmware, and what each module that was read asks for."""

    image: Found
    report: Mapping[str, Any]
    asked: Mapping[str, Asked]


def asked_of(document: Mapping[str, Sequence[Any]]) -> dict[str, Asked]:
    """What modules ask for, from JSON."""
    return {path: (int(one[0]), int(one[1]), tuple(map(str, one[2]))) for path, one in document.items()}


def newest(root: Root) -> str:
    """The newest kernel version whose modules are in a root; empty if there is none."""
    return max(versions(root), key=order, default="")


def find_image(root: Root, version: str, image: str = "") -> Found:
    """The kernel's file. Raises StepFailed if there is none."""
    names = [image] if image else [form.format(version) for form in IMAGES]
    for name in names:
        found = root.find(name)
        if found is not None and found.is_file:
            return found
    raise StepFailed(
        "kernel-missing",
        f"there is no kernel {version}",
        where=tuple(f"looked for: /{name} in {root.name}" for name in names),
        cause=f"modules are there for: {', '.join(versions(root)) or 'no kernel'}",
        hint=OTHERS,
    )


def put_kernel(contents: Contents, source: KernelSource, wanted: Iterable[tuple[str, str, bool]]) -> PutKernel:
    """Add the modules that were asked for and the standard ones. Raises StepFailed for one that is missing."""
    root, version = source.root, source.version
    image = find_image(root, version, source.image)
    folder = folder_of(root, version)
    if folder is None:
        raise StepFailed(
            "modules-missing",
            f"there are no modules of the kernel {version}",
            where=(f"looked in: {root.name}",),
            cause=f"modules are there for: {', '.join(versions(root)) or 'no kernel'}",
            hint=OTHERS,
        )
    modules = KernelModules(root, folder)
    selected = modules.select([*((name, CORE, True) for name in STANDARD), *wanted])
    if selected.missing:
        raise _missing(selected, version, root)
    top = f"usr/lib/modules/{version}"
    for path, asked in selected.files.items():
        _put_file(contents, root, f"{folder}/{path}", f"{top}/{path}", asked)
    for name, late in modules.indexes(selected.files.keys()).items():
        contents.put(Member(path=f"{top}/{name}", late=late), origin=root.name)
    for name in WHOLE:
        if (found := root.find(f"{folder}/{name}")) is not None and found.is_file:
            _put_file(contents, root, found.path, f"{top}/{name}", (CORE,))
    names, firmware, lacking = _put_firmware(contents, source, folder, selected)
    return PutKernel(
        image=image,
        asked=names,
        report={
            "version": version,
            "origin": root.name,
            "file": f"/{image.path}",
            "modules": {path: list(asked) for path, asked in selected.files.items() if asked != (CORE,)},
            "standard_modules": sum(asked == (CORE,) for asked in selected.files.values()),
            "builtin": list(selected.builtin),
            "firmware": firmware,
            "firmware_missing": lacking,
        },
    )


def _put_file(contents: Contents, root: Root, path: str, at: str, asked: tuple[str, ...]) -> None:
    found = root.find(path)
    if found is None or not found.is_file:
        raise StepFailed(
            "module-file-missing",
            f"the file /{path} is missing, and modules.dep names it",
            where=(f"in: {root.name}",),
            hint="run depmod for that kernel",
        )
    contents.put(root.member(found, at, 0o644), origin=root.name, asked=asked)


def _missing(selected: Selected, version: str, root: Root) -> StepFailed:
    rows = tuple(f"{name}: asked for by {', '.join(who)}" for name, who in selected.missing.items())
    first = next(iter(selected.missing))
    many = len(rows) > 1
    return StepFailed(
        "module-missing",
        f"the kernel {version} has no module{'s' if many else ''} {', '.join(selected.missing)}",
        where=(*rows, f"looked in: {root.name}"),
        cause=f"another kernel package brings {'them' if many else 'it'}, or {first} has another name there",
        hint=f"{OTHERS}; -p adds the package of a kernel or of modules to the root tree",
    )


def _put_firmware(
    contents: Contents, source: KernelSource, folder: str, selected: Selected
) -> tuple[dict[str, Asked], dict[str, list[str]], list[str]]:
    """Add what the modules name.

    Return what each module asks for, the paths that were put with the modules that ask, and the names that are nowhere.
    """
    root = source.root
    firmware = Firmware(root)
    if firmware.empty:
        # reading hundreds of compressed modules for nothing would cost more than all the rest
        return {}, {}, []
    found = {path: got for path in selected.files if (got := root.find(f"{folder}/{path}")) is not None}
    names: dict[str, Asked] = {}
    unknown: dict[str, str] = {}
    for path, file in found.items():
        before = source.known.get(path)
        if before is not None and before[:2] == (file.size, file.moment):
            names[path] = before
        else:
            unknown[file.path] = path
    for place, asked in asked_for(root, unknown).items():
        path = unknown[place]
        names[path] = (found[path].size, found[path].moment, asked)
    put: dict[str, list[str]] = {}
    lacking: dict[str, None] = {}
    for module in sorted(names):
        for name in names[module][2]:
            serving = firmware.find(name)
            if not serving:
                lacking[name] = None
            for path, got in serving:
                contents.put_found(root, got, selected.files[module])
                put.setdefault(path, []).append(module)
    return names, {path: sorted(put[path]) for path in sorted(put)}, sorted(lacking)
