#!/bin/sh
# The classic pipeline: mmdebstrap on a tmpfs, the initramfs once, mke2fs -d, qemu-img with zstd. As root.
# classic.sh FOLDER-ON-TMPFS OUTPUT MIRROR RELEASE PACKAGE,PACKAGE…
#
# The disk is one filesystem without partitions and boot loader, and no file is cleaned up but apt's: less than ours does.
set -eu

folder=$1 output=$2 mirror=$3 release=$4 packages=$5
export TMPDIR="$folder" INITRD=No # read by the kernel hook of initramfs-tools: the one at the end is enough

# shellcheck disable=SC2016 # mmdebstrap's own shell expands it
mmdebstrap --quiet --mode=root --format=directory --variant=minbase --include="$packages" \
    --aptopt='Apt::Install-Recommends "false"' \
    --customize-hook='chroot "$1" update-initramfs -c -k all' \
    "$release" "$folder/tree" \
    "deb $mirror $release main non-free-firmware" "deb $mirror $release-updates main non-free-firmware"

rm -f "$folder/disk.raw"
truncate -s 2G "$folder/disk.raw"
mke2fs -q -t ext4 -L root -d "$folder/tree" "$folder/disk.raw"
qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd -m 16 "$folder/disk.raw" "$output"
rm -rf "$folder/tree" "$folder/disk.raw"
