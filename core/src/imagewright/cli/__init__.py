"""The command line: options, what the user sees, and the one place where failures become messages."""

from __future__ import annotations
