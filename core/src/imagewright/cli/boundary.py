"""The one place where a failure becomes a message and an exit code.

====  ==============================================================
code  meaning
====  ==============================================================
0     done
1     a step failed, or something unexpected happened
2     an option, a variable or a settings file is wrong
3     what was asked for cannot be planned
4     the host lacks a tool, a right or space
5     a flavour or a driver broke the contract
130   interrupted (Ctrl-C), after cleaning up
143   terminated (SIGTERM), after cleaning up; 129 for SIGHUP
====  ==============================================================
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

from imagewright.cli import messages, streams
from imagewright.cli.screen import Screen
from imagewright.errors import HostError, ImagewrightError, UsageError


class Terminated(BaseException):
    """A signal asked the command to end; raised in the main thread, so that everything is cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _terminate(number: int, frame: FrameType | None) -> None:
    # A second signal must not break the clean-up that the first one began.
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    raise Terminated(number)


def run(
    program: str,
    make_command: Callable[[], Any],
    argv: Sequence[str],
    *,
    answered: Callable[[Screen], bool] | None = None,
) -> int:
    """Run a command of the command line and return its exit code; nothing but the code comes out of it.

    ``answered`` may do the work without typer, and says whether it did.
    """
    streams.make_whole()
    screen = Screen(json="--json" in argv)
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) is not signal.SIG_IGN:
            signal.signal(name, _terminate)
    try:

        def work() -> int:
            if answered is not None and answered(screen):
                return 0
            return _by_typer(program, make_command, list(argv), screen)

        code = _coded(work, screen)
        # what an error message leaves in the buffer is lost with a stdout that takes nothing, and one error is enough
        unwritable = streams.stdout_error(screen)
        return code if code or unwritable is None else _failed(unwritable, screen)
    except BrokenPipeError:
        return _broken_pipe()
    finally:
        streams.settle(sys.stderr)


def say(text: str) -> int:
    """Print what needs no command, such as a version, and return the exit code."""
    streams.make_whole()
    screen = Screen()
    try:
        with suppress(OSError):
            sys.stdout.write(text)
        unwritable = streams.stdout_error(screen)
    except BrokenPipeError:
        return _broken_pipe()
    return 0 if unwritable is None else _failed(unwritable, screen)


def _coded(work: Callable[[], int], screen: Screen) -> int:
    try:
        with warnings.catch_warnings():
            warnings.showwarning = messages.show_warning
            return work()
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        return _ended("interrupted", signal.SIGINT, screen)
    except Terminated as ended:
        return _ended("terminated", ended.number, screen)
    except ImagewrightError as error:
        return _failed(error, screen)
    except Exception as error:
        # a long text fails where it is written, a short one when it is flushed
        unwritable = streams.stdout_error(screen) if isinstance(error, OSError) else None
        return _failed(unwritable, screen) if unwritable else _unexpected(error, screen)


def _by_typer(program: str, make_command: Callable[[], Any], argv: list[str], screen: Screen) -> int:
    import typer
    from typer.exceptions import TyperException

    command = make_command()
    try:
        with command.make_context(program, argv, obj=screen) as ctx:
            command.invoke(ctx)
    except typer.Exit as ended:
        return ended.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except TyperException as error:
        raise _usage(error) from None
    return 0


def _usage(error: Any) -> UsageError:
    """Typer's own complaint in our words."""
    from difflib import get_close_matches

    ctx, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if parameter is not None and ctx is not None:
        _check_variable(ctx, parameter)
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    text = text.strip().partition(" (Possible options:")[0].rstrip(".")
    command = ctx.command_path if ctx is not None else ""
    hint = f"`{command} --help` shows the usage" if command else ""
    near = get_close_matches(getattr(error, "option_name", ""), getattr(error, "possibilities", None) or (), n=1)
    if near:
        hint = f"did you mean `{near[0]}`?"
    return UsageError("usage", text[:1].lower() + text[1:], hint=hint)


def _check_variable(ctx: Any, parameter: Any) -> None:
    """Typer could not read a switch's variable: let our own rules name it. Raises UsageError."""
    from imagewright.cli.options.resolve import from_variable
    from imagewright.cli.options.settings import SETTINGS

    setting = SETTINGS.get(str(parameter.name).rstrip("_").replace("_", "-"))
    source = getattr(ctx.get_parameter_source(parameter.name), "name", "")
    if setting is None or source != "ENVIRONMENT":
        return
    for variable in setting.variables:
        if os.environ.get(variable):
            from_variable(setting, variable, os.environ[variable])


def _ended(word: str, number: int, screen: Screen) -> int:
    if screen.json:
        _tell(lambda: messages.show(ImagewrightError(word, word), as_json=True))
    else:
        _tell(lambda: sys.stderr.write(f"{word}\n"))
    return 128 + number


def _failed(error: ImagewrightError, screen: Screen) -> int:
    _tell(lambda: messages.show(error, as_json=screen.json))
    if screen.debug:
        _tell(lambda: sys.stderr.write(_traceback(error)))
    return error.exit_code


def _unexpected(error: Exception, screen: Screen) -> int:
    fault = fault_of(error, screen)
    _tell(lambda: messages.show(fault, as_json=screen.json))
    if screen.debug:
        _tell(lambda: sys.stderr.write(_traceback(error)))
    return fault.exit_code


def _tell(say: Callable[[], object]) -> None:
    """Say something on a stderr that may take nothing, such as that of a terminal that is gone: the exit code stays."""
    try:
        say()
    except BrokenPipeError:
        raise
    except OSError:
        streams.swallow(sys.stderr)


def fault_of(error: Exception, screen: Screen) -> ImagewrightError:
    """The message for what nobody foresaw; the log of the build, if one was begun, gets the traceback."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = (f"writing {error.filename}",) if error.filename else ()
        hint = "`--cache-dir` and `--work-dir` choose other places"
        return HostError("no-space", "no space is left", where=place, hint=hint)
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        from imagewright.disk.tools import file_too_large

        return file_too_large(f"{error.filename2 or error.filename or 'a file'} cannot be written")
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):  # tempfile's, without a name
        hint = "set TMPDIR to a folder that you may write to; `ulimit -f` must allow files"
        return HostError("no-temporary-folder", "no folder for temporary files can be written to", hint=hint)
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        hint = "end other programs, raise the limit, or build where there is more"
        return HostError("no-memory", "there is not enough memory", hint=hint)
    if isinstance(error, PermissionError) and error.filename:
        hint = "choose another place, or ask its owner"
        return HostError("not-permitted", f"you may not use {error.filename}", hint=hint)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG and error.filename:
        return UsageError(
            "path-too-long",
            "a path is longer than the filesystem takes",
            where=(f"path of {len(os.fsencode(error.filename))} bytes: {str(error.filename)[:60]}…",),
            hint="choose a shorter one; most filesystems take 255 bytes for each name",
        )
    where = [f"{type(error).__name__}: {error}"]
    if _logged(_traceback(error), screen):
        where.append(f"traceback: {screen.log}")
    return ImagewrightError(
        "unexpected",
        "something unexpected happened, a fault of Imagewright or of a flavour",
        where=tuple(where),
        hint="please report it with what `--debug` prints",
    )


def _traceback(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


def _logged(text: str, screen: Screen) -> bool:
    """Whether the log of the build, if one was begun, took the text."""
    try:
        if screen.log is None or not screen.log.is_file():
            return False
        with screen.log.open("a", encoding="utf-8") as log:
            log.write(text)
    except OSError:
        return False
    return True


def _broken_pipe() -> int:
    """The reader of our output went away: be quiet, also when Python closes stdout at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            streams.swallow(stream)
    return 128 + signal.SIGPIPE
