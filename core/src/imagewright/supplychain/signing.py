"""Who signs: the keys that the caller named, loaded before any work, so that a build does not end at its last step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagewright.supplychain import openpgp
from imagewright.supplychain.envelopes import Signature

SUFFIXES = {"ed25519": ".sig", "openpgp": ".asc"}
"""What is added to the name of a signed file, by the kind of the signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """The keys of one build; with none, nothing is signed. What they do takes the caller's environment, for gpg."""

    file: Path | None = None
    gpg: str = ""

    def __bool__(self) -> bool:
        return self.file is not None or bool(self.gpg)

    def check(self, environment: Mapping[str, str]) -> None:
        """Find out that the keys can be used, as far as that is known without signing. Raises UsageError, HostError."""
        if self.file is not None:
            from imagewright.supplychain.ed25519 import private_key

            private_key(self.file)
        if self.gpg:
            openpgp.secret_key(self.gpg, environment)

    def sign(self, text: bytes, environment: Mapping[str, str]) -> dict[str, Signature]:
        """The signatures of a text, by their kind. Raises UsageError, HostError."""
        made = {}
        if self.file is not None:
            from imagewright.supplychain.ed25519 import private_key

            key = private_key(self.file)
            made["ed25519"] = Signature(key=key.name, content=key.sign(text))
        if self.gpg:
            fingerprint = openpgp.secret_key(self.gpg, environment)
            made["openpgp"] = Signature(key=fingerprint, content=openpgp.sign(text, fingerprint, environment))
        return made
