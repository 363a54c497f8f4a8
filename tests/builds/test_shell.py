"""A shell in the root tree: where a step failed, and at any step that one names."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from imagewright.testing.kit import ImageKit, program
from imagewright.testing.person import Person

from .layers_kit import SH, STEPS, layers, ran

BROKEN = {
    "install.d/10-one": SH + "mkdir /srv\necho one >/srv/one\n",
    "install.d/20-two": SH + "echo half >/srv/two\nsecret=$BROKEN_WORD\nexit 9\n",
    "install.d/word": "beside",
    "flavour.toml": "[parameters.word]\ndefault = 'given'\n",
}


@pytest.fixture
def kit(image_kit: ImageKit) -> ImageKit:
    image_kit.flavour("steps", STEPS)
    image_kit.flavour("broken", BROKEN)
    return image_kit


@pytest.fixture
def person() -> Iterator[Person]:
    someone = Person()
    yield someone
    someone.leave()


def at_terminal(kit: ImageKit, person: Person, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A command whose terminal is the person's."""
    return subprocess.Popen(
        [program(name), *arguments],
        env=kit.environment(TERM="xterm"),
        cwd=kit.output,
        stdin=person.screen,
        stdout=person.screen,
        stderr=person.screen,
        start_new_session=True,
    )


def test_a_failed_step_opens_a_shell_in_the_tree_as_it_left_it(kit: ImageKit, person: Person) -> None:
    build = at_terminal(
        kit, person, "disk-image-create", "--shell-on-failure", "--skip-base", "-t", "tar", "toy", "broken"
    )
    person.wait_for("[install/20-two]")
    # the tree, the step's half work, its files and its variables; quotes keep the typed words from being taken for them
    person.type('echo "saw $(cat /srv/one) $(cat /srv/two) $(cat /tmp/in_target.d/install.d/word) $BROKEN_WORD"\n')
    person.wait_for("saw one half beside given")
    person.type('echo "as $(id -u) in $IMAGE_NAME" >/srv/mine; echo "my: $(cat /srv/mine)"; exit 3\n')
    person.wait_for("my: as 0 in image")
    # then the failure as usual
    assert build.wait(120) == 1
    person.wait_for("failed with exit status 9")
    person.wait_for("step: install/20-two")
    assert not list(kit.output.iterdir())
    assert not list(kit.work.iterdir())
    assert "install/20-two" not in layers(kit)
    # the screen of the build is drawn again after the shell, and it was away before
    assert person.shown.count(b"Building image") >= 1


def test_without_a_terminal_a_failure_says_once_that_there_is_no_shell(kit: ImageKit) -> None:
    done = kit.command(
        "disk-image-create", "--shell-on-failure", "--skip-base", "-t", "tar", "toy", "broken", check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("no shell is opened") == 1
    assert "failed with exit status 9" in done.stderr


def test_a_command_sees_the_tree_before_and_after_a_step_and_leaves_no_trace(kit: ImageKit) -> None:
    look = ("sh", "-c", "ls /srv; echo x >/srv/trace; echo to stderr >&2; exit 4")
    before = kit.command(
        "imagewright", "shell", "--skip-base", "install/20-two", "toy", "steps", "--", *look, check=False
    )
    assert before.returncode == 4, before.stderr
    assert before.stdout.split() == ["box", "one", "to", "stderr"]
    assert "before install/20-two; nothing that changes there is kept" in before.stderr
    after = kit.command(
        "imagewright", "shell", "--after", "--skip-base", "install/20-two", "toy", "steps", "--", *look, check=False
    )
    assert after.stdout.split() == ["box", "one", "two", "to", "stderr"]
    assert not list(kit.work.iterdir())
    # what ran up to there is kept as by a build, and nothing of the visit
    assert "install/20-two" in layers(kit)
    assert "install/30-three" not in layers(kit)
    built = kit.build("steps")
    assert "install/20-two" not in ran(built)
    assert "install/30-three" in ran(built)
    assert not built.exists("srv/trace")


def test_a_command_reads_standard_input_and_sees_a_step_outside_the_tree_as_its_scripts_do(kit: ImageKit) -> None:
    done = subprocess.run(
        [program("imagewright"), "shell", "--skip-base", "cleanup/90-toypm", "toy", "steps", "--", "sh", "-c", SEEING],
        env=kit.environment(),
        cwd=kit.output,
        input="typed before",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:3] == ["/run/imagewright/target", "first", "typed before"]


SEEING = 'pwd -P; cat "$TARGET_ROOT/srv/three"; echo; cat'


def test_a_shell_at_a_step_has_the_terminal_to_itself(kit: ImageKit, person: Person) -> None:
    shell = at_terminal(kit, person, "imagewright", "shell", "--skip-base", "finalise/40-four", "toy", "steps")
    person.wait_for("[finalise/40-four] / # ")
    person.type("echo $((6 * 7)) ${#IMAGE_ROOT_UUID} $TERM; exit 5\n")
    person.wait_for("42 36 xterm")
    assert shell.wait(120) == 0
    assert not list(kit.work.iterdir())


def test_a_builder_that_is_ended_under_a_shell_clears_up_and_gives_the_terminal_back(
    kit: ImageKit, person: Person
) -> None:
    import termios

    before = termios.tcgetattr(person.screen)
    shell = at_terminal(kit, person, "imagewright", "shell", "--skip-base", "install/20-two", "toy", "steps")
    person.wait_for("[install/20-two] / # ")
    shell.terminate()
    assert shell.wait(120) == 143
    assert termios.tcgetattr(person.screen) == before
    assert not list(kit.work.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no step was named"),
        (("install/20-two", "toy", "steps"), "a shell needs a terminal"),
        (("install/20-tow", "toy", "steps", "--", "true"), "did you mean install/20-two?"),
        (("block-device/10-x", "toy", "steps", "--", "true"), "the build has no step"),
        (("extra-data/10-x", "toy", "data", "--", "true"), "the step `extra-data/10-x` runs in no root tree"),
    ],
)
def test_what_cannot_be_entered_is_said_at_once(kit: ImageKit, arguments: tuple[str, ...], said: str) -> None:
    kit.flavour("data", {"extra-data.d/10-x": SH})
    done = kit.command("imagewright", "shell", "--skip-base", *arguments, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(Path(kit.work).iterdir())


def test_completion_offers_the_steps_of_what_was_built_last(kit: ImageKit) -> None:
    from imagewright.cli.completion import steps

    assert list(steps("install/", str(kit.cache))) == []
    kit.build("steps")
    offered = [name for name, _help in steps("", str(kit.cache))]
    assert "install/20-two" in offered
    assert "root/10-busybox" in offered
    assert [name for name, _help in steps("install/2", str(kit.cache))] == ["install/20-two"]
    assert os.listdir(kit.cache / "plans")
