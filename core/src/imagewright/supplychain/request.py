"""What a build is asked to lay beside what it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from imagewright.supplychain.signing import SUFFIXES, Signers

Bill = Literal["none", "cyclonedx", "spdx"]

BILLS = {"cyclonedx": ".cdx.json", "spdx": ".spdx.json"}
STATEMENT = ".provenance.json"
OPTIONAL = (*BILLS.values(), STATEMENT, *(f".sha256{suffix}" for suffix in SUFFIXES.values()))
"""The endings of all files that lie beside an image only if they are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A bill of materials in one of two forms, a provenance statement, and who signs the sums and the statement."""

    bill: Bill = "none"
    provenance: bool = False
    signers: Signers = field(default_factory=Signers)

    def check(self, environment: Mapping[str, str]) -> None:
        """Raise UsageError or HostError for what cannot be done, before any work."""
        if self.bill == "spdx":
            from imagewright.supplychain.spdx import check_library

            check_library()
        self.signers.check(environment)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What the names of the files will end in, for who looks whether they can be written."""
        found = (BILLS[self.bill],) if self.bill != "none" else ()
        statement = (STATEMENT,) if self.provenance else ()
        signed = {"ed25519": self.signers.file is not None, "openpgp": bool(self.signers.gpg)}
        return (*found, *statement, *(f".sha256{SUFFIXES[kind]}" for kind, wanted in signed.items() if wanted))

    def key(self) -> list[object]:
        """What of it decides which files are written, for the key of finished images; never the private key."""
        file = self.signers.file
        status = file.stat() if file is not None and file.exists() else None
        identity = [str(file), status.st_size, status.st_mtime_ns] if status else []
        return [self.bill, self.provenance, self.signers.gpg, identity]
