"""The flavour ``vm``: a whole disk."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from imagewright.api import MIB, BuildContext, Entry, Flavour, Layout, Partition, Put, Step, Tree, hookimpl

# GPT partition types (UEFI specification 5.3.3; Discoverable Partitions Specification)
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT_X86_64 = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"


class Vm(Flavour):
    """One GPT disk that starts with BIOS and with UEFI; GRUB reads the root filesystem's grub.cfg."""

    api_version = 1
    folder = Path(__file__).parent / "vm"

    @hookimpl
    def install(self, ctx: BuildContext) -> Iterable[Step]:
        """Leave ``--kernel-args`` where update-grub finds them, for every kernel that is ever installed."""
        if not ctx.kernel_arguments.strip():
            return ()
        quoted = shlex.quote(f" {ctx.kernel_arguments.strip()}")
        entry = Entry(
            path="etc/default/grub.d/60-kernel-arguments.cfg",
            content=f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX"{quoted}\n'.encode(),
        )
        return (Step(id="50-kernel-arguments", action=Put(tree=Tree((entry,))), summary="lays --kernel-args"),)

    @hookimpl
    def block_device(self, ctx: BuildContext) -> Iterable[Step]:
        """A partition for GRUB under BIOS, one for UEFI, and the root filesystem last, so that it can grow."""
        layout = Layout(
            partitions=(
                Partition(name="bios", type=BIOS_BOOT, size=MIB, role="bios-boot"),
                Partition(name="esp", type=EFI_SYSTEM, size=64 * MIB, role="esp", filesystem="vfat", label="ESP"),
                Partition(name="root", type=ROOT_X86_64, role="root", filesystem="ext4", label=ctx.root_label),
            ),
            boot_loader="grub",
        )
        return (Step(id="50-vm", action=layout, summary="one GPT for BIOS and UEFI"),)
