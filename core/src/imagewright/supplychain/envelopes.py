"""The envelope of a signed statement: DSSE 1.0 (secure-systems-lab/dsse), as in-toto and SLSA use it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TYPE = "application/vnd.in-toto+json"
"""What is in the envelope: an in-toto statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature with the name of its key: a digest of an Ed25519 key, or an OpenPGP fingerprint."""

    key: str
    content: bytes


def signed_text(payload: bytes, kind: str = TYPE) -> bytes:
    """What is signed: the payload with its type and both lengths, so that neither can be moved (DSSE's PAE)."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def enclosed(payload: bytes, signatures: Sequence[Signature]) -> dict[str, Any]:
    """The envelope as a document."""
    return {
        "payloadType": TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": one.key, "sig": base64.b64encode(one.content).decode()} for one in signatures],
    }


def opened(document: Any) -> tuple[bytes, tuple[Signature, ...]]:
    """Payload and signatures of an envelope, none of them checked. Raises ValueError if it is none."""
    try:
        if document["payloadType"] != TYPE:
            raise ValueError("its payload is no in-toto statement")
        payload = base64.b64decode(document["payload"], validate=True)
        signatures = tuple(
            Signature(key=str(one.get("keyid", "")), content=base64.b64decode(one["sig"], validate=True))
            for one in document["signatures"]
        )
    except (TypeError, KeyError, AttributeError, binascii.Error) as error:
        raise ValueError("it is no envelope of DSSE") from error
    return payload, signatures
