"""What the repository's checks on itself read."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def top() -> Path:
    """The checkout."""
    return TOP


@pytest.fixture(scope="session")
def tracked() -> tuple[Path, ...]:
    """Every file that git tracks, without links."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, check=True, capture_output=True).stdout
    paths = (TOP / os.fsdecode(name) for name in listing.split(b"\0") if name)
    return tuple(path for path in paths if path.is_file() and not path.is_symlink())


@pytest.fixture(scope="session")
def distributions() -> dict[Path, dict[str, Any]]:
    """Every distribution's folder, relative to the checkout, with its pyproject."""
    found = (
        path for pattern in ("core", "plugins/*", "flavour-packs/*") for path in TOP.glob(f"{pattern}/pyproject.toml")
    )
    return {path.parent.relative_to(TOP): tomllib.loads(path.read_text()) for path in sorted(found)}
