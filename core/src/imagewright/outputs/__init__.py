"""Output formats: drivers that write an artefact from the raw disk or from the tar of the root tree."""

from __future__ import annotations
