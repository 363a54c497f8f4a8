"""Completion as each shell itself asks for it, with the script that it was given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASKING = {
    "bash": (
        "bash", "--norc", "-c",
        'eval "$(imagewright completion bash)"; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1));'
        ' function=$(complete -p {program} | sed "s/.*-F \\([^ ]*\\).*/\\1/"); $function {program};'
        ' printf "%s\\n" "${{COMPREPLY[@]}}"',
    ),
    # its own functions of completion need a terminal, so they are told to show what they were given
    "zsh": (
        "zsh", "-f", "-c",
        "typeset -A function_of; compdef() {{ function_of[$2]=$1 }}; _arguments() {{ print -r -- $@ }}; _files() {{ }};"
        ' eval "$(imagewright completion zsh)"; words=({words}); CURRENT=${{#words}}; ${{function_of[{program}]}}',
    ),
    "fish": ("fish", "--no-config", "-c", "imagewright completion fish | source; complete -C '{words}'"),
}  # fmt: skip


def completed(shell: str, words: str, folder: Path) -> str:
    """What a shell offers for the last of some words."""
    if shutil.which(shell) is None:
        pytest.skip(f"the host has no {shell}")
    *start, script = ASKING[shell]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "FLAVOURS_PATH": str(folder / "flavours"),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
    }
    argv = [*start, script.format(words=words, program=words.split()[0])]
    done = subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("greeting", "greetings", "other"):
        (tmp_path / "flavours" / name).mkdir(parents=True)
        (tmp_path / "flavours" / name / "flavour.toml").write_text(f'summary = "{name}"\n')
    return tmp_path


@pytest.mark.parametrize("shell", ASKING)
@pytest.mark.parametrize("line", ["disk-image-create gree", "imagewright flavours show gree"])
def test_a_shell_offers_the_flavours_that_begin_so(folder: Path, shell: str, line: str) -> None:
    offered = completed(shell, line, folder)
    assert "greeting" in offered
    assert "greetings" in offered
    assert "other" not in offered.replace(str(folder), "")


@pytest.mark.parametrize("shell", ASKING)
def test_a_shell_is_offered_options_too(folder: Path, shell: str) -> None:
    assert "--repository-login" in completed(shell, "disk-image-create --repository-l", folder)


@pytest.mark.parametrize("shell", ASKING)
def test_a_shell_is_offered_the_images_of_the_file(folder: Path, shell: str) -> None:
    file = folder / "images.toml"
    file.write_text('[images."web-{size}"]\nflavours = ["x"]\nmatrix.size = [1, 2]\n[images.other]\nflavours = ["x"]\n')
    offered = completed(shell, f"imagewright build {file} --only w", folder)
    assert "web-1" in offered
    assert "web-2" in offered
    assert "other" not in offered
