"""The standard flavours; what each does lies in its folder, and what it says of itself in its flavour.toml."""

from __future__ import annotations

from pathlib import Path

from imagewright.api import Flavour

HERE = Path(__file__).parent


class Base(Flavour):
    """What every image has: growth of the root filesystem, a serial console, ssh, cloud metadata, network."""

    api_version = 1
    folder = HERE / "base"


class Growroot(Flavour):
    """Growth of the root filesystem at boot."""

    api_version = 1
    folder = HERE / "growroot"


class SerialConsole(Flavour):
    """Kernel messages and a login on a serial line."""

    api_version = 1
    folder = HERE / "serial-console"


class SshServer(Flavour):
    """The ssh server, with host keys of each machine's own."""

    api_version = 1
    folder = HERE / "ssh-server"


class CloudInit(Flavour):
    """Cloud metadata: keys, names, network."""

    api_version = 1
    folder = HERE / "cloud-init"


class DhcpAll(Flavour):
    """Addresses for every Ethernet card that nothing else configures."""

    api_version = 1
    folder = HERE / "dhcp-all"


class LocalConfig(Flavour):
    """The caller's proxies and authorised keys, inside the image."""

    api_version = 1
    folder = HERE / "local-config"


class Devuser(Flavour):
    """An account for developers."""

    api_version = 1
    folder = HERE / "devuser"


class Baremetal(Flavour):
    """What machines of metal need."""

    api_version = 1
    folder = HERE / "baremetal"


class IscsiInitiator(Flavour):
    """The iSCSI initiator."""

    api_version = 1
    folder = HERE / "iscsi-initiator"
