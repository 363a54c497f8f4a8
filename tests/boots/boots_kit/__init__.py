"""What the boots share."""

from __future__ import annotations
