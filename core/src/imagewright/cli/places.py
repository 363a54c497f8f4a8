"""Where the caller's own files are, by the XDG base directory specification."""

from __future__ import annotations

import os
from pathlib import Path

from imagewright.cli.options.resolve import FILE_NAME
from imagewright.errors import HostError


def user_file() -> Path:
    """The user's settings file, such as ``~/.config/imagewright/imagewright.toml``. Raises HostError."""
    return _own("XDG_CONFIG_HOME", ".config") / FILE_NAME


def cache_folder() -> Path:
    """The caches' folder if no option says another, such as ``~/.cache/imagewright``. Raises HostError."""
    return _own("XDG_CACHE_HOME", ".cache")


def current_folder() -> Path:
    """The current folder. Raises HostError if it is not there any more."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise HostError(
            "no-current-folder",
            "the current folder is not there any more",
            cause="it was removed, or another one was put in its place, while the shell was in it",
            hint="go to another folder: `cd`",
        ) from None


def _own(variable: str, usual: str) -> Path:
    # every command asks, and a library that knows the places of all systems takes as long as Python's own start
    folder = os.environ.get(variable, "")
    return Path(folder if os.path.isabs(folder) else os.path.join(_home(), usual), "imagewright")


def _home() -> str:
    """``HOME``, else what the host's list of users says."""
    home = os.environ.get("HOME", "")
    if not os.path.isabs(home):
        import pwd

        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = ""
    if not os.path.isabs(home):
        raise HostError(
            "no-home",
            "you have no home folder, so there is no place for settings and caches",
            cause="`HOME` is no absolute path, and the host does not know your user",
            hint="set `HOME` to a folder of yours",
        )
    return home
