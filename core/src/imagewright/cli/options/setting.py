"""What an option is: its flag, its variables, its key in a settings file, its default and its help."""

from __future__ import annotations

from keyword import iskeyword
from typing import Any, NamedTuple

from imagewright.cli.options import kinds
from imagewright.cli.options.kinds import Convert, Kind


class Setting(NamedTuple):
    """An option, once. ``name`` is its long flag without dashes and its key in a settings file.

    ``ancestor`` is the variable that the ancestor read, honoured behind ``IMAGEWRIGHT_NAME``.
    ``default`` is the value itself; ``shown`` replaces it in help where the words say more.
    ``of_path``: a relative path in a settings file is relative to that file.
    """

    name: str
    help: str
    short: str = ""
    kind: Kind = Kind.ONE
    convert: Convert = kinds.text
    metavar: str = "TEXT"
    ancestor: str = ""
    default: Any = None
    shown: str = ""
    group: str = "Image"
    of_path: bool = False

    @property
    def flag(self) -> str:
        """``--image-size``."""
        return f"--{self.name}"

    @property
    def negative(self) -> str:
        """The flag that switches a switch off again, whatever a variable or a file says."""
        return f"--{self.name.removeprefix('no-')}" if self.name.startswith("no-") else f"--no-{self.name}"

    @property
    def parameter(self) -> str:
        """The name of its Python parameter, such as ``image_size``; ``from_`` for a word of the language."""
        name = self.name.replace("-", "_")
        return f"{name}_" if iskeyword(name) else name

    @property
    def variable(self) -> str:
        """``IMAGEWRIGHT_IMAGE_SIZE``."""
        return f"IMAGEWRIGHT_{self.name.replace('-', '_').upper()}"

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that set it, the stronger first."""
        return (self.variable, self.ancestor) if self.ancestor else (self.variable,)


def switch(name: str, help: str, *, group: str, short: str = "") -> Setting:  # noqa: A002
    """An option that is on or off, and off by default."""
    return Setting(
        name=name,
        help=help,
        short=short,
        kind=Kind.SWITCH,
        convert=kinds.switch,
        metavar="",
        default=False,
        group=group,
    )
