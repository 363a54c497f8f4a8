"""Lists of SHA-256 sums, and the OpenPGP signatures that vouch for them."""

from __future__ import annotations

import base64
import re
import subprocess
import tempfile
from pathlib import Path

from imagewright.errors import HostError, StepFailed, UsageError
from imagewright.hosttools import find

_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_STATUS = re.compile(
    r"^\[GNUPG:\] (GOODSIG|BADSIG|ERRSIG|EXPSIG|EXPKEYSIG|REVKEYSIG|VALIDSIG|NO_PUBKEY) (.*)$", re.MULTILINE
)
_ARMOUR = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\n]+\n)*?\r?\n(.*?)(?:=[^\n]*\n)?-----END", re.DOTALL
)

_WHY = {
    "BADSIG": "the sums are not those that were signed",
    "EXPSIG": "the signature is past its date",
    "EXPKEYSIG": "the key is past its date",
    "REVKEYSIG": "the key was revoked",
    "ERRSIG": "the keyring lacks the key that made it",
    "NO_PUBKEY": "the keyring lacks the key that made it",
}


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
    if content.lstrip().startswith(b"-----BEGIN"):
        try:
            return b"".join(base64.b64decode(block) for block in _ARMOUR.findall(content))
        except ValueError:
            return b""
    return content


def signer_of(text: bytes, signature: bytes, keyring: bytes, address: str) -> str:
    """The fingerprint of the key of ``keyring`` that signed ``text``.

    Raises StepFailed unless there is a good signature and no bad one (gpgv(1), ``doc/DETAILS`` of GnuPG).
    """
    if find("gpgv") is None:
        raise HostError(
            "missing-tool",
            "the host lacks gpgv",
            cause="it checks who signed the base image's sums",
            hint="sudo apt-get install gpgv",
        )
    with tempfile.TemporaryDirectory(prefix="imagewright-sums-") as name:
        folder = Path(name)
        for file, content in (("sums", text), ("sums.gpg", signature), ("keyring.gpg", keyring)):
            (folder / file).write_bytes(content)
        done = subprocess.run(
            [
                "gpgv",
                "--homedir",
                name,
                "--status-fd",
                "1",
                "--keyring",
                f"{name}/keyring.gpg",
                f"{name}/sums.gpg",
                f"{name}/sums",
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
        )
    said = _STATUS.findall(done.stdout)
    kinds = {kind for kind, _ in said}
    if "GOODSIG" in kinds and "VALIDSIG" in kinds and "BADSIG" not in kinds:
        return next(str(rest).split()[-1] for kind, rest in said if kind == "VALIDSIG")
    why = next((_WHY[kind] for kind in _WHY if kind in kinds), "it is no OpenPGP signature")
    raise StepFailed(
        "wrong-signature",
        f"the signature of {address} is not good: {why}",
        where=tuple(f"| {line}" for line in done.stderr.strip().splitlines()[-4:]),
        cause="the server or the way to it is not what it should be, or the sums are signed with another key",
        hint="nothing was kept; base-image-keyring names another keyring",
    )
