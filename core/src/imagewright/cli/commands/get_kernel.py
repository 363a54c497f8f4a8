"""``disk-image-get-kernel``: the kernel and the ramdisk out of an image, and the command line to start them with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.errors import HostError, UsageError
from imagewright.reading.commandline import command_line
from imagewright.reading.errors import ImageUnreadable
from imagewright.reading.extract import Output, check, write
from imagewright.reading.images import Image, open_image, readable
from imagewright.reading.systems import Kernel, System, find_system

SUFFIXES = (".qcow2", ".qcow", ".raw", ".img", ".image", ".tar")
"""What is taken from an image's name to name the files that come out of it."""


def run(invocation: Invocation) -> None:
    """Take kernel and ramdisk out of an image, or list its kernels. Raises ImagewrightError."""
    values = invocation.values
    path = _path(invocation)
    try:
        with open_image(path) as image, readable(path):
            system = find_system(image)
            if values["trace"]:
                _trace(image, system)
            for note in system.notes:
                _say(f"note: {note}")
            if values["list"]:
                _list(image, system, as_json=values["json"])
            else:
                _take(image, system, invocation)
    except OSError as error:
        raise UsageError(
            "image-unreadable", f"the image {path} cannot be opened", cause=error.strerror or str(error)
        ) from error


def _path(invocation: Invocation) -> Path:
    given = invocation.arguments["image"]
    if not given:
        raise UsageError("no-image", "no image was named", hint=f"for example `{invocation.program} web.qcow2`")
    if "\0" in given:
        raise UsageError("bad-image", "a path cannot hold a zero byte")
    path = Path(given)
    if not path.exists():
        raise UsageError(
            "no-such-image", f"there is no image {given}", hint="name a qcow2, raw or tar image that is on this machine"
        )
    return path


def _list(image: Image, system: System, *, as_json: bool) -> None:
    if as_json:
        print_document({"image": str(image.path), "kernels": [_described(kernel) for kernel in system.kernels]})
        return
    from imagewright.cli.tables import table

    rows = [
        (kernel.version, kernel.kernel.path, kernel.ramdisk.path if kernel.ramdisk else "-")
        for kernel in system.kernels
    ]
    sys.stdout.write(table(("", "", ""), rows))


def _described(kernel: Kernel) -> dict[str, Any]:
    return {
        "version": kernel.version,
        "kernel": kernel.kernel.path,
        "ramdisk": kernel.ramdisk.path if kernel.ramdisk else None,
    }


def _take(image: Image, system: System, invocation: Invocation) -> None:
    values = invocation.values
    kernel = system.choose(values["kernel"])
    line = command_line(system, kernel)
    ramdisk = kernel.ramdisk
    if ramdisk is None:
        raise ImageUnreadable("no-ramdisk", f"the image holds no ramdisk for the kernel {kernel.version}")
    prefix = output_prefix(values["output"], image.path)
    kernel_path = prefix.with_name(f"{prefix.name}.kernel")
    ramdisk_path = prefix.with_name(f"{prefix.name}.ramdisk")
    folder: Path | None = values["pxe"]
    outputs = [
        Output(path=kernel_path, content=kernel.kernel.chunks()),
        Output(path=ramdisk_path, content=ramdisk.chunks()),
    ]
    missing: list[str] = []
    if folder is not None:
        from imagewright.reading import pxe

        _ready(folder)
        if not _same_folder(folder, prefix.parent):
            outputs += [
                Output(path=folder / kernel_path.name, content=kernel.kernel.chunks()),
                Output(path=folder / ramdisk_path.name, content=ramdisk.chunks()),
            ]
        outputs += pxe.configurations(folder, kernel_path.name, ramdisk_path.name, line)
        found, missing = pxe.loaders(folder)
        outputs += found
    check((output.path for output in outputs), image.files)
    write(outputs)
    invocation.screen.written = tuple(output.path for output in outputs)
    if missing:
        _say(
            f"note: {folder} has no {' and no '.join(missing)}; iPXE needs none, for pxelinux install the packages "
            "`pxelinux` and `syslinux-common`"
        )
    if values["json"]:
        document: dict[str, Any] = {
            "image": str(image.path),
            "version": kernel.version,
            "kernel": str(kernel_path),
            "ramdisk": str(ramdisk_path),
            "command_line": line,
            "sources": {"kernel": kernel.kernel.path, "ramdisk": ramdisk.path},
        }
        if folder is not None:
            document["pxe"] = str(folder)
        print_document(document)
        return
    lines = [str(kernel_path), str(ramdisk_path), line, *([str(folder)] if folder is not None else [])]
    sys.stdout.write("".join(f"{text}\n" for text in lines))


def output_prefix(given: Path | None, image: Path) -> Path:
    """Where the files go, without their suffixes: what was given, else the image's name in the current folder.

    Raises UsageError if it leaves no name or its folder does not exist.
    """
    if given is None:
        name = image.name
        suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix) and name != suffix), "")
        given = Path(name.removesuffix(suffix) or "image")
    if given.name in ("", "..") or os.path.isdir(given):
        raise UsageError(
            "bad-output",
            f"`--output {given}` names a folder",
            hint=f"name a file, such as `--output {given / 'web'}`",
            option="output",
        )
    if not os.path.isdir(given.parent):
        raise UsageError(
            "no-such-folder", f"the folder {given.parent} of `--output {given}` does not exist", option="output"
        )
    return given


def _ready(folder: Path) -> None:
    try:
        (folder / "pxelinux.cfg").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            "output-unwritable",
            f"the folder {folder} cannot be made",
            cause=error.strerror or str(error),
            option="pxe",
        ) from error


def _same_folder(one: Path, other: Path) -> bool:
    return os.path.samefile(one, other)


def _trace(image: Image, system: System) -> None:
    for line in _traced(image, system):
        _say(line)


def _traced(image: Image, system: System) -> Iterator[str]:
    yield f"{image.path}: {image.format}, {image.size} bytes, partition table: {image.table or 'none'}"
    for path in image.files[1:]:
        yield f"backing file: {path}"
    for volume in image.volumes:
        for tree in volume.trees:
            words = [tree.type, f"UUID={tree.uuid}" if tree.uuid else "", f"LABEL={tree.label}" if tree.label else ""]
            words.append(f"subvol={tree.subvolume}" if tree.subvolume else "")
            words.append("(root)" if tree is system.root else "")
            yield f"{volume.name}: {' '.join(word for word in words if word)}"
        if not volume.trees:
            yield f"{volume.name}: {volume.problem or 'no filesystem that is known'}"
    for kernel in system.kernels:
        ramdisk = kernel.ramdisk.path if kernel.ramdisk else "no ramdisk"
        yield f"kernel {kernel.version}: {kernel.kernel.path}, {ramdisk}"


def _say(line: str) -> None:
    sys.stderr.write("".join(character if character.isprintable() else "?" for character in line) + "\n")
