"""What a cloud tells a machine about itself."""

from __future__ import annotations

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One life of a machine: a new ``id`` makes cloud-init set it up anew.

    ``public_keys`` are lines as in authorized_keys, for the image's login user; ``user_data`` is handed on as it is.
    """

    id: str
    hostname: str = "imagewright"
    public_keys: tuple[str, ...] = ()
    user_data: str = ""


def new_instance_id() -> str:
    """An id that no instance had before, of the form that EC2 and OpenStack accept."""
    return f"i-{uuid.uuid4().hex[:17]}"
