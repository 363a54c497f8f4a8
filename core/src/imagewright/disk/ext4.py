"""Makes an ext4 filesystem of a tree straight into a file at an offset, the same bytes for the same tree.

mke2fs's settings are all given here, so that those of the host play no part. The features are those that GRUB 2.06 and
Linux 5.10 read. A filesystem can grow while it is mounted: up to 1024 times its size through its reserved descriptor
blocks, and beyond that because the kernel changes a 64-bit filesystem to meta block groups.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from imagewright.disk import sizes, tools
from imagewright.disk.inodes import extra_word, read_times
from imagewright.disk.measuring import BLOCK, INODE, Content, content_of
from imagewright.errors import PlanError, StepFailed
from imagewright.types import MIB

_FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,"
    "sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum"
)
_SETTINGS = """\
[defaults]
\tdefault_mntopts = acl,user_xattr
\tenable_periodic_fsck = 0
\tblocksize = 4096
\tinode_size = 256
\tinode_ratio = 16384
[fs_types]
\text4 = {
\t}
"""
_BYTES_PER_INODE = 16384
_GROUP = 32768 * BLOCK
_LARGEST_LABEL = 16
SMALLEST = 8 * MIB
"""Bytes of the smallest filesystem that is made."""


def make(
    *,
    source: str | None,
    disk: Path,
    offset: int,
    size: int,
    uuid: str,
    hash_seed: str,
    label: str,
    epoch: int,
    scratch: Path,
    blank: bool = False,
    content: Content | None = None,
) -> None:
    """Write an ext4 filesystem of ``size`` bytes into ``disk`` at byte ``offset``, holding the tree ``source``.

    ``source`` None makes an empty one. Owners, modes, extended attributes and hard links are those of the tree; times
    of access and change are ``epoch``, times of modification at most ``epoch``. ``scratch`` is a folder for small
    files. ``blank``: nothing was ever written there, so that zeros need not be. ``content`` is what the tree needs,
    if that is known. Raises PlanError if the tree does not
    fit or the label is too long, HostError if the host's disk is full.
    """
    check_label(label)
    if content is None:
        content = content_of(source) if source is not None else Content(data=0, inodes=1)
    inodes = _inodes(size, content)
    if size < SMALLEST or content.data + overhead(size, inodes) > size:
        raise too_small(content, size)
    # The wall clock must not be seen, and 0 means "not given" to e2fsprogs.
    moment = max(1, epoch)
    extended = f"offset={offset},hash_seed={hash_seed},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
    extended += ",assume_storage_prezeroed=1" if blank else ""
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", _FEATURES, "-b", str(BLOCK), "-I", str(INODE), "-N", str(inodes)]
    argv += ["-U", uuid, "-L", label, "-E", extended]
    argv += ["-d", str(Path(source).absolute())] if source is not None else []
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        settings = Path(name, "mke2fs.conf")
        settings.write_text(_SETTINGS)
        # A path with a question mark would be taken for options, hence a link, and names without folders.
        Path(name, "disk").symlink_to(disk.resolve())
        fixed = {"MKE2FS_CONFIG": str(settings), "E2FSPROGS_FAKE_TIME": str(moment)}
        try:
            tools.run([*argv, "disk", f"{size // 1024}k"], epoch=moment, extra=fixed, directory=Path(name))
        except StepFailed as failed:
            if any("Could not allocate" in line for line in failed.where):
                raise too_small(content, size) from failed
            raise
        _fix_times(source, disk, offset, moment, fixed, Path(name))


def check_label(label: str) -> None:
    """Raise PlanError for a label that is too long for ext4."""
    if len(label.encode()) > _LARGEST_LABEL:
        raise PlanError(
            "bad-label",
            f"The filesystem label {label!r} is longer than {_LARGEST_LABEL} bytes",
            hint="give a shorter --root-label",
        )


def overhead(size: int, inodes: int) -> int:
    """Bytes of a filesystem of ``size`` bytes that no content can use: tables, bitmaps, journal."""
    groups = -(-size // _GROUP)
    descriptors = -(-groups // 64)
    reserved = min(1024, groups * 16)
    copies = sum(1 for group in range(groups) if _has_superblock(group))
    blocks = copies * (1 + descriptors + reserved) + groups * 2 + _journal_blocks(size // BLOCK) + 16
    return blocks * BLOCK + (inodes + groups * 16) * INODE


def smallest(content: Content) -> int:
    """The size in bytes of the smallest filesystem that surely holds ``content``."""
    size = max(SMALLEST, content.data)
    for _ in range(50):
        needed = sizes.aligned(content.data + overhead(size, _inodes(size, content)))
        if needed <= size:
            break
        size = needed
    return size


def too_small(content: Content, size: int) -> PlanError:
    """The error for a filesystem of ``size`` bytes that cannot hold ``content``."""
    needed = smallest(content)
    more = sizes.show(max(0, needed - size))
    return PlanError(
        "image-too-small",
        f"The root tree needs a filesystem of {sizes.show(needed)}, but the disk has room for {sizes.show(size)}",
        where=(f"content: {sizes.show(content.total)} in {content.inodes} files and folders",),
        hint=f"give an --image-size that is at least {more} larger, or leave it out",
        option="image-size",
    )


def _inodes(size: int, content: Content) -> int:
    return max(size // _BYTES_PER_INODE, content.inodes + content.inodes // 20 + 1024)


def _has_superblock(group: int) -> bool:
    """Whether a block group holds copies of the superblock and the descriptors (the feature sparse_super)."""
    if group <= 1:
        return True
    for base in (3, 5, 7):
        power = base
        while power < group:
            power *= base
        if power == group:
            return True
    return False


def _journal_blocks(blocks: int) -> int:
    """What mke2fs takes for the journal: ext2fs_default_journal_size of e2fsprogs 1.47."""
    for limit, journal in (
        (2048, 0),
        (32768, 1024),
        (262144, 4096),
        (524288, 8192),
        (4194304, 16384),
        (8388608, 32768),
    ):
        if blocks < limit:
            return journal
    return 262144


def _fix_times(source: str | None, disk: Path, offset: int, epoch: int, fixed: dict[str, str], scratch: Path) -> None:
    """Set the times that mke2fs took from the source tree's last readers and writers.

    mke2fs 1.47.0 copies times of access and change, which differ with every copy of a tree.
    """
    extra = extra_word(epoch)
    lines: list[str] = []

    def put(number: int, field: str) -> None:
        lines.append(f"sif <{number}> {field} @{epoch}")
        lines.append(f"sif <{number}> {field}_extra {extra}")

    with disk.open("rb") as file:
        for inode in read_times(file, offset):
            for field, value, word in zip(
                ("atime", "ctime", "crtime"),
                (inode.atime, inode.ctime, inode.crtime),
                (inode.extras[0], inode.extras[1], inode.extras[3]),
                strict=True,
            ):
                if (value, word) != (epoch, extra):
                    put(inode.number, field)
            if (inode.mtime, inode.extras[2] >> 2) > (epoch, 0):
                put(inode.number, "mtime")
    if source is not None:
        lines.append(f"sif <2> mode 0{stat.S_IFDIR | stat.S_IMODE(os.stat(source).st_mode):o}")
        mtime = min(int(os.stat(source).st_mtime), epoch)
        lines += [f"sif <2> mtime @{mtime}", f"sif <2> mtime_extra {extra_word(mtime)}"]
    (scratch / "times.debugfs").write_text("\n".join(lines) + "\n")
    argv = ["debugfs", "-w", "-f", "times.debugfs", f"disk?offset={offset}"]
    done = tools.run(argv, epoch=epoch, extra=fixed, directory=scratch)
    # debugfs ends with 0 whatever happens; its first line is its version.
    complaints = [line for line in done.stderr.decode(errors="replace").splitlines()[1:] if line.strip()]
    if complaints:
        raise tools.failure("debugfs", done.returncode, "\n".join(complaints))
