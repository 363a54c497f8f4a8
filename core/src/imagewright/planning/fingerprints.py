"""The digest of the code that a call runs, so that a changed function changes the key of its step."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path


def fingerprint_of(function: str) -> str:
    """The SHA-256 hex digest of all files of the top-level package of ``module:function``.

    Raises ImportError if the package cannot be found. Nothing is imported.
    """
    package = function.partition(":")[0].partition(".")[0]
    try:
        found = importlib.util.find_spec(package)
    except (ValueError, AttributeError) as error:
        raise ImportError(f"the module {package} cannot be found: {error}") from error
    if found is None:
        raise ImportError(f"there is no module {package}")
    digest = hashlib.sha256()
    for root in sorted(found.submodule_search_locations or ()):
        for path in sorted(Path(root).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    if not found.submodule_search_locations and found.origin and Path(found.origin).is_file():
        digest.update(Path(found.origin).read_bytes())
    return digest.hexdigest()
