"""``imagewright verify-signature``: whether an image is the one that somebody trusted signed."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.cli.render.lines import printable


def run(invocation: Invocation) -> None:
    """Check it and say who signed what. Raises VerificationFailed with exit code 1, UsageError."""
    from imagewright.supplychain.verifying import Trusted, verify

    trusted = Trusted.read(invocation.values["verify-key"])
    found = verify(Path(str(invocation.arguments["file"])).expanduser().absolute(), trusted)
    if invocation.values["json"]:
        print_document({**asdict(found), "sums": str(found.sums)})
        return
    lines = [f"{found.sums.name} is signed by {' and '.join(found.signers)}"]
    lines += [f"{name} is as it was signed" for name in found.files]
    if found.statement_signers:
        lines.append(f"the provenance statement is signed by {' and '.join(found.statement_signers)}")
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))
