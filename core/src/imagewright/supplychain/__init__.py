"""What lies beside an image so that others can trust it: a bill of materials, a provenance statement, signatures."""

from __future__ import annotations
