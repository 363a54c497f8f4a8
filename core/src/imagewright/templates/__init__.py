"""Flavours and packs to start from: what ``imagewright flavours new`` writes.

The files are in ``files/``; ``@NAME@`` and the like in their names and contents are replaced.
"""

from __future__ import annotations

from imagewright.templates.writing import Kind, files_of, write

__all__ = ["Kind", "files_of", "write"]
