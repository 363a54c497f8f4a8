"""Whether files are those that somebody trusted signed: sums, their signatures, the files, the provenance statement.

Nothing is trusted that the caller did not name: no key of their keyring, none that lies beside the files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagewright.documents import parse_json
from imagewright.errors import UsageError, VerificationFailed
from imagewright.supplychain import envelopes, openpgp
from imagewright.supplychain.request import STATEMENT
from imagewright.supplychain.signing import SUFFIXES

if TYPE_CHECKING:
    from imagewright.supplychain.ed25519 import PublicKey

_LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")
_LARGEST = 64 << 20
"""Bytes of sums, signatures, statements and keys that are read at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """The keys that the caller trusts: Ed25519 keys, and one keyring of all their OpenPGP keys."""

    keys: tuple[PublicKey, ...]
    keyring: bytes

    @classmethod
    def read(cls, files: Sequence[Path]) -> Trusted:
        """Read the files of keys, whose form is recognised. Raises UsageError if one is none, or there is none."""
        from imagewright.supplychain.ed25519 import public_key

        if not files:
            raise UsageError(
                "no-verify-key",
                "no key was named that is trusted",
                hint="--verify-key FILE: an Ed25519 public key, or an OpenPGP keyring (gpg --export KEY > FILE)",
                option="verify-key",
            )
        keys, keyring = [], b""
        for file in files:
            content = _content(file)
            key = public_key(content)
            if key is not None:
                keys.append(key)
            elif (
                ring := openpgp.keyring_bytes(content) if b"PRIVATE KEY" not in content and content[:1] in _PGP else b""
            ):
                keyring += ring
            else:
                raise UsageError(
                    "bad-verify-key",
                    f"{file} is no public key that is known here",
                    cause="Ed25519 (PEM, or a line as of ssh-keygen) and OpenPGP keyrings are",
                    option="verify-key",
                )
        return cls(keys=tuple(keys), keyring=keyring)

    def signer(self, kind: str, signature: bytes, text: bytes) -> str:
        """The trusted key that made the signature of this text; empty if none did."""
        if kind == "ed25519":
            return next((key.name for key in self.keys if key.made(signature, text)), "")
        return openpgp.checked(text, signature, self.keyring).signer if self.keyring else ""


_PGP = (b"-", b"\x98", b"\x99", b"\xc6")
"""How OpenPGP keyrings begin: in ASCII form, or with the tag of a public key in either format (RFC 9580, 4.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found right: the sums with their signers, the files, and the statement's signers, if there is one."""

    sums: Path
    signers: tuple[str, ...]
    files: tuple[str, ...]
    absent: tuple[str, ...]
    statement_signers: tuple[str, ...]


def verify(file: Path, trusted: Trusted) -> Verified:
    """Check ``file``: the sums themselves, with all files that they list, or one of these files alone.

    Raises VerificationFailed for anything that is not right, UsageError if there are no such files.
    """
    if not file.is_file():
        raise UsageError(
            "nothing-to-verify", f"there is no file {file}", hint="name the image, or its sums (NAME.sha256)"
        )
    sums = _sums_of(file)
    text = _content(sums)
    signers = _signers(sums, text, trusted)
    digests = _digests(sums, text)
    whole = file == sums
    if not whole and file.name not in digests:
        raise VerificationFailed(
            "file-not-signed",
            f"{sums.name} does not list {file.name}",
            hint="it is not one of the files that were signed",
        )
    good, absent = [], []
    for name, digest in digests.items():
        path = sums.with_name(name)
        if not path.is_file():
            absent.append(name)
        elif whole or name == file.name or name.endswith(STATEMENT):
            if _digest(path) != digest:
                raise VerificationFailed(
                    "wrong-digest",
                    f"{name} is not the file that was signed",
                    where=(f"file: {path}",),
                    cause="it was changed, or is damaged",
                    hint="fetch it again from where it came from",
                )
            good.append(name)
    if whole and absent:
        raise VerificationFailed(
            "signed-file-absent",
            f"{', '.join(absent)} is not there",
            where=(f"folder: {sums.parent}",),
            hint="name a single file to check that alone",
        )
    statement = next((sums.with_name(name) for name in good if name.endswith(STATEMENT)), None)
    return Verified(
        sums=sums,
        signers=signers,
        files=tuple(good),
        absent=tuple(absent),
        statement_signers=_statement(statement, digests, trusted) if statement else (),
    )


def _sums_of(file: Path) -> Path:
    """The sums that lie beside a file: of its name without one, two or more of its endings."""
    if file.name.endswith(".sha256"):
        return file
    stem = file.name
    while stem:
        sums = file.with_name(f"{stem}.sha256")
        if sums.is_file():
            return sums
        stem = stem.rpartition(".")[0]
    raise UsageError(
        "no-sums", f"there are no sums beside {file}", hint=f"fetch {file.stem}.sha256 and its signature too"
    )


def _signers(sums: Path, text: bytes, trusted: Trusted) -> tuple[str, ...]:
    found = {kind: sums.with_name(sums.name + suffix) for kind, suffix in SUFFIXES.items()}
    there = {kind: path for kind, path in found.items() if path.is_file()}
    if not there:
        raise VerificationFailed(
            "not-signed-sums",
            f"{sums.name} is not signed",
            where=tuple(f"looked for: {path}" for path in found.values()),
            hint="--sign-key or --sign-gpg signs when the image is built",
        )
    signers = tuple(filter(None, (trusted.signer(kind, _content(path), text) for kind, path in there.items())))
    if not signers:
        raise VerificationFailed(
            "untrusted-signature",
            f"no key that you trust signed {sums.name} as it is",
            where=tuple(f"signature: {path}" for path in there.values()),
            cause="it was changed, or somebody else signed it",
            hint="--verify-key FILE names the keys that you trust",
        )
    return signers


def _digests(sums: Path, text: bytes) -> dict[str, str]:
    """Digests by name, of lines as sha256sum(1) writes them; every line must be one, and no name lead elsewhere."""
    found: dict[str, str] = {}
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        match = _LINE.fullmatch(line)
        name = _unescaped(match[3]) if match and match[1] else match[3] if match else ""
        if not match or not name or "/" in name or name in (".", "..") or name in found:
            raise VerificationFailed("bad-sums-line", f"{sums.name} has a line that is no sum of a file beside it")
        found[name] = match[2]
    return found


def _unescaped(name: str) -> str:
    return re.sub(r"\\([\\nr])", lambda match: {"\\": "\\", "n": "\n", "r": "\r"}[match[1]], name)


def _statement(path: Path, digests: dict[str, str], trusted: Trusted) -> tuple[str, ...]:
    """Who signed the statement; it must be about the files that the sums list, with the same digests."""
    try:
        document = parse_json(_content(path))
        payload, signatures = envelopes.opened(document) if "payloadType" in document else (b"", ())
        statement = parse_json(payload) if payload else document
        subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    except (ValueError, TypeError, KeyError) as error:
        raise VerificationFailed(
            "bad-statement", f"{path.name} is no provenance statement", cause=str(error)
        ) from error
    if any(digests.get(name) != digest for name, digest in subjects.items()) or not subjects:
        raise VerificationFailed("wrong-statement", f"{path.name} is about other files than {path.stem}")
    text = envelopes.signed_text(payload)
    signers = tuple(filter(None, (trusted.signer(_kind(one.content), one.content, text) for one in signatures)))
    if signatures and not signers:
        raise VerificationFailed(
            "untrusted-statement", f"no key that you trust signed {path.name}", hint="--verify-key FILE names another"
        )
    return signers


def _kind(signature: bytes) -> str:
    return "ed25519" if len(signature) == 64 else "openpgp"


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError("too-large-to-verify", f"{path} is too large to be a signature, a key or a list of sums")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            "unreadable-file", f"{path} cannot be read", cause=(error.strerror or str(error)).lower()
        ) from error


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
