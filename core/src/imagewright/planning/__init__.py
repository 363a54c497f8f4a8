"""From a request to a plan: which flavours, in which order, with which values, and every step with its key.

Pure: it reads the flavours' own files and nothing else of the machine.
"""

from __future__ import annotations

from imagewright.planning.display import plan_document
from imagewright.planning.keys import DISK_SIZE, EXTRA_DATA, PACKAGE_VERSIONS, SECRETS, merged_hooks, secrets_digest
from imagewright.planning.prepared import Prepared
from imagewright.planning.preparing import CoreStep, prepare
from imagewright.planning.variables import environment_for

__all__ = [
    "DISK_SIZE",
    "EXTRA_DATA",
    "PACKAGE_VERSIONS",
    "SECRETS",
    "CoreStep",
    "Prepared",
    "environment_for",
    "merged_hooks",
    "plan_document",
    "prepare",
    "secrets_digest",
]
