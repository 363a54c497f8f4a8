"""Boot an image, log in with a fresh key, run checks, and say how each went."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imagewright.boot.accelerator import probe
from imagewright.boot.disks import Bus, Disk, format_of
from imagewright.boot.errors import BootFailed
from imagewright.boot.instance import Instance, new_instance_id
from imagewright.boot.machine import Machine
from imagewright.boot.running import RunningMachine, running
from imagewright.boot.scratch import scratch
from imagewright.boot.seeds import write_nocloud
from imagewright.boot.ssh import CONNECTION_LOST, KeyPair, log_in, make_key

LOGIN = "login"
"""The name of the first outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What to try: ``checks`` are shell commands for the login user, each good if it exits with 0.

    ``memory`` in MiB; ``timeout`` is the time for each of the login and the checks, in seconds.
    """

    image: Path
    user: str
    checks: tuple[str, ...] = ()
    uefi: bool = False
    disk_bus: Bus = "virtio"
    memory: int = 1024
    timeout: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the login or a check went; ``output`` is what it printed or, of a login, what went wrong."""

    name: str
    passed: bool
    seconds: float
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcomes, the login first. The console's file and last lines are there only if something failed."""

    image: Path
    accelerator: str
    outcomes: tuple[Outcome, ...]
    console_log: Path | None = None
    console_tail: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything went well."""
        return all(outcome.passed for outcome in self.outcomes)

    @property
    def login_seconds(self) -> float | None:
        """The time from power-on to the login; None if there was none."""
        login = self.outcomes[0]
        return login.seconds if login.passed else None


def try_image(trial: Trial, work: Path | None = None, *, report: Callable[[str], None] = lambda _: None) -> Result:
    """Boot and check. The image is not changed; ``report`` is told what is going on.

    The machine's files live in a folder below ``work`` (None: the system's temporary folder); it is removed, but for
    the logs if the login or a check failed. Raises HostError for what the host lacks and UsageError for an image that
    cannot be read.
    """
    disk = Disk(path=trial.image.resolve(), format=format_of(trial.image), bus=trial.disk_bus)
    accelerator = probe()
    report(f"booting {trial.image} ({'UEFI' if trial.uefi else 'BIOS'}, {trial.disk_bus}, {accelerator.name})")
    with scratch(work) as it:
        key = make_key(it.path)
        instance = Instance(id=new_instance_id(), public_keys=(key.public,))
        machine = Machine(
            memory=trial.memory,
            firmware="uefi" if trial.uefi else "bios",
            disks=(disk,),
            seeds=(write_nocloud(it.path / "seed.iso", instance),),
        )
        with running(machine, it.path, accelerator=accelerator, notice=report) as guest:
            outcomes = tuple(_outcomes(trial, guest, key, report))
            it.keep_logs = not all(outcome.passed for outcome in outcomes)
            return Result(
                image=trial.image,
                accelerator=accelerator.name,
                outcomes=outcomes,
                console_log=guest.folder.console if it.keep_logs else None,
                console_tail=guest.last_lines() if it.keep_logs else (),
            )


def _outcomes(trial: Trial, guest: RunningMachine, key: KeyPair, report: Callable[[str], None]) -> Iterator[Outcome]:
    try:
        login = log_in(guest, trial.user, key.private, timeout=trial.timeout)
    except BootFailed as error:
        words = [
            error.message,
            *([f"cause: {error.cause}"] if error.cause else []),
            *([error.hint] if error.hint else []),
        ]
        report(error.message)
        yield Outcome(name=LOGIN, passed=False, seconds=guest.seconds, output="\n".join(words))
        return
    seconds = guest.seconds
    report(f"login as {trial.user} after {seconds:.1f} s")
    yield Outcome(name=LOGIN, passed=True, seconds=seconds)
    for check in trial.checks:
        ran = login.run(check, timeout=trial.timeout)
        output = ran.stdout + ran.stderr
        if not ran.ok:
            why = {
                CONNECTION_LOST: "ssh failed or the check exited with 255",
                124: "time ran out or it exited with 124",
            }
            output += f"({why.get(ran.status, f'exit status {ran.status}')})"
        report(f"{'passed' if ran.ok else 'FAILED'}: {check} ({ran.seconds:.1f} s)")
        yield Outcome(name=check, passed=ran.ok, seconds=ran.seconds, output=output)
