"""What each command does; imported when it runs, never for its help."""

from __future__ import annotations
