"""Booting what was built and asking the machine over ssh: what the fixture ``image_boot`` gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imagewright.boot.disks import Bus, Disk, format_of
from imagewright.boot.instance import Instance, new_instance_id
from imagewright.boot.logins import login_user
from imagewright.boot.machine import Machine
from imagewright.boot.running import RunningMachine, running
from imagewright.boot.seeds import write_nocloud
from imagewright.boot.ssh import Login, Ran, log_in, make_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A machine that runs, and the way into it."""

    machine: RunningMachine
    login: Login

    def run(self, command: str, *, timeout: float = 300.0) -> Ran:
        """Run a shell command as the login user."""
        return self.login.run(command, timeout=timeout)

    def check(self, command: str, *, timeout: float = 300.0) -> str:
        """Run a shell command and return what it printed. Raises AssertionError if it fails."""
        ran = self.run(command, timeout=timeout)
        if not ran.ok:
            raise AssertionError(f"`{command}` ended with status {ran.status}:\n{ran.stdout}{ran.stderr}")
        return ran.stdout


class Booter:
    """Boots images with a fresh key; the images are not changed."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._count = 0

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[Booter]:
        """Machines live in ``folder`` and stop at the end."""
        with ExitStack() as stack:
            yield cls(folder, stack)

    def __call__(
        self,
        image: Path,
        *,
        user: str = "",
        firmware: Literal["bios", "uefi"] = "bios",
        bus: Bus = "virtio",
        memory: int = 1024,
        user_data: str = "",
        timeout: float = 600.0,
    ) -> Booted:
        """Boot ``image`` and log in; ``memory`` in MiB, ``timeout`` in seconds. Raises BootFailed.

        Without ``user`` it is the one whom the image names; raises UsageError if it names none.
        """
        user = user or login_user(image)
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir(parents=True)
        key = make_key(folder)
        instance = Instance(id=new_instance_id(), public_keys=(key.public,), user_data=user_data)
        machine = Machine(
            memory=memory,
            firmware=firmware,
            disks=(Disk(path=image.resolve(), format=format_of(image), bus=bus),),
            seeds=(write_nocloud(folder / "seed.iso", instance),),
        )
        it = self._stack.enter_context(running(machine, folder))
        return Booted(machine=it, login=log_in(it, user, key.private, timeout=timeout))
