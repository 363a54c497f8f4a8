"""What goes wrong while an image is read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from imagewright.errors import ImagewrightError


class ImageUnreadable(ImagewrightError):
    """The image is damaged, is of a kind that is not read, or holds no kernel."""


class Damaged(Exception):
    """A structure of the image is not what its format says; the text is a sentence without a final period.

    It stays inside this room: :func:`imagewright.reading.images.readable` makes :class:`ImageUnreadable` of it.
    """


class Unsupported(Damaged):
    """The image is sound for all that is known, but uses something that is not read."""


@contextmanager
def damaged(what: str) -> Iterator[None]:
    """Whatever a parser trips over in ``what`` is damage of the image: raises Damaged."""
    try:
        yield
    except Damaged:
        raise
    except OSError as error:
        raise Damaged(f"{what}: {error.strerror or error}") from error
    except (struct.error, zlib.error, IndexError, ValueError, OverflowError, MemoryError) as error:
        raise Damaged(f"{what} is damaged ({str(error) or type(error).__name__})") from error
