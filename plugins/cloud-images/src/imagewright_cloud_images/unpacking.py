"""The step that makes the first tree of an image, as mapped root."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from imagewright.api import CallContext
from imagewright.errors import HostError, ImagewrightError, StepFailed
from imagewright.hosttools import find
from imagewright.reading.errors import Damaged, ImageUnreadable, damaged
from imagewright.reading.images import open_image
from imagewright.reading.roots import find_root

from imagewright_cloud_images import disks, squashfs, tars
from imagewright_cloud_images.members import Member
from imagewright_cloud_images.tidying import tidy
from imagewright_cloud_images.writing import Writer

_SECONDS = 5.0
"""Between two lines of progress."""


def unpack(ctx: CallContext) -> Mapping[str, str]:
    """Unpack the image that the fact ``base image`` names into ``ctx.target_root``, and tidy the tree.

    Returns the fact ``base image not kept``: what of the image is not in the tree.

    Raises StepFailed if it is damaged, of a kind that is not read, leads out of the tree, or holds no system that is
    handled here; HostError if squashfs is to be read and unsquashfs is not there.
    """
    root = ctx.target_root
    if root is None or ctx.cache is None:
        raise ImagewrightError("no-target", "the first tree needs a place, and an image to come from")
    digest = ctx.facts["base image"].removeprefix("sha256:")
    image = ctx.cache / "images" / digest
    writer = Writer()
    unread: list[str] = []
    with ExitStack() as stack, _readable():
        with image.open("rb") as file:
            head = file.read(1024)
        if head.startswith(squashfs.MAGIC):
            if find("unsquashfs") is None:
                raise HostError(
                    "missing-tool",
                    "the host lacks unsquashfs",
                    cause="the base image is a squashfs",
                    hint="sudo apt-get install squashfs-tools",
                )
            devices = squashfs.unpack(image, root)
            if devices:
                writer.lost["device nodes, which a running machine makes itself"] = list(devices)
            _enter(root)
        else:
            found = _members(image, head, ctx, stack, unread)
            # from here on no name of the image can mean a file of the host
            _enter(root)
            _write(found, writer, ctx)
    losses = (*writer.losses(), *unread)
    for loss in losses:
        ctx.report(f"not kept: {loss}")
    _check_system()
    tidy(ctx.report)
    return {"base image not kept": "; ".join(losses) or "nothing"}


def _members(image: Path, head: bytes, ctx: CallContext, stack: ExitStack, unread: list[str]) -> Iterator[Member]:
    """The members of an image; ``unread`` takes what is known not to be among them."""
    how = tars.compression(head)
    if how:
        return tars.members(tars.opened(stack.enter_context(image.open("rb")), how))
    if tars.is_tar(head):
        return tars.members(stack.enter_context(image.open("rb")))
    disk = stack.enter_context(open_image(image))
    if len(disk.files) > 1:
        raise Damaged("it is only the difference from another image; `qemu-img convert` makes a whole one")
    root = find_root(disk)
    ctx.report(f"the root tree is in {root.volume.name} ({root.tree.type})")
    for folder, tree in root.mounts:
        ctx.report(f"{folder} is a filesystem of its own ({tree.type}); it becomes part of the root tree")
    unread += [*root.unread, *root.tree.notes]
    return disks.members(root)


def _write(found: Iterator[Member], writer: Writer, ctx: CallContext) -> None:
    told = time.monotonic()
    for member in found:
        writer.write(member)
        now = time.monotonic()
        if now - told >= _SECONDS:
            told = now
            ctx.report(f"unpacked {writer.count} files, at {member.path}")
    writer.finish()
    ctx.report(f"unpacked {writer.count} files")


def _enter(root: Path) -> None:
    os.chroot(root)
    os.chdir("/")


@contextmanager
def _readable() -> Iterator[None]:
    """Damage becomes one clear error."""
    try:
        with damaged("the image"):
            yield
    except ImageUnreadable as error:
        raise _unreadable(error.message.rpartition(" cannot be read: ")[2]) from error
    except Damaged as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise cause from error
        raise _unreadable(str(error)) from error


def _unreadable(why: str) -> StepFailed:
    return StepFailed(
        "base-image-unreadable",
        f"the base image cannot be read: {why}",
        cause="it is damaged, or of a kind that is not read: tar (gzip, xz, zstd, bzip2), squashfs, raw and qcow2 are",
    )


def _check_system() -> None:
    """Refuse what later steps cannot go on from."""
    if not any(os.path.isfile(path) for path in ("/etc/os-release", "/usr/lib/os-release")):
        raise StepFailed(
            "no-system-in-base-image",
            "the base image holds no operating system",
            cause="there is no os-release in its /etc or /usr/lib; an archive of a disk image is not opened further",
        )
    if not any(os.path.isfile(path) for path in ("/usr/bin/apt-get", "/bin/apt-get")):
        raise StepFailed(
            "base-image-without-apt",
            "the base image holds an operating system whose packages apt does not handle",
            cause="only Debian, Ubuntu and their like can be started from",
        )
