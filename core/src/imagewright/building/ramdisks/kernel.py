"""The kernel of a ramdisk: this machine's, an image's, or a root tree's, laid ready with the modules wanted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field

from imagewright.building.ramdisks.firmwarenotes import noted
from imagewright.building.ramdisks.shop import TREE, Shop, opened_tree
from imagewright.building.tree.growing import grow
from imagewright.errors import HostError, StepFailed
from imagewright.planning.ramdisks import PlannedTree
from imagewright.ramdisk.kernelmodules import versions
from imagewright.ramdisk.kernels import Asked, KernelSource, asked_of, newest
from imagewright.ramdisk.making import RootPlace
from imagewright.ramdisk.roots import Root
from imagewright.ramdisk.staging import StagedKernel, stage_kernel
from imagewright.sandbox.jobs import TARGET, WORK, PythonJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel for the recipe; ``image`` is the path of its file in the root, empty for the usual one."""

    place: RootPlace
    version: str
    image: str = ""
    known: Mapping[str, Asked] = field(default_factory=dict)


def chosen_kernel(shop: Shop) -> Kernel:
    """The kernel that was asked for, else the tree's newest.

    Raises ImagewrightError if there is none, or it cannot be read.
    """
    request, version = shop.request, shop.request.kernel_version
    if request.module_root is not None:
        return host_kernel(shop, Root(str(request.module_root), str(request.module_root)), version)
    if request.kernel_image is not None:
        # what reads images costs more than all of a ramdisk that needs none
        from imagewright.building.ramdisks.imageroots import image_kernel

        with image_kernel(request.kernel_image, version) as found:
            source = KernelSource(root=found.root, version=found.version, image=found.image)
            staged = stage_kernel(source, shop.modules, shop.folder / "kernel")
        return _staged_kernel(shop, staged)
    if shop.planned.kernel_tree is not None:
        return _staged_kernel(shop, _kernel_of_tree(shop, shop.planned.kernel_tree))
    assert shop.building is not None
    newest_of_tree = shop.building.kernel
    if not (version or newest_of_tree):
        raise StepFailed(
            "kernel-missing",
            f"the root tree of {shop.planned.operating_system} has no kernel",
            hint="add the package of one with -p, or name a kernel with -m or --kernel-from",
        )
    return Kernel(place=RootPlace(folder=TARGET, name=TREE), version=version or newest_of_tree)


def host_kernel(shop: Shop, root: Root, version: str) -> Kernel:
    """A kernel of this machine's files; the one that runs, if it is among them and no other is named.

    Raises StepFailed if there is none, HostError if it cannot be read.
    """
    running = os.uname().release
    chosen = version or (running if running in versions(root) else newest(root))
    if not chosen:
        raise StepFailed(
            "modules-missing",
            f"there are no kernel modules in {root.folder or '/'}",
            where=(f"looked for: {root.folder}/lib/modules/VERSION/modules.dep",),
            hint="name with -m the folder that holds lib/modules",
        )
    if shop.building is None:
        return Kernel(place=RootPlace(folder=root.folder, name=root.name), version=chosen)
    try:
        source = KernelSource(root=root, version=chosen, known=noted(shop.request.image.cache_dir, chosen))
        staged = stage_kernel(source, shop.modules, shop.folder / "kernel")
    except PermissionError as error:
        raise HostError(
            "kernel-unreadable",
            f"the kernel {chosen} cannot be read",
            where=(f"file: {error.filename}",),
            cause="it belongs to root alone, as on some distributions",
            hint="leave out -m and -k to take the root tree's kernel, or let yourself read the file",
        ) from error
    return _staged_kernel(shop, staged)


def _staged_kernel(shop: Shop, staged: StagedKernel) -> Kernel:
    shop.ready("kernel")
    return Kernel(
        place=RootPlace(folder=shop.inside("kernel"), name=staged.name),
        version=staged.version,
        image=f"boot/vmlinuz-{staged.version}",
        known=staged.asked,
    )


def _kernel_of_tree(shop: Shop, tree: PlannedTree) -> StagedKernel:
    """Grow the tree of another operating system, and take its kernel over into our work folder."""
    name = tree.prepared.plan.operating_system
    with opened_tree(tree, shop.monitor, shop.log) as building:
        grow(building)
        result = building.sandbox.call(
            PythonJob(
                function="imagewright.ramdisk.staging:stage_kernel_of_tree",
                arguments={
                    "target": TARGET,
                    "name": f"{TREE} of {name}",
                    "version": shop.request.kernel_version,
                    "wanted": [list(one) for one in shop.modules],
                    "folder": f"{WORK}/kernel",
                },
                stack=building.stack(tools=False),
                network=False,
            ),
            building.output,
        )
        shutil.move(building.folder / "kernel", shop.folder / "kernel")
    assert isinstance(result, dict)
    return StagedKernel(version=result["version"], name=result["name"], asked=asked_of(result["asked"]))
