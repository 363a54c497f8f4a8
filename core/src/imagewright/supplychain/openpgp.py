"""Detached OpenPGP signatures: made by the caller's gpg, checked by gpgv against a keyring that is named."""

from __future__ import annotations

import base64
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagewright.errors import HostError, UsageError
from imagewright.hosttools import find

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

_KEPT = ("GNUPGHOME", "HOME", "PATH", "GPG_TTY", "XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_DISPLAY", "TERM")
"""What gpg and its agent need of the caller's environment to ask for a passphrase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What gpgv found: the fingerprint of the signer's primary key, or why the signature is not good."""

    signer: str = ""
    why: str = ""
    said: tuple[str, ...] = ()


def keyring_bytes(content: bytes) -> bytes:
    """A keyring as gpgv takes it, of one in either form; empty if its ASCII form is damaged."""
    if not content.lstrip().startswith(b"-----BEGIN"):
        return content
    try:
        return b"".join(base64.b64decode(block) for block in _ARMOUR.findall(content))
    except ValueError:
        return b""


def checked(text: bytes, signature: bytes, keyring: bytes) -> Checked:
    """Check a detached signature (gpgv(1), ``doc/DETAILS`` of GnuPG): good only if no part of it is bad.

    Raises HostError if there is no gpgv.
    """
    if find("gpgv") is None:
        raise HostError(
            "missing-tool", "the host lacks gpgv", cause="it checks signatures", hint="sudo apt-get install gpgv"
        )
    with tempfile.TemporaryDirectory(prefix="imagewright-signature-") as name:
        folder = Path(name)
        for file, content in (("text", text), ("text.gpg", signature), ("keyring.gpg", keyring)):
            (folder / file).write_bytes(content)
        places = ["--homedir", name, "--keyring", f"{name}/keyring.gpg", f"{name}/text.gpg", f"{name}/text"]
        done = subprocess.run(
            ["gpgv", "--status-fd", "1", *places],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
        )
    said = _STATUS.findall(done.stdout)
    kinds = {kind for kind, _ in said}
    if "GOODSIG" in kinds and "VALIDSIG" in kinds and "BADSIG" not in kinds:
        return Checked(signer=next(str(rest).split()[-1] for kind, rest in said if kind == "VALIDSIG"))
    why = next((_WHY[kind] for kind in _WHY if kind in kinds), "it is no OpenPGP signature")
    return Checked(why=why, said=tuple(done.stderr.strip().splitlines()[-4:]))


def secret_key(name: str, environment: Mapping[str, str]) -> str:
    """The fingerprint of the caller's secret key that ``name`` means to gpg. Raises UsageError, HostError."""
    done = _gpg(environment, "--with-colons", "--list-secret-keys", "--", name)
    records = [line.split(":") for line in done.stdout.decode(errors="replace").splitlines()]
    kinds = [record[0] for record in records]
    if done.returncode or kinds.count("sec") != 1:
        several = kinds.count("sec") > 1
        raise UsageError(
            "no-signing-key",
            f"gpg has {'more than one secret key' if several else 'no secret key'} that `{name}` names",
            hint="gpg --list-secret-keys lists them; name one by its fingerprint",
            option="sign-gpg",
        )
    return next(record[9] for record in records if record[0] == "fpr")


def sign(text: bytes, fingerprint: str, environment: Mapping[str, str]) -> bytes:
    """A detached signature in ASCII form by the caller's key. Raises UsageError, HostError."""
    done = _gpg(
        environment,
        "--batch",
        "--armor",
        "--local-user",
        f"{fingerprint}!",
        "--detach-sign",
        "--output",
        "-",
        text=text,
    )
    if done.returncode or not done.stdout:
        raise UsageError(
            "not-signed",
            f"gpg does not sign with the key {fingerprint}",
            where=tuple(f"| {line}" for line in done.stderr.decode(errors="replace").strip().splitlines()[-4:]),
            cause="its passphrase is not known to the agent, or the key is past its date",
            hint=f"try: echo test | gpg --local-user {fingerprint} --clear-sign",
            option="sign-gpg",
        )
    return done.stdout


def _gpg(environment: Mapping[str, str], *arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    if find("gpg") is None:
        raise HostError(
            "missing-tool", "the host lacks gpg", cause="it signs", hint="sudo apt-get install gpg gpg-agent"
        )
    kept = {name: environment[name] for name in _KEPT if environment.get(name)}
    return subprocess.run(
        ["gpg", "--no-tty", *arguments], input=text, capture_output=True, check=False, env={**kept, "LC_ALL": "C.UTF-8"}
    )
