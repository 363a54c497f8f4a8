"""A flavour's Python function on the host: the caller's, in a process of its own, and no trouble to the builder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from imagewright.errors import PlanError, StepFailed
from imagewright.testing.kit import ImageKit

PACK = """
    import ctypes
    import os
    import sys
    import time
    from pathlib import Path

    from imagewright.api import Call, Flavour, ImagewrightError, Parameter, Step, hookimpl
    from imagewright.errors import PlanError

    def bring(context, word):
        extra = Path(context.environment["TMP_HOOKS_PATH"])
        (extra / "word").write_text(word)
        umask = os.umask(0o022)
        print(f"uid {{os.getuid()}} pid {{os.getpid()}} umask {{umask:o}} stdin {{os.readlink('/proc/self/fd/0')}}")
        print("variables", *sorted(os.environ))
        os.environ["LEFT_BEHIND"] = "yes"
        os.chdir("/tmp")

    def refuse(context, word):
        raise PlanError("no-word", f"there is no {{word}}", hint="say another")

    def stumble(context, word):
        return 1 // 0

    def blab(context, word):
        raise PlanError("no-entry", "the server refuses " + word, where=("with: " + word,), cause=word, hint=word)

    def crash(context, word):
        print("about to crash")
        ctypes.string_at(0)

    def leave(context, word):
        sys.exit(3)

    def spread(context, word):
        if not os.fork():
            os.setsid()
            time.sleep(60)
        print("has spread")

    class Calling(Flavour):
        summary = "brings a word"
        parameters = (Parameter(name="word", {more}, help="a word"),)

        @hookimpl
        def extra_data(self, ctx):
            call = Call(function="{module}:{function}", arguments={{"word": ctx.parameters["word"]}})
            return (Step(id="10-bring", action=call),)
"""


def calling(kit: ImageKit, function: str, more: str = "default='hello'") -> ImageKit:
    name = f"calling-{function}"
    source = PACK.format(module=name.replace("-", "_"), function=function, more=more)
    kit.pack(name, source, {"calling": "Calling"})
    return kit


def test_a_function_runs_as_the_caller_in_a_process_of_its_own(image_kit: ImageKit) -> None:
    image_kit.flavour("taking", {"install.d/10-take": "#!/bin/sh\ncp /tmp/in_target.d/word /word\n"})
    directory, before = Path.cwd(), os.umask(0o077)
    try:
        built = calling(image_kit, "bring").build("calling", "taking", settings={"calling.word": "hé"})
    finally:
        os.umask(before)
    assert built.read("word") == "hé"
    said = next(line.split() for line in built.log.splitlines() if line.startswith("uid "))
    assert said[1] == str(os.getuid())
    assert said[3] != str(os.getpid())
    assert said[5] == "22"
    variables = next(line for line in built.log.splitlines() if line.startswith("variables ")).split()
    assert {"TMP_HOOKS_PATH", "HOME", "WORD", "SOURCE_DATE_EPOCH"} <= set(variables)
    assert "PYTHONPATH" not in variables
    assert "LEFT_BEHIND" not in os.environ
    assert Path.cwd() == directory


def test_the_error_that_a_function_raises_is_the_builds(image_kit: ImageKit) -> None:
    error = calling(image_kit, "refuse").fails("calling", kind=PlanError, match="there is no hello")
    assert error.hint == "say another"
    assert "step: extra-data/10-bring" in error.where


def test_a_secret_in_the_error_of_a_function_is_masked(image_kit: ImageKit) -> None:
    kit = calling(image_kit, "blab", "secret=True")
    error = kit.fails("calling", kind=PlanError, match="refuses", settings={"calling.word": "s3cr3t-w0rd"})
    assert "s3cr3t-w0rd" not in str(error)
    assert (error.message, error.cause, error.hint) == ("the server refuses ***", "***", "***")
    assert "with: ***" in error.where


def test_a_function_that_stumbles_is_blamed_with_its_line(image_kit: ImageKit) -> None:
    error = calling(image_kit, "stumble").fails("calling", kind=StepFailed, match="ZeroDivisionError")
    assert any("calling_stumble.py, line" in line for line in error.where)


@pytest.mark.parametrize(("function", "match"), [("crash", "killed by signal 11"), ("leave", "SystemExit: 3")])
def test_a_function_that_ends_its_process_does_not_end_the_builder(
    image_kit: ImageKit, function: str, match: str
) -> None:
    calling(image_kit, function).fails("calling", kind=StepFailed, match=match)


@pytest.mark.timeout(40)
def test_what_a_function_started_ends_with_it(image_kit: ImageKit) -> None:
    assert "has spread" in calling(image_kit, "spread").build("calling").log
