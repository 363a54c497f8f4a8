"""The flavour vm: a disk with a partition table and a boot loader."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from imagewright.api import MIB, BuildContext, Flavour, Layout, Partition, Step, hookimpl

# Partition types of the GPT (UEFI specification, and the Discoverable Partitions Specification for the root)
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX_ROOT_X86_64 = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"


class Vm(Flavour):
    """A disk that boots under BIOS and UEFI, on virtio, AHCI and NVMe."""

    folder = Path(__file__).parent / "vm"

    @hookimpl
    def block_device(self, ctx: BuildContext) -> Iterable[Step]:
        """Lay out a GPT: room for GRUB under BIOS, the EFI system partition, and the root last, so that it can grow."""
        layout = Layout(
            partitions=(
                Partition(name="bios", type=BIOS_BOOT, size=MIB, role="bios-boot"),
                Partition(name="esp", type=EFI_SYSTEM, size=64 * MIB, role="esp", filesystem="vfat", label="ESP"),
                Partition(name="root", type=LINUX_ROOT_X86_64, role="root", filesystem="ext4", label=ctx.root_label),
            ),
            boot_loader="grub",
        )
        return [Step(id="10-vm", action=layout, summary="GPT that boots under BIOS and UEFI")]
