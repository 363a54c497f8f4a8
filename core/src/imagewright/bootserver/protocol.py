"""What a ramdisk of the flavour ``deploy`` says to the boot server.

It POSTs the form ``i=ID&k=KEY&a=ADDRESS&n=IQN`` (URL-encoded, RFC 1866) once its disk is an iSCSI target, and then
waits until somebody connects to its TCP port 10000: the image is written.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

PORT = 10000
"""The boot server's port, and the one at which a ramdisk waits for the end."""

ISCSI_PORT = 3260
LUN = 1
LARGEST_FORM = 4096
"""Bytes of a POST of the protocol."""

# RFC 3720, 3.2.6.3: iqn., eui. and naa. names, at most 223 bytes.
_IQN = re.compile(r"(?:iqn\.[0-9]{4}-[0-9]{2}\.[A-Za-z0-9.:_-]+|eui\.[0-9A-Fa-f]{16}|naa\.[0-9A-Fa-f]{16,32})")
_ID = re.compile(r"[\x21-\x7e]{1,128}")


class BadRequest(ValueError):
    """A request that does not follow the protocol; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A machine that asks for its image. ``address`` is where it can be reached, ``iqn`` names its target."""

    id: str
    key: str
    address: str
    iqn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A TCP port of an address."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def parse(body: bytes) -> Request:
    """Read the form. Raises BadRequest."""
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=16)
    except (ValueError, UnicodeDecodeError):
        raise BadRequest("it is no URL-encoded form") from None
    values = {}
    for name in "ikan":
        found = fields.get(name, [])
        if len(found) != 1:
            raise BadRequest(f"it needs the field {name} exactly once")
        values[name] = found[0]
    if not _ID.fullmatch(values["i"]):
        raise BadRequest("its deployment id i is no printable word of at most 128 characters")
    try:
        address = str(ipaddress.ip_address(values["a"]))
    except ValueError:
        raise BadRequest("its address a is no IP address") from None
    if len(values["n"]) > 223 or not _IQN.fullmatch(values["n"]):
        raise BadRequest("its target name n is no iSCSI name")
    return Request(id=values["i"], key=values["k"], address=address, iqn=values["n"])


def allowed(request: Request, keys: Mapping[str, str]) -> bool:
    """Whether the request shows the key of its id; says nothing, in time either, of a wrong key's right part."""
    return hmac.compare_digest(keys.get(request.id, "").encode(), request.key.encode()) and request.id in keys
