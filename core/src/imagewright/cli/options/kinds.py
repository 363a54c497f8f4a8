"""How the text of an option becomes a value, wherever it came from. A bad text raises ValueError with the reason."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """How many values an option takes, and what separates them within one text."""

    SWITCH = "switch"  # on or off
    ONE = "one"
    NAMES = "names"  # several, at commas (in a variable at white space too)
    PATHS = "paths"  # several, at colons
    WORDS = "words"  # several, one per flag; in a variable quoted as in a shell
    PAIRS = "pairs"  # WORDS of the form KEY=VALUE; sources are merged key by key

    @property
    def repeatable(self) -> bool:
        """Whether the option may be given several times."""
        return self not in (Kind.SWITCH, Kind.ONE)

    def parts(self, text: str, *, variable: bool) -> list[str]:
        """The single texts in ``text``, which came from a variable or from a flag. Raises ValueError."""
        match self:
            case Kind.NAMES:
                return [name for name in re.split(r"[,\s]+" if variable else r"\s*,\s*", text.strip()) if name]
            case Kind.PATHS:
                return [path for path in text.split(":") if path]
            case Kind.WORDS | Kind.PAIRS if variable:
                return shlex.split(text)
            case _:
                return [text]


Convert = Callable[[str], object]

_TRUE = ("1", "true", "t", "yes", "y", "on")
_FALSE = ("0", "false", "f", "no", "n", "off")


def text(value: str) -> str:
    """Any text that a line can hold."""
    if "\0" in value or "\n" in value:
        raise ValueError("it must be one line")
    return value


def switch(value: str) -> bool:
    """On or off, in the usual words."""
    word = value.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("it must be `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`")


def path(value: str) -> Path:
    """A path; ``~`` at its start is the caller's home."""
    if not value or "\0" in value:
        raise ValueError("it must be a path")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("the home folder of that user is not known") from None


def output(value: str) -> Path:
    """The path of a file to write; one that ends with a slash names a folder."""
    found = path(value)
    if value.endswith("/"):
        raise ValueError(f"it names a folder; name a file, such as `{found / 'image'}`")
    return found


def file(value: str) -> Path:
    """The path of a file that exists and can be read."""
    found = path(value)
    try:
        mode = found.stat().st_mode
        # a pipe gives what it holds once, or nothing ever, and a device may have no end
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ValueError("it must be a file, and it is a pipe, a socket or a device")
        with found.open("rb"):
            return found
    except OSError as error:
        raise ValueError((error.strerror or str(error)).lower()) from None


def certificates(value: str) -> Path:
    """The path of a file with certificates in PEM form."""
    import ssl

    found = file(value)
    try:
        ssl.create_default_context(cadata=found.read_text(encoding="ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError):
        raise ValueError("it must hold certificates in PEM form (`-----BEGIN CERTIFICATE-----`)") from None
    return found


def program(value: str) -> Path:
    """The path of a program that this machine's kernel runs: an ELF file that may be executed."""
    found = file(value)
    with found.open("rb") as stream:
        if stream.read(4) != b"\x7fELF":
            raise ValueError("it must be a program (an ELF file)")
    if not os.access(found, os.X_OK):
        raise ValueError(f"it may not be executed; `chmod +x {found}`")
    return found


def folder(value: str) -> Path:
    """The path of a folder that exists."""
    found = path(value)
    if not found.is_dir():
        raise ValueError("there is no such folder")
    return found


def gib(value: str) -> int:
    """A size in GiB, decimals allowed, as bytes."""
    from decimal import Decimal, InvalidOperation

    from imagewright.types import GIB

    try:
        number = Decimal(value.strip())
        size = int(number * GIB)
    except (InvalidOperation, ValueError, OverflowError):
        raise ValueError("it must be a number of GiB without a unit, such as `4` or `2.5`") from None
    if size <= 0:
        raise ValueError("it must be more than 0 GiB")
    if size > 2**60:
        raise ValueError("it must be at most 1073741824 GiB")
    return size


def count(value: str) -> int:
    """A whole number above 0."""
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number <= 0:
        raise ValueError("it must be a whole number above 0")
    return number


def amount(value: str) -> int:
    """A whole number, 0 too."""
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("it must be a whole number from 0 to 999999999")
    return int(value)


def name(value: str) -> str:
    """A name of lower-case letters, digits, ``-``, ``+``, ``.`` and ``_``."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9+._-]*", value):
        raise ValueError("it must be a name of lower-case letters, digits and dashes")
    return value


def package(value: str) -> str:
    """The name of a package, with what a package manager allows behind it (``:arch``, ``=version``)."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._:=~@/-]*", value):
        raise ValueError("it must be the name of a package")
    return value


def address(value: str) -> str:
    """An address with its scheme."""
    if not re.match(r"[a-z][a-z0-9+.-]*:[^\s]+$", value):
        raise ValueError("it must be an address such as `http://deb.example.org/debian`")
    return value


def server(value: str) -> str:
    """The address of a server that files are fetched from."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not re.search(r"\s", value)
    except ValueError:  # brackets, or a port that is no port
        good = False
    if not good:
        raise ValueError("it must be an address of http or https, such as `https://cloud-images.example`")
    return value


def label(value: str) -> str:
    """The label of an ext4 filesystem."""
    if not value or len(value.encode()) > 16 or not value.isprintable() or "/" in value or " " in value:
        raise ValueError("it must have 1 to 16 bytes, no spaces and no `/`")
    return value


def slate_rule(value: str) -> str:
    """The name of a rule of the blank slate."""
    from imagewright.blankslate.rules import known

    return known(value)


def step(value: str) -> str:
    """``FLAVOUR:PHASE/NN-name``."""
    if not re.fullmatch(r"[^:\s]+:[a-z-]+/[0-9]{2}-[a-z0-9-]+", value):
        raise ValueError("it must have the form FLAVOUR:PHASE/NN-name, as `--plan` shows it")
    return value


def phase_or_step(value: str) -> str:
    """A phase, or a step as ``PHASE/NN-name``."""
    from imagewright.types import Phase

    named, slash, step_id = value.strip().partition("/")
    if named not in {phase.value for phase in Phase} or (slash and not step_id):
        raise ValueError("it must be a phase, such as `finalise`, or a step, such as `install/10-modules`")
    return value.strip()


def parameter(value: str) -> tuple[str, str, str]:
    """``FLAVOUR.NAME=VALUE``."""
    key, equals, rest = value.partition("=")
    flavour, dot, option = key.partition(".")
    if not equals or not dot or not flavour or not option:
        raise ValueError("it must have the form FLAVOUR.NAME=VALUE, with quotes around a value of several words")
    return flavour, option, rest


def repository(value: str) -> str:
    """``URL SUITE COMPONENT...``, with single spaces."""
    place, *words = value.split() or [""]
    if not words:
        raise ValueError("it must have the form URL SUITE COMPONENT..., in quotes")
    return " ".join((address(place), *words))


def endpoint(value: str) -> object:
    """``ADDRESS:PORT``; an IPv6 address stands in brackets."""
    import ipaddress

    from imagewright.bootserver.protocol import Endpoint

    host, colon, port = value.rpartition(":")
    try:
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError
        found = ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
        if (found.version == 6) != host.startswith("["):
            raise ValueError
    except ValueError:
        raise ValueError("it must have the form ADDRESS:PORT, such as `0.0.0.0:10000` or `[::]:10000`") from None
    return Endpoint(address=str(found), port=int(port))


def connection(value: str) -> tuple[object, object]:
    """``ADDRESS:PORT=ADDRESS:PORT``."""
    said, equals, reached = value.partition("=")
    if not equals:
        raise ValueError("it must have the form ADDRESS:PORT=ADDRESS:PORT")
    return endpoint(said), endpoint(reached)


def override(value: str) -> tuple[str, Path]:
    """``NAME=DIR``, a folder that exists."""
    flavour, equals, folder = value.partition("=")
    if not equals or not flavour or not folder:
        raise ValueError("it must have the form NAME=DIR")
    found = path(folder)
    if not os.path.isdir(found):
        raise ValueError(f"there is no folder `{found}`")
    return flavour, found


def one_of(what: str, *choices: str, other: str = "") -> Convert:
    """One of a few words; ``other`` explains why there are no more."""

    def convert(value: str) -> str:
        if value in choices:
            return value
        words = ", ".join(f"`{choice}`" for choice in choices)
        raise ValueError(f"{what} must be {words}" + (f" {other}" if other else ""))

    return convert
