"""Rules about what scripts do: where they run decides what they may touch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from imagewright.checking.findings import Hit, Level, Rule
from imagewright.checking.shell import SHELLS, Command, unwrapped
from imagewright.checking.subjects import FlavourSubject, ScriptSubject
from imagewright.types import Place

BUILDING = frozenset(Place) - {Place.BOOTED}
BUILDERS = frozenset({Place.HOST, Place.OUTSIDE, Place.DISK})
"""Where absolute paths are those of the machine that builds."""

IGNORE = re.compile(r"#\s*imagewright:\s*ignore=([a-z0-9,-]+)")

LOOP_PROGRAMS = frozenset({"losetup", "kpartx", "dmsetup", "partprobe", "partx", "qemu-nbd"})
STARTING = frozenset({"start", "restart", "stop", "reload", "try-restart", "reload-or-restart", "force-reload"})
FETCHERS = frozenset({"curl", "wget"})
CHECKERS = frozenset({"sha256sum", "sha512sum", "gpgv", "gpg", "sqv", "openssl", "minisign", "cosign"})
INTERPRETERS = SHELLS | {"python", "python3", "perl"}
CHANGING = frozenset({"install", "upgrade", "dist-upgrade", "full-upgrade", "remove", "purge", "autoremove"})
LAST_ARGUMENT = frozenset({"cp", "install", "ln", "rsync"})
ALL_ARGUMENTS = frozenset({"rm", "rmdir", "mkdir", "touch", "truncate", "tee", "mv", "unlink", "shred"})
BUT_THE_FIRST = frozenset({"chmod", "chown", "chgrp"})
HARMLESS = re.compile(r"/dev/(null|stdout|stderr|tty|fd/.*)|/proc/self/fd/.*|/(var/)?tmp(/.*)?")
HOMES = re.compile(r"(/home/|/root(/|$)|~|\$\{?HOME\b)")


def ignored(script: ScriptSubject, line: int, rule: str) -> bool:
    """Whether the script says, on the line or the one before, that a rule does not matter there."""
    lines = script.text.splitlines()
    near = [lines[number - 1] for number in (line, line - 1) if 0 < number <= len(lines)]
    return any(rule in found[1].split(",") for found in map(IGNORE.search, near) if found)


def place_of(script: ScriptSubject) -> Place | None:
    """Who runs it; None for a piece of ``/init``."""
    return script.phase.place if script.phase is not None else None


def _shells(flavour: FlavourSubject, places: frozenset[Place]) -> Iterator[ScriptSubject]:
    return (script for script in flavour.scripts if script.is_shell and place_of(script) in places)


def _each(
    look: Callable[[ScriptSubject, Command], Iterable[tuple[str, str]]], places: frozenset[Place]
) -> Callable[[FlavourSubject], Iterator[Hit]]:
    """A check that looks at every command of the scripts that run in ``places``; ``look`` gives message and fix."""

    def check(flavour: FlavourSubject) -> Iterator[Hit]:
        for script in _shells(flavour, places):
            for command in script.reading.commands:
                for message, fix in look(script, command):
                    yield Hit(file=script.file, line=command.line, message=message, fix=fix)

    return check


# -- the file itself


def _interpreter(flavour: FlavourSubject) -> Iterator[Hit]:
    for script in flavour.scripts:
        if script.phase is None or script.content.startswith(b"\x7fELF"):
            continue
        first = script.content.split(b"\n", 1)[0]
        if not first.startswith(b"#!"):
            yield Hit(file=script.file, line=1, message="the script has no interpreter line", fix="begin it: #!/bin/sh")
        elif not first[2:].strip().startswith(b"/"):
            yield Hit(
                file=script.file,
                line=1,
                message=f"`{first.decode(errors='replace')}` names no absolute path",
                fix="#!/bin/sh, or #!/usr/bin/env NAME",
            )


def _line_ends(flavour: FlavourSubject) -> Iterator[Hit]:
    for script in flavour.scripts:
        if b"\r\n" in script.content and not script.content.startswith(b"\x7fELF"):
            line = script.content[: script.content.index(b"\r\n")].count(b"\n") + 1
            yield Hit(
                file=script.file,
                line=line,
                message="a line ends as under Windows (CR LF)",
                fix=f"sed -i 's/\\r$//' {script.file}",
            )


def _errexit(flavour: FlavourSubject) -> Iterator[Hit]:
    for script in _shells(flavour, frozenset(Place)):
        if len(script.reading.commands) < 2:
            continue
        first = script.text.partition("\n")[0]
        options = [word for command in script.reading.commands if command.program == "set" for word in command.words]
        if not any(re.fullmatch(r"-[a-z]*e[a-z]*|errexit", word) for word in [*options, *first.split()[1:]]):
            yield Hit(
                file=script.file, line=1, message="the script goes on after a command that fails", fix="add: set -eu"
            )


# -- commands


def _service(script: ScriptSubject, command: Command) -> Iterator[tuple[str, str]]:
    inner = unwrapped(command)
    arguments, program = inner.arguments, inner.program
    if not inner.words:
        return
    if program == "systemctl":
        starts = bool(STARTING.intersection(arguments[:1])) or "--now" in inner.options
    elif program in {"service", "invoke-rc.d"}:
        starts = bool(STARTING.intersection(arguments[1:2]))
    else:
        starts = inner.words[0].startswith("/etc/init.d/") and bool(STARTING.intersection(arguments[:1]))
    if starts:
        yield (
            f"`{' '.join(inner.words)}` starts or stops a service",
            "enable it, and it starts at boot: systemctl enable NAME",
        )


def _loop(script: ScriptSubject, command: Command) -> Iterator[tuple[str, str]]:
    inner = unwrapped(command)
    device = next(
        (word for word in (*inner.words, *inner.writes) if re.match(r"(of=|if=)?/dev/(loop|mapper/|nbd)", word)), ""
    )
    if inner.program in LOOP_PROGRAMS or device:
        fix = '`sfdisk "$IMAGE_BLOCK_DEVICE"` works on the disk file, and the core fills the partitions'
        yield f"`{device or inner.program}` needs a loop device or the device mapper", fix


def _mount(script: ScriptSubject, command: Command) -> Iterator[tuple[str, str]]:
    inner = unwrapped(command)
    if inner.program not in {"mount", "umount"} or len(inner.words) < 2:
        return
    if place_of(script) is Place.TARGET:
        # a mount of a step's own is gone with the step, and so does no harm
        if inner.arguments and inner.arguments[-1].rstrip("/") in {"/proc", "/sys", "/dev", "/dev/pts", "/dev/shm"}:  # noqa: S108
            yield f"`{' '.join(inner.words)}`: a step has its own already", "leave it out"
        return
    host = place_of(script) is Place.HOST
    fix = (
        "read the files with a program that needs no mount, such as bsdtar" if host else "use files below $TARGET_ROOT"
    )
    yield f"`{' '.join(inner.words)}` needs a right that a build has not", fix


def _kernel(script: ScriptSubject, command: Command) -> Iterator[tuple[str, str]]:
    if command.program == "uname" and any(
        re.fullmatch(r"-[a-z]*[ra][a-z]*|--kernel-release", w) for w in command.words
    ):
        known = place_of(script) is not Place.HOST
        fix = '"$IMAGE_KERNEL"' if known else "ask in `install.d` or later, where IMAGE_KERNEL is set"
        yield f"`{' '.join(command.words)}` is the kernel that runs on the machine that builds", f"use {fix}"


def _sudo(script: ScriptSubject, command: Command) -> Iterator[tuple[str, str]]:
    if command.program in {"sudo", "su", "doas", "pkexec"}:
        fix = "move what needs root to a later phase, where a script is root: `pre-install.d`, `cleanup.d`"
        if command.program == "sudo":
            yield "`sudo` makes nobody root on the host: the script stays whoever builds", fix
        else:
            yield f"`{command.program}` asks whoever builds for root of their machine", fix


def written(command: Command) -> tuple[str, ...]:
    """The words that name what a command writes, changes or removes, as far as its program is known."""
    inner = unwrapped(command)
    arguments, program = inner.arguments, inner.program
    targets = list(inner.writes)
    if program in LAST_ARGUMENT and "-d" in inner.options:
        targets += arguments
    elif program in LAST_ARGUMENT and len(arguments) > 1:
        targets.append(arguments[-1])
    elif program in ALL_ARGUMENTS:
        targets += arguments
    elif program in BUT_THE_FIRST:
        targets += arguments[1:]
    elif program in {"sed", "perl"} and any(re.match(r"-[a-zA-Z]*i|--in-place", word) for word in inner.options):
        targets += arguments[1:] or arguments
    elif program == "dd":
        targets += [word[3:] for word in arguments if word.startswith("of=")]
    return tuple(targets)


def _host_home(script: ScriptSubject, command: Command) -> Iterator[tuple[str, str]]:
    for target in written(command):
        if HOMES.match(target):
            where = "$TMP_HOOKS_PATH" if place_of(script) is Place.HOST else f"$TARGET_ROOT{target}"
            yield f"`{target}` is in a home of the machine that builds", f"write to {where}"


def _host_path(script: ScriptSubject, command: Command) -> Iterator[tuple[str, str]]:
    for target in written(command):
        if target.startswith("/") and not HOMES.match(target) and not HARMLESS.fullmatch(target):
            host = place_of(script) is Place.HOST
            where = '"$TMP_HOOKS_PATH"' if host else f'"$TARGET_ROOT{target}"'
            yield f"`{target}` is a path of the machine that builds", f"write to {where}"


def _piped_download(script: ScriptSubject, command: Command) -> Iterator[tuple[str, str]]:
    reader = command.piped_into[0].rpartition("/")[2] if command.piped_into else ""
    if unwrapped(command).program in FETCHERS and reader in INTERPRETERS:
        fix = "fetch it to a file, compare it with a digest that the flavour carries (sha256sum -c), then run it"
        yield f"what {unwrapped(command).program} fetches is run unseen by {reader}", fix


def _unverified(flavour: FlavourSubject) -> Iterator[Hit]:
    for script in _shells(flavour, frozenset(Place)):
        commands = [unwrapped(command) for command in script.reading.commands]
        if any(command.program in CHECKERS for command in commands):
            continue
        for command in commands:
            if command.program in FETCHERS and not command.piped_into:
                yield Hit(
                    file=script.file,
                    line=command.line,
                    message=f"nothing checks what {command.program} fetches",
                    fix="sha256sum -c with a digest that the flavour carries, or gpgv with a key",
                )


def _asks(script: ScriptSubject, command: Command) -> Iterator[tuple[str, str]]:
    inner = unwrapped(command)
    if inner.program not in {"apt-get", "apt", "aptitude"} or not set(inner.arguments) & CHANGING:
        return
    quiet = r"-[a-zA-Z]*y[a-zA-Z]*|-qq|--yes|--assume-yes|--download-only|-s|--simulate"
    if not any(re.fullmatch(quiet, word) for word in inner.options):
        yield f"`{' '.join(inner.words)}` asks, and there is nobody to answer", f"{inner.program} -y ..."


RULES: tuple[Rule[FlavourSubject], ...] = (
    Rule(
        name="interpreter-line",
        what="a script without `#!`",
        reason="the kernel cannot run it: exec format error",
        check=_interpreter,
    ),
    Rule(
        name="line-ends",
        what="line ends of Windows in a script",
        reason="the interpreter would be looked for under a name that ends in a carriage return",
        check=_line_ends,
    ),
    Rule(
        name="errors-ignored",
        what="a shell script without `set -e`",
        reason="a step fails by its exit status; without `set -e` that is the status of the last command alone",
        check=_errexit,
        level=Level.WARNING,
    ),
    Rule(
        name="service-start",
        what="`systemctl start`, `service NAME restart`, `enable --now` and the like",
        reason="no service runs in a tree that is being built, and none may be started there",
        check=_each(_service, frozenset({Place.TARGET, Place.OUTSIDE})),
    ),
    Rule(
        name="loop-device",
        what="`losetup`, `kpartx`, `/dev/loop…`, `/dev/mapper/…`",
        reason="a build has no root of the host and no loop devices",
        check=_each(_loop, BUILDING),
    ),
    Rule(
        name="mount",
        what="`mount` and `umount` outside the target, and of `/proc`, `/sys`, `/dev` inside",
        reason="what a step mounts is gone when it ends, and without root no disk can be mounted",
        check=_each(_mount, BUILDING),
        level=Level.WARNING,
    ),
    Rule(
        name="running-kernel",
        what="`uname -r` where `IMAGE_KERNEL` is meant",
        reason="it is the kernel of the machine that builds, not that of the image",
        check=_each(_kernel, BUILDING),
    ),
    Rule(
        name="sudo-on-host",
        what="`sudo` in `block-device-size.d` and `extra-data.d`",
        reason="these phases run as the caller on the caller's machine, and a build needs no root",
        check=_each(_sudo, frozenset({Place.HOST})),
    ),
    Rule(
        name="host-home",
        what="writing to `/home`, `/root` or `$HOME` outside the target",
        reason="there it is the home of whoever builds, or of nobody",
        check=_each(_host_home, BUILDERS),
    ),
    Rule(
        name="host-path",
        what="writing to an absolute path without `$TARGET_ROOT` outside the target",
        reason="outside the target an absolute path leads to the machine that builds",
        check=_each(_host_path, BUILDERS),
    ),
    Rule(
        name="piped-download",
        what="`curl … | sh`",
        reason="whoever answers the address decides what is in the image",
        check=_each(_piped_download, frozenset(Place)),
        level=Level.WARNING,
    ),
    Rule(
        name="unverified-download",
        what="`curl` or `wget` in a script that checks no digest and no signature",
        reason="the same plan should give the same image, whatever the server says tomorrow",
        check=_unverified,
        level=Level.WARNING,
    ),
    Rule(
        name="package-manager-asks",
        what="`apt-get install` without `-y`",
        reason="scripts have no standard input, so the answer is no",
        check=_each(_asks, BUILDING),
    ),
)
"""The rules of this page, in the order of their findings."""
