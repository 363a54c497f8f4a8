"""Every failure a user can cause, as one tree; its exit codes are those of the manual.

::

    ImagewrightError              exit 1
    ├── StepFailed                exit 1   a step of a build ended badly
    ├── VerificationFailed        exit 1   a file is not the one that somebody trusted signed
    ├── UsageError                exit 2   an option, a variable or a settings file is wrong
    ├── PlanError                 exit 3   what was asked for cannot be planned
    ├── HostError                 exit 4   the host lacks a tool, a right or space
    └── ContractError             exit 5   a flavour or driver broke the contract or did not load
"""

from __future__ import annotations

from collections.abc import Callable


class ImagewrightError(Exception):
    """One clear message: what, where, the likely cause, and the next command.

    ``reference`` is a stable kebab-case name of the kind of failure; ``message`` is one sentence without a final
    period; ``where`` holds lines that place it (flavour, distribution, file, step); ``cause`` is the likely reason
    and ``hint`` what to do next. ``option`` is the option, without dashes, whose value is to blame, if one is: the
    command adds where that value came from.
    """

    exit_code = 1

    def __init__(
        self,
        reference: str,
        message: str,
        *,
        where: tuple[str, ...] = (),
        cause: str = "",
        hint: str = "",
        option: str = "",
    ) -> None:
        super().__init__(message)
        if not all(part.isalnum() and part.islower() for part in reference.split("-")):
            raise ValueError(f"{reference!r} is not a kebab-case reference")
        self.reference = reference
        self.message = message
        self.where = where
        self.cause = cause
        self.hint = hint
        self.option = option

    def change(self, change: Callable[[str], str]) -> None:
        """Put every text of the message through ``change``, which takes out what nobody may read."""
        self.message, self.cause, self.hint = change(self.message), change(self.cause), change(self.hint)
        self.where = tuple(change(line) for line in self.where)

    def __str__(self) -> str:
        """The whole message as plain lines, as a log shows it."""
        lines = [self.message, *(f"  {line}" for line in self.where)]
        if self.cause:
            lines.append(f"cause: {self.cause}")
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class StepFailed(ImagewrightError):
    """A step of a build ended badly."""


class VerificationFailed(ImagewrightError):
    """A file is not the one that somebody trusted signed."""


class UsageError(ImagewrightError):
    """An option, an environment variable or a settings file is wrong."""

    exit_code = 2


class PlanError(ImagewrightError):
    """What was asked for cannot be planned: unknown flavour, conflict, cycle, size."""

    exit_code = 3


class HostError(ImagewrightError):
    """The host lacks a tool, a right or space."""

    exit_code = 4


class ContractError(ImagewrightError):
    """A flavour or a driver broke the contract or did not load."""

    exit_code = 5
