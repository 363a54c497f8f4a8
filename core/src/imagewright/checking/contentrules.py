"""Rules about the files that a flavour brings: what they hold, and what becomes of them in an image."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator

from imagewright.checking.findings import Hit, Level, Rule
from imagewright.checking.subjects import FlavourSubject, content

LEFTOVER = re.compile(r".*(~|\.(bak|orig|rej|swp|dpkg-(old|new|dist)))|\.#.*|#.*#")
PRIVATE_KEY = re.compile(rb"-----BEGIN ([A-Z]+ )*PRIVATE KEY( BLOCK)?-----")


def _leftover(flavour: FlavourSubject) -> Iterator[Hit]:
    for name, path in flavour.files():
        if LEFTOVER.fullmatch(path.name):
            yield Hit(file=name, message="an editor or a merge left this file", fix=f"rm {name}")


def _lost_mode(flavour: FlavourSubject) -> Iterator[Hit]:
    for name, path in flavour.files():
        if not name.startswith(("static/", "files/")) or path.is_symlink() or not path.is_file():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX) or not mode & stat.S_IWUSR:
            given = "0755" if mode & stat.S_IXUSR else "0644"
            target = f"/{name.partition('/')[2]}"
            yield Hit(
                file=name,
                message=f"its mode {mode:04o} will be {given} in the image",
                fix=f"set it in a script of install.d: chmod {mode:04o} {target}",
            )


def _no_link(flavour: FlavourSubject) -> Iterator[Hit]:
    for name, path in flavour.files():
        folder = path.parent.name
        if name.startswith("static/") and folder.endswith((".wants", ".requires")) and not path.is_symlink():
            yield Hit(
                file=name,
                message=f"systemd passes over a file in `{folder}` that is no link",
                fix=f"lay the unit beside that folder, and link it: ln -s ../{path.name} {name}",
            )


def _private_key(flavour: FlavourSubject) -> Iterator[Hit]:
    for name, path in flavour.files():
        if path.is_file() and path.stat().st_size < 2**20 and PRIVATE_KEY.search(content(path)):
            fix = "remove it, make a new key, and let who builds name theirs by a parameter of type path"
            yield Hit(file=name, message="the file holds a private key", fix=fix)


RULES: tuple[Rule[FlavourSubject], ...] = (
    Rule(
        name="leftover",
        what="files of editors and merges",
        reason="they change the keys of the layers, and those in `static` get into the image",
        check=_leftover,
        level=Level.WARNING,
    ),
    Rule(
        name="lost-mode",
        what="a mode in `static` or `files` that the image will not have",
        reason="a checkout keeps the execute bit alone, so files of a flavour are 0755 or 0644 in the image",
        check=_lost_mode,
    ),
    Rule(
        name="no-link",
        what="a file in a folder `*.wants` or `*.requires` of `static` that is no symbolic link",
        reason="systemd takes links alone there, so the unit would not start",
        check=_no_link,
        level=Level.WARNING,
    ),
    Rule(
        name="private-key",
        what="a private key",
        reason="everybody who has the flavour or an image made with it has the key",
        check=_private_key,
    ),
)
"""The rules of this page, in the order of their findings."""
