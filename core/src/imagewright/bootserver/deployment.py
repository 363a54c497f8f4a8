"""One deployment: the image comes onto the machine's disk, and the machine is told."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagewright.bootserver.errors import DeploymentFailed
from imagewright.bootserver.initiator import Chap, Initiator, Target
from imagewright.bootserver.placing import Piece, Range, place
from imagewright.bootserver.protocol import ISCSI_PORT, PORT, Endpoint, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How machines get their image.

    ``keep`` names the partition that stays, ``blank`` says that disks hold nothing but zeros. ``connect_to`` maps where
    a machine says it is to where this host reaches it. ``patience`` in seconds is for a machine to take the end.
    """

    image: Path
    keep: str = ""
    blank: bool = False
    chap: Chap | None = None
    connect_to: Mapping[Endpoint, Endpoint] = field(default_factory=dict)
    patience: float = 120.0

    def reach(self, address: str, port: int) -> Endpoint:
        """Where this host reaches a port of a machine."""
        endpoint = Endpoint(address=address, port=port)
        return self.connect_to.get(endpoint, endpoint)

    def speaks_for(self, peer: str, address: str) -> bool:
        """Whether a machine seen at ``peer`` may say that it is at ``address``: it is, or a map was given for it."""
        return peer == address or any(endpoint.address == address for endpoint in self.connect_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a deployment came to: bytes of the image and of the disk, names of partitions that stayed, seconds."""

    image_size: int
    disk_size: int
    kept: tuple[str, ...]
    seconds: float


def deploy(order: Order, request: Request, folder: Path, initiator: Initiator) -> Done:
    """Write the image to the machine's disk and tell the machine. Raises DeploymentFailed.

    The table of partitions is written last; while the others are written the disk has none, or one with the kept
    partition alone.
    """
    start = time.monotonic()
    target = Target(portal=order.reach(request.address, ISCSI_PORT), iqn=request.iqn, chap=order.chap)
    image = initiator.image(order.image)
    disk_size = initiator.size(target)
    disk = initiator.ends(target, disk_size)
    placing = place(initiator.ends(image, image.size), disk, order.keep)
    blank = order.blank and not placing.kept and _looks_blank(initiator, target, disk_size)
    for piece in placing.before:
        initiator.write(target, piece)
    for part in (*placing.ranges, *placing.late):
        initiator.copy(target, image, part, blank=blank)
    for piece in placing.after:
        initiator.write(target, piece)
    _check(initiator, target, placing.after)
    tell(order.reach(request.address, PORT), order.patience)
    return Done(
        image_size=image.size,
        disk_size=disk_size,
        kept=tuple(entry.name for entry in placing.kept),
        seconds=time.monotonic() - start,
    )


def _looks_blank(initiator: Initiator, target: Target, size: int) -> bool:
    """Whether the places where a used disk has something hold zeros: both ends, and sixteen between them."""
    window = 2**16
    places = [size * part // 17 // 512 * 512 for part in range(17)]
    ranges = [Range(offset=at, end=at + window) for at in places] + [Range(offset=size - window, end=size)]
    return size >= 2**21 and not any(any(initiator.read(target, part)) for part in ranges)


def _check(initiator: Initiator, target: Target, pieces: tuple[Piece, ...]) -> None:
    """Read back what makes the disk one to start from: a target that lost writes is found out here."""
    for piece in pieces:
        window = Range(offset=piece.offset, end=piece.offset + len(piece.data))
        if initiator.read(target, window) != piece.data:
            raise DeploymentFailed("disk-lies", "the machine's disk does not hold what was written to it")


def tell(endpoint: Endpoint, patience: float) -> None:
    """Connect to the machine, which waits for that. Raises DeploymentFailed if it cannot be reached in time."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with socket.create_connection((endpoint.address, endpoint.port), timeout=10):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise DeploymentFailed(
                    "not-told",
                    f"the image is on the disk, but the machine does not listen at {endpoint}",
                    cause=error.strerror or str(error),
                ) from error
        time.sleep(1)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for the small files of a deployment."""
    return tempfile.TemporaryDirectory(prefix="imagewright-boot-server-")
