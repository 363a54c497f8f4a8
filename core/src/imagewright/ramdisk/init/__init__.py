"""The shell of ``/init``: what stands before the flavours' fragments and after them.

``/init`` is one shell script for busybox: a shebang, ``INIT_TIMEOUT=SECONDS``, :func:`head`, then for each flavour
:func:`begin` and its fragment, and :func:`end`. The contract of its functions, variables and kernel parameters is
``docs/ramdisk-init.md``.
"""

from __future__ import annotations

import shlex
from pathlib import Path

HERE = Path(__file__).parent

FUNCTIONS = ("command-line", "json", "disks", "modules", "network", "reporting", "iscsi", "ending")
"""The files of functions, which only define: their order is that of reading."""


def head() -> str:
    """The functions and the start."""
    return "\n".join((*(_piece(f"functions/{name}") for name in FUNCTIONS), _piece("start")))


def begin(flavour: str) -> str:
    """The line in front of a fragment; it says whose the fragment is and where it begins."""
    return f'fragment {shlex.quote(flavour)} "$LINENO"\n'


def end() -> str:
    """What runs after the last fragment."""
    return _piece("end")


def _piece(name: str) -> str:
    text = (HERE / name).read_text()
    # The first line tells shellcheck about a file that is no script of its own.
    first, _, rest = text.partition("\n")
    return rest if first.startswith("# shellcheck ") else text
