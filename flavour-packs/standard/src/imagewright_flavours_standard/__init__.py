"""The standard flavours; what each does lies in its folder, and what it says of itself in its flavour.toml."""

from __future__ import annotations

from pathlib import Path

from imagewright.api import Flavour

HERE = Path(__file__).parent


class Base(Flavour):
    """What every image has: growth of the root filesystem, a serial console, ssh, cloud metadata, network."""

    folder = HERE / "base"


class Growroot(Flavour):
    """Growth of the root filesystem at boot."""

    folder = HERE / "growroot"


class SerialConsole(Flavour):
    """Kernel messages and a login on a serial line."""

    folder = HERE / "serial-console"


class SshServer(Flavour):
    """The ssh server, with host keys of each machine's own."""

    folder = HERE / "ssh-server"


class CloudInit(Flavour):
    """Cloud metadata: keys, names, network."""

    folder = HERE / "cloud-init"


class DhcpAll(Flavour):
    """Addresses for every Ethernet card that nothing else configures."""

    folder = HERE / "dhcp-all"


class LocalConfig(Flavour):
    """The caller's proxies and authorised keys, inside the image."""

    folder = HERE / "local-config"


class Devuser(Flavour):
    """An account for developers."""

    folder = HERE / "devuser"


class Baremetal(Flavour):
    """What machines of metal need."""

    folder = HERE / "baremetal"


class IscsiInitiator(Flavour):
    """The iSCSI initiator."""

    folder = HERE / "iscsi-initiator"
