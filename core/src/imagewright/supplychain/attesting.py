"""Writing what lies beside a finished image, before the sums are made, and the signatures after that."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagewright.supplychain import cyclonedx, envelopes, provenance, spdx
from imagewright.supplychain.inventory import inventory_of
from imagewright.supplychain.request import BILLS, STATEMENT, Beside
from imagewright.supplychain.signing import SUFFIXES, Signers

LOOK = "imagewright.supplychain.looking:look"
"""The function that looks into the tree, for the sandbox."""


def attest(
    beside: Beside,
    folder: Path,
    stem: str,
    manifest: Mapping[str, Any],
    look: Callable[[list[str]], Mapping[str, Any]],
    files: Callable[[Path], str],
    environment: Mapping[str, str],
) -> list[Path]:
    """Write the bill of materials and the statement about what lies in ``folder``; their paths.

    ``look`` asks the tree for its system and licences, given the names of the packages; ``files`` gives the SHA-256 hex
    digest of a file. Raises UsageError, HostError.
    """
    if beside.bill == "none" and not beside.provenance:
        return []
    inventory = inventory_of(manifest, look([one["name"] for one in manifest["packages"]]))
    made: list[Path] = []
    if beside.bill != "none":
        form = {"cyclonedx": cyclonedx, "spdx": spdx}[beside.bill]
        made.append(folder / f"{stem}{BILLS[beside.bill]}")
        made[-1].write_bytes(form.written(inventory))
    if beside.provenance:
        others = [folder / f"{stem}.manifest.json", *made]
        subjects = [*inventory.files, *((path.name, files(path)) for path in others)]
        made.append(folder / f"{stem}{STATEMENT}")
        made[-1].write_bytes(
            _statement(provenance.statement_of(manifest, inventory, subjects), beside.signers, environment)
        )
    return made


def sign(signers: Signers, sums: Path, environment: Mapping[str, str]) -> list[Path]:
    """Write the signatures of the sums beside them; their paths. Raises UsageError, HostError."""
    made = []
    for kind, signature in (signers.sign(sums.read_bytes(), environment) if signers else {}).items():
        path = sums.with_name(sums.name + SUFFIXES[kind])
        path.write_bytes(signature.content)
        made.append(path)
    return made


def _statement(document: Mapping[str, Any], signers: Signers, environment: Mapping[str, str]) -> bytes:
    """The statement, in an envelope with its signatures if there are any."""
    payload = _json(document)
    if not signers:
        return payload
    signatures: Sequence[envelopes.Signature] = list(signers.sign(envelopes.signed_text(payload), environment).values())
    return _json(envelopes.enclosed(payload, signatures))


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
