"""The contract of flavours: one hook per phase, each with the one argument ``ctx``.

A hook declares and does nothing: it returns frozen values (:mod:`imagewright.types`), the core acts on them. A flavour
subclasses :class:`imagewright.flavour.Flavour`, so that a type checker checks its hooks against these signatures.
New knowledge goes onto ``ctx``; no signature ever changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from imagewright.drivers import PackageManager
    from imagewright.types import (
        BinaryDependency,
        BuildContext,
        InitFragment,
        KernelModules,
        Repository,
        Step,
        Tree,
        UdevRules,
    )

PROJECT = "imagewright"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ImageSpecs:
    """The hooks of a disk image build, in the order in which their phases run."""

    @hookspec
    def block_device_size(self, ctx: BuildContext) -> Iterable[Step]:
        """Bound the image's size: :class:`~imagewright.types.Size`, or a script that prints ``IMAGE_SIZE=N``.

        Runs as the caller on the host before any work.
        """
        return ()

    @hookspec
    def extra_data(self, ctx: BuildContext) -> Iterable[Step]:
        """Bring data of the caller's: what is put into ``TMP_HOOKS_PATH`` is at ``/tmp/in_target.d`` later.

        Runs as the caller on the host, with their home and uid.
        """
        return ()

    @hookspec
    def root(self, ctx: BuildContext) -> Iterable[Step]:
        """Make the first root tree at ``TARGET_ROOT``; for operating-system flavours only.

        Runs as mapped root outside the target.
        """
        return ()

    @hookspec
    def pre_install(self, ctx: BuildContext) -> Iterable[Step]:
        """Prepare the package manager: sources, keys. Package indexes are refreshed after it.

        Runs inside the target as its root.
        """
        return ()

    @hookspec
    def packages(self, ctx: BuildContext) -> Iterable[Step]:
        """Name packages: :class:`~imagewright.types.Packages` only. All flavours share one transaction."""
        return ()

    @hookspec
    def install(self, ctx: BuildContext) -> Iterable[Step]:
        """Install and configure what packages do not bring. Runs inside the target as its root."""
        return ()

    @hookspec
    def post_install(self, ctx: BuildContext) -> Iterable[Step]:
        """Change what ``install`` of other flavours left. Runs inside the target as its root."""
        return ()

    @hookspec
    def finalise(self, ctx: BuildContext) -> Iterable[Step]:
        """Do what must see the tree complete. Runs inside the target as its root."""
        return ()

    @hookspec
    def cleanup(self, ctx: BuildContext) -> Iterable[Step]:
        """Remove from ``TARGET_ROOT`` what must not be in an image. Runs as mapped root outside the target."""
        return ()

    @hookspec
    def block_device(self, ctx: BuildContext) -> Iterable[Step]:
        """Lay out the disk: :class:`~imagewright.types.Layout`, a partition more, or a script on the disk.

        Runs as mapped root on the disk file at its final size. A script prints ``IMAGE_BLOCK_DEVICE=PATH``, where
        ``DISKp1`` is partition 1 of the file; the last one gets the root filesystem.
        """
        return ()

    @hookspec
    def first_boot(self, ctx: BuildContext) -> Iterable[Step]:
        """Give scripts (:class:`~imagewright.types.Script` only) that run once per copy, in the booted image.

        After metadata and network, before rc.local, in order. A failure stops the later ones, is named on the
        console, and is retried at the next boot.
        """
        return ()

    @hookspec
    def repositories(self, ctx: BuildContext) -> Iterable[Repository]:
        """Name package repositories that serve the build and are gone from the image, with their keys and logins.

        :class:`~imagewright.types.Repository` only. All flavours and the one transaction see them.
        """
        return ()

    @hookspec
    def package_manager(self, ctx: BuildContext) -> PackageManager | None:
        """Return the package manager of the root tree; for operating-system flavours only."""
        return None


class RamdiskSpecs:
    """The hooks of a ramdisk build."""

    @hookspec
    def binary_deps(self, ctx: BuildContext) -> Iterable[BinaryDependency]:
        """Name executables that the ramdisk holds."""
        return ()

    @hookspec
    def init(self, ctx: BuildContext) -> Iterable[InitFragment]:
        """Give POSIX shell that becomes part of ``/init``, in the order in which flavours were named."""
        return ()

    @hookspec
    def udev(self, ctx: BuildContext) -> Iterable[UdevRules]:
        """Give udev rules."""
        return ()

    @hookspec
    def modules(self, ctx: BuildContext) -> Iterable[KernelModules]:
        """Name kernel modules."""
        return ()

    @hookspec
    def files(self, ctx: BuildContext) -> Iterable[Tree]:
        """Give files that are laid into the ramdisk."""
        return ()


HOOKS = frozenset(name for specs in (ImageSpecs, RamdiskSpecs) for name in vars(specs) if not name.startswith("_"))
"""The names of all hooks."""
