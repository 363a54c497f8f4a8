"""TOML and JSON that others wrote: whatever is wrong with them is one kind of error.

Python's parsers go down a level of their own for each level of brackets, and a few thousand ``[`` exhaust them.
"""

from __future__ import annotations

from typing import Any


def parse_toml(content: bytes) -> dict[str, Any]:
    """The tables of a text in UTF-8. Raises ValueError with what is wrong."""
    # most runs read no TOML, and the parser takes time to import
    import tomllib

    text = _text(content)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_json(content: bytes) -> Any:
    """The value of a text in UTF-8. Raises ValueError with what is wrong."""
    # nor JSON
    import json

    text = _text(content)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
