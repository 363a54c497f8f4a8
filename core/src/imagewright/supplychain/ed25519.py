"""Signatures with an Ed25519 key in a file, as openssl(1) and ssh-keygen(1) make them: 64 bytes that openssl can check.

RFC 8032 has the algorithm; the private key is PKCS #8 in PEM or OpenSSH's own form, the public one PEM or one line.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagewright.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MAKE = "openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out key.pub"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKey:
    """A key that signs; ``name`` is the SHA-256 hex digest of its public half in DER form."""

    name: str
    key: Ed25519PrivateKey

    def sign(self, text: bytes) -> bytes:
        """The signature, 64 bytes, always the same for the same text."""
        return self.key.sign(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key that checks; named as its private half."""

    name: str
    key: Ed25519PublicKey

    def made(self, signature: bytes, text: bytes) -> bool:
        """Whether the signature is this key's and of this very text."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature, text)
        except InvalidSignature:
            return False
        return True


def private_key(path: Path) -> PrivateKey:
    """Read a private key. Raises UsageError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    content = _read(path, "sign-key")
    openssh = b"OPENSSH PRIVATE KEY" in content
    try:
        load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
        key = load(content, None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        encrypted = b"ENCRYPTED" in content or "assword" in str(error)
        raise UsageError(
            "bad-signing-key",
            f"{path} holds no private key that can be used",
            cause="it is encrypted" if encrypted else "it is neither PEM nor OpenSSH's form",
            hint="--sign-gpg has gpg's agent ask for a passphrase" if encrypted else _MAKE,
            option="sign-key",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            "bad-signing-key",
            f"{path} holds a key of another kind",
            cause="only Ed25519 is taken: its signatures are short, and the same for the same text",
            hint=_MAKE,
            option="sign-key",
        )
    return PrivateKey(name=_name(key.public_key()), key=key)


def public_key(content: bytes) -> PublicKey | None:
    """The public key that a file's content is; None if it is none of these."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    ssh = content.lstrip().startswith(b"ssh-")
    try:
        load = serialization.load_ssh_public_key if ssh else serialization.load_pem_public_key
        key = load(content.strip())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return PublicKey(name=_name(key), key=key) if isinstance(key, Ed25519PublicKey) else None


def _name(key: Ed25519PublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            "bad-signing-key",
            f"the key {path} cannot be read",
            cause=(error.strerror or str(error)).lower(),
            hint=_MAKE,
            option=option,
        ) from error
