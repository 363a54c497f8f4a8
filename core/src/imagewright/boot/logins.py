"""The user that the keys of metadata go to: cloud-init's default user, as the image's own settings name it."""

from __future__ import annotations

import re
from pathlib import Path

from imagewright.errors import UsageError
from imagewright.reading.errors import ImageUnreadable
from imagewright.reading.images import open_image, readable
from imagewright.reading.trees import Tree

_SETTINGS = "/etc/cloud/cloud.cfg"
_MORE = "/etc/cloud/cloud.cfg.d"
_NAME = ("system_info", "default_user", "name")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def login_user(image: Path) -> str:
    """Whom a fresh key lets in. Raises UsageError if the image does not say, or is not read."""
    try:
        with open_image(image) as opened, readable(image):
            found = {user for volume in opened.volumes for tree in volume.trees if (user := user_of(tree))}
    except ImageUnreadable as error:
        raise _unknown(image, error.message) from error
    if len(found) != 1:
        raise _unknown(
            image,
            f"it names several: {', '.join(sorted(found))}" if found else f"its {_SETTINGS} names no default user",
        )
    return found.pop()


def user_of(tree: Tree) -> str:
    """The default user in the settings of a tree; empty if they name none. Raises Damaged."""
    # cloud-init reads the folder in the order of its names, and what comes later is the stronger
    more = [f"{_MORE}/{name}" for name in tree.names(_MORE) if name.endswith(".cfg")]
    user = ""
    for path in (_SETTINGS, *more):
        said = scalar(tree.text(path) or "", *_NAME)
        user = user if said is None else said
    return user if _USER.fullmatch(user) else ""


def scalar(text: str, *keys: str) -> str | None:
    """The value below nested keys of a YAML document, None without one.

    It knows what settings are written in, mappings of a key a line. The value of a key that holds its mapping in
    another form is empty: better no user than a wrong one.
    """
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip(" "))
        while above and above[-1][0] >= indent:
            above.pop()
        key, colon, value = words.partition(":")
        above.append((indent, key))
        here = tuple(name for _, name in above)
        if not colon or here != keys[: len(here)]:
            continue
        value = value.partition(" #")[0].strip().strip("'\"")
        if here == keys or value:
            return value if here == keys else ""
    return None


def _unknown(image: Path, cause: str) -> UsageError:
    return UsageError(
        "no-login-user",
        f"nobody is known who could log in to {image}",
        cause=cause,
        hint="name the user with --user",
        option="user",
    )
