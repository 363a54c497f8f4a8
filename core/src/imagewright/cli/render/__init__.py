"""Who shows the events of a build: a live screen, plain lines, JSON lines, the log file."""

from __future__ import annotations
