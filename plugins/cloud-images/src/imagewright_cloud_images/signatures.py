"""Lists of SHA-256 sums, and the OpenPGP signatures that vouch for them."""

from __future__ import annotations

import re
from pathlib import Path

from imagewright.errors import StepFailed, UsageError
from imagewright.supplychain import openpgp

_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")


def read_sums(text: bytes, address: str) -> dict[str, str]:
    """Digests by file name, of lines as sha256sum(1) prints them. Raises StepFailed for a name with two digests."""
    found: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            continue
        digest, name = match[1].lower(), match[2].removeprefix("./")
        if found.setdefault(name, digest) != digest:
            raise StepFailed("bad-sums", f"{address} has two sums for {name}")
    return found


def key_of(keyring: Path) -> bytes:
    """The content of a keyring as gpgv takes it; one in ASCII form is decoded. Raises UsageError."""
    try:
        content = keyring.read_bytes()
    except OSError as error:
        raise UsageError(
            "keyring-unreadable",
            f"the keyring {keyring} cannot be read",
            cause=(error.strerror or str(error)).lower(),
            hint="name an OpenPGP keyring: gpg --export KEY > FILE makes one",
        ) from error
    return openpgp.keyring_bytes(content)


def signer_of(text: bytes, signature: bytes, keyring: bytes, address: str) -> str:
    """The fingerprint of the key of ``keyring`` that signed ``text``.

    Raises StepFailed unless there is a good signature and no bad one, HostError if there is no gpgv.
    """
    found = openpgp.checked(text, signature, keyring)
    if found.signer:
        return found.signer
    raise StepFailed(
        "wrong-signature",
        f"the signature of {address} is not good: {found.why}",
        where=tuple(f"| {line}" for line in found.said),
        cause="the server or the way to it is not what it should be, or the sums are signed with another key",
        hint="nothing was kept; base-image-keyring names another keyring",
    )
