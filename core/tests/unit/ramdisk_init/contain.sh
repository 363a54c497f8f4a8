#!/bin/sh
# Runs $FOLDER/init as process 1 of the namespaces that we are in, in a root of its own with busybox only.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=$FOLDER/root
mkdir -p "$root"
mount -t tmpfs -o mode=755 root "$root"
cd "$root"
mkdir -p bin dev proc sys tmp run usr/sbin "usr/lib64" ".$LIBRARIES"
ln -s usr/lib lib
ln -s usr/lib64 lib64
mount --bind /usr/lib64 usr/lib64
mount --bind "$LIBRARIES" ".$LIBRARIES"
for name in $("$BUSYBOX" --list); do ln -s busybox "bin/$name"; done
rm -f bin/busybox
cp "$BUSYBOX" bin/busybox
for name in null zero full random urandom; do
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
ln -s /proc/self/fd dev/fd
: >dev/console
mount --bind "$CONSOLE" dev/console
for program in $PROGRAMS; do
    rm -f "bin/${program##*/}"
    cp "$program" "usr/sbin/${program##*/}"
done
mount -t proc proc proc
mount --bind "$FOLDER/command-line" proc/cmdline
mount -t sysfs sys sys
cp "$FOLDER/init" init
ip link set lo up
ip link add veth0 type veth peer name veth1
ip addr add 10.9.0.1/24 dev veth1
ip link set veth1 up
ip link set veth0 up
eval "$SETUP"
if [ -n "$DHCP" ]; then
    printf '%s\n' "interface veth1" "start 10.9.0.20" "end 10.9.0.20" "lease_file $FOLDER/leases" \
        "pidfile $FOLDER/udhcpd.pid" "opt subnet 255.255.255.0" "opt router 10.9.0.1" "siaddr 10.9.0.1" \
        "opt domain \$(touch\${IFS}/injected)" >"$FOLDER/udhcpd.conf"
    : >"$FOLDER/leases"
    "$BUSYBOX" udhcpd -f "$FOLDER/udhcpd.conf" &
fi
if [ -n "$SERVER" ]; then
    "$PYTHON" "$TOOL" "$FOLDER/posts" "$ANSWER" "$SERVER" &
    until grep -q ':2710 00000000:0000 0A' proc/net/tcp; do sleep 0.05; done
fi
exec chroot . /init <dev/console
