"""Lays a root tree out as a disk: partition table, filesystems, boot loader, in place in one sparse file.

The functions take and return what JSON can carry; the engine calls them as mapped root outside the target.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid as uuids
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imagewright.disk import ext4, gpt, grub, identifiers, sizes, tools, vfat
from imagewright.disk.measuring import Content, content_of
from imagewright.disk.measuring import measure as measure
from imagewright.errors import ContractError, PlanError
from imagewright.types import Layout, Partition


def layout_json(layout: Layout) -> dict[str, Any]:
    """The JSON form of a layout."""
    return {"partitions": [asdict(partition) for partition in layout.partitions], "boot_loader": layout.boot_loader}


def layout_from_json(form: Mapping[str, Any]) -> Layout:
    """The layout of a JSON form."""
    return Layout(
        partitions=tuple(Partition(**partition) for partition in form["partitions"]),
        boot_loader=form.get("boot_loader", ""),
    )


def tools_needed(layout: Layout | None, boot_loader: str) -> tuple[str, ...]:
    """The programs of the host that :func:`assemble` will run."""
    programs = ["mke2fs", "debugfs"]
    if layout is not None:
        programs.append("sfdisk")
        if any(_is_vfat(partition) for partition in layout.partitions):
            programs += ["mkfs.vfat", "mmd", "mcopy"]
    if boot_loader == "grub":
        programs.append("grub-mkimage")
    return tuple(programs)


def assemble(
    *,
    target: str,
    disk: str,
    size: int,
    layout: Mapping[str, Any] | None,
    root_uuid: str,
    seeds: Mapping[str, str],
    root_label: str,
    epoch: int,
    boot_loader: str,
) -> dict[str, Any]:
    """Make ``disk``, a sparse file of ``size`` bytes, of the tree at ``target``.

    Without ``layout`` (JSON form) the disk is one ext4 filesystem and has no partition table. ``seeds`` holds UUIDs:
    ``disk`` from which all others follow, and, if wanted, ``hash`` for the hashed directories. ``boot_loader`` is
    ``grub`` or empty. The result has ``partitions`` (number, name, type, role, filesystem, label, offset, size, uuid),
    ``root`` (partition number or None, offset, size, uuid, label) and ``tools`` (versions).
    Raises PlanError if the content does not fit, HostError if the host lacks a program or space.
    """
    plan = layout_from_json(layout) if layout is not None else None
    content = content_of(target)
    placed = _check(plan, target, content, size, seeds["disk"], boot_loader)
    programs = tools_needed(plan, boot_loader)
    for program in programs:
        tools.find(program)
    path = Path(disk)
    _blank(path, size)
    with _scratch(path) as scratch:
        if plan is None:
            _root(target, content, path, 0, size, root_uuid, seeds, root_label, epoch, scratch, blank=True)
            return _result(size, (), None, 0, size, root_uuid, root_label, programs)
        gpt.write(path, placed, seeds["disk"], epoch)
        root = next(one for one in placed if one.partition.role == "root")
        for one in placed:
            if one is root:
                place = (path, one.offset, one.size)
                _root(target, content, *place, root_uuid, seeds, root_label, epoch, scratch, blank=True)
            else:
                _other(target, path, one, root_uuid, seeds, epoch, boot_loader, scratch)
        return _result(size, placed, root.number, root.offset, root.size, root_uuid, root_label, programs)


def make_filesystem_at(
    *,
    target: str,
    disk: str,
    partition: int | None,
    root_uuid: str,
    seeds: Mapping[str, str],
    root_label: str,
    epoch: int,
    given: Collection[str] = (),
) -> dict[str, Any]:
    """Put the root filesystem into ``partition`` of the table that a script wrote into ``disk``; None: all of the disk.

    Arguments, result and errors are those of :func:`assemble`; ContractError if there is no such partition.
    ``given`` holds the identifiers that the script knew (:mod:`imagewright.disk.identifiers`).
    """
    path = Path(disk)
    size = path.stat().st_size
    programs = ("mke2fs", "debugfs", *(("sfdisk",) if partition is not None else ()))
    if partition is not None:
        identifiers.settle(path, seeds["disk"], given)
    placed = gpt.read(path) if partition is not None else ()
    offset, length = 0, size
    if partition is not None:
        chosen = gpt.pick(placed, partition, path)
        offset, length = chosen.offset, chosen.size
    with _scratch(path) as scratch:
        content = content_of(target)
        _root(target, content, path, offset, length, root_uuid, seeds, root_label, epoch, scratch, blank=False)
    return _result(size, placed, partition, offset, length, root_uuid, root_label, programs)


def make_blank(*, disk: str, size: int) -> None:
    """Make the empty sparse file of ``size`` bytes that scripts of the phase ``block-device`` are given."""
    _blank(Path(disk), size)


def _blank(path: Path, size: int) -> None:
    try:
        path.unlink(missing_ok=True)
        with path.open("wb") as file:
            os.truncate(file.fileno(), size)
    except OSError as error:
        raise tools.failure("truncate", 1, str(error)) from error


def _check(
    plan: Layout | None, target: str, content: Content, size: int, disk_uuid: str, boot_loader: str
) -> tuple[gpt.PlacedPartition, ...]:
    """Find everything that is wrong before anything is written; where the partitions go."""
    if boot_loader not in {"", "grub"}:
        raise ContractError("bad-boot-loader", f"{boot_loader!r} is no boot loader", hint='use "grub" or ""')
    roles = [partition.role for partition in plan.partitions] if plan is not None else []
    if plan is not None and roles.count("root") != 1:
        raise ContractError(
            "bad-layout", f"A layout has one partition with the role root, this one {roles.count('root')}"
        )
    if boot_loader == "grub":
        if roles.count("bios-boot") != 1 or roles.count("esp") != 1:
            raise ContractError(
                "bad-layout",
                "A disk that starts with GRUB needs one partition with the role bios-boot and one with the role esp",
            )
        grub.check(target)
    if plan is None:
        return ()
    placed = gpt.place(plan, size, disk_uuid)
    root = next(one for one in placed if one.partition.role == "root")
    needed = ext4.smallest(content)
    if needed > root.size and root.partition.size == 0:
        whole = sizes.aligned(size - root.size + needed)
        raise PlanError(
            "image-too-small",
            f"The image needs {sizes.show(whole)}, but the disk has {sizes.show(size)}",
            where=(
                f"root tree: {sizes.show(content.total)} in {content.inodes} files and folders",
                f"root partition: {sizes.show(root.size)}",
            ),
            hint=sizes.larger(whole),
            option="image-size",
        )
    return placed


def _root(
    target: str,
    content: Content,
    path: Path,
    offset: int,
    size: int,
    root_uuid: str,
    seeds: Mapping[str, str],
    label: str,
    epoch: int,
    scratch: Path,
    *,
    blank: bool,
) -> None:
    ext4.make(
        source=target,
        disk=path,
        offset=offset,
        size=size,
        uuid=root_uuid,
        hash_seed=seeds.get("hash") or _derived(seeds, "hash"),
        label=label,
        epoch=epoch,
        scratch=scratch,
        blank=blank,
        content=content,
    )


def _other(
    target: str,
    path: Path,
    one: gpt.PlacedPartition,
    root_uuid: str,
    seeds: Mapping[str, str],
    epoch: int,
    boot_loader: str,
    scratch: Path,
) -> None:
    partition = one.partition
    if partition.role == "bios-boot" and boot_loader:
        core = grub.bios_image(target, root_uuid, epoch, scratch)
        grub.embed_bios(target, core, path, one.offset, one.size)
    elif _is_vfat(partition):
        files = {}
        if partition.role == "esp" and boot_loader:
            files[grub.EFI_PATH] = grub.efi_image(target, root_uuid, epoch, scratch)
        vfat.make(
            disk=path,
            offset=one.offset,
            size=one.size,
            files=files,
            label=partition.label,
            volume_id=_derived(seeds, f"filesystem {one.number}")[:8],
            epoch=epoch,
            scratch=scratch,
        )
    elif partition.filesystem == "ext4":
        ext4.make(
            source=None,
            disk=path,
            offset=one.offset,
            size=one.size,
            uuid=_derived(seeds, f"filesystem {one.number}"),
            hash_seed=_derived(seeds, f"hash {one.number}"),
            label=partition.label,
            epoch=epoch,
            scratch=scratch,
            blank=True,
        )


def _is_vfat(partition: Partition) -> bool:
    return partition.filesystem == "vfat" or (partition.role == "esp" and not partition.filesystem)


def _derived(seeds: Mapping[str, str], purpose: str) -> str:
    return str(uuids.uuid5(uuids.UUID(seeds["disk"]), purpose))


def _result(
    size: int,
    placed: tuple[gpt.PlacedPartition, ...],
    number: int | None,
    offset: int,
    length: int,
    root_uuid: str,
    label: str,
    programs: tuple[str, ...],
) -> dict[str, Any]:
    partitions = [
        {
            "number": one.number,
            "name": one.partition.name,
            "type": one.partition.type,
            "role": "root" if one.number == number else one.partition.role,
            "filesystem": "ext4" if one.number == number else one.partition.filesystem,
            "label": label if one.number == number else one.partition.label,
            "offset": one.offset,
            "size": one.size,
            "uuid": one.uuid,
        }
        for one in placed
    ]
    return {
        "size": size,
        "partitions": partitions,
        "root": {"partition": number, "offset": offset, "size": length, "uuid": root_uuid, "label": label},
        "tools": tools.versions(programs),
    }


@contextlib.contextmanager
def _scratch(disk: Path) -> Iterator[Path]:
    # Beside the disk: the host's temporary folder may be out of reach or too small.
    with tempfile.TemporaryDirectory(prefix=".disk-", dir=disk.parent) as name:
        yield Path(name)
