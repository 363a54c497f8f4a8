"""Where the caller's own files are."""

from __future__ import annotations

from pathlib import Path

from imagewright.cli.resolve import FILE_NAME


def user_file() -> Path:
    """The user's settings file, such as ``~/.config/imagewright/imagewright.toml``."""
    import platformdirs

    return platformdirs.user_config_path("imagewright") / FILE_NAME


def cache_folder() -> Path:
    """The caches' folder if no option says another, such as ``~/.cache/imagewright``."""
    import platformdirs

    return platformdirs.user_cache_path("imagewright")
