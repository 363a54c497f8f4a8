"""A plain container needs no CAP_SYS_ADMIN, and where one cannot build it says which permission is lacking."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from imagewright.sandbox.probe import _capabilities
from imagewright.testing.kit import ImageKit

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="a container's root is simulated by root alone"),
    pytest.mark.skipif(not _capabilities() >> 21 & 1, reason="a filter without no_new_privs needs CAP_SYS_ADMIN"),
]

CONTAINER = Path(__file__).parent / "plain_container.py"

PLAIN = 0xA80425FB
"""The capabilities that docker leaves a container: SYS_ADMIN (bit 21) is not among them."""

SETUID = 1 << 7

PROBE = """
import json
from imagewright.sandbox import probe
print(json.dumps([[one.reference, one.message, one.cause, one.hint] for one in probe.problems()]))
"""


def contained(capabilities: int, how: str, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(CONTAINER), f"{capabilities:x}", how, *command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def problems(capabilities: int, how: str, cwd: Path) -> list[list[str]]:
    done = contained(capabilities, how, sys.executable, "-c", PROBE, cwd=cwd)
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_a_container_without_sys_admin_builds_where_nothing_is_filtered(
    sandbox_works: None, image_kit: ImageKit
) -> None:
    """As with docker's --security-opt seccomp=unconfined and systempaths=unconfined: a documented way to run."""
    script = "import sys; from imagewright.cli.main import disk_image_create; sys.exit(disk_image_create())"
    path = ":".join(map(str, image_kit.flavour_path))
    options = ["-t", "tar", "-o", "demo", "--skip-base", "--cache-dir", str(image_kit.cache), "--flavour-path", path]
    done = contained(PLAIN, "unconfined", sys.executable, "-c", script, *options, "toy", cwd=image_kit.output)
    assert done.returncode == 0, done.stderr
    assert (image_kit.output / "demo.tar").is_file()


def test_the_filter_of_a_plain_container_is_named_with_the_options_that_lift_it(
    sandbox_works: None, tmp_path: Path
) -> None:
    ((reference, message, cause, hint),) = problems(PLAIN, "filtered", tmp_path)
    assert reference == "no-user-namespaces"
    assert "seccomp filter refuses the system call unshare" in message
    assert "CAP_SYS_ADMIN" in cause
    assert "docker run --security-opt seccomp=unconfined" in hint
    assert "podman: --security-opt seccomp=unconfined --security-opt unmask=ALL" in hint


def test_a_build_in_a_plain_container_says_the_same_before_any_work(sandbox_works: None, image_kit: ImageKit) -> None:
    script = "import sys; from imagewright.cli.main import disk_image_create; sys.exit(disk_image_create())"
    path = ":".join(map(str, image_kit.flavour_path))
    options = ["-t", "tar", "-o", "demo", "--skip-base", "--cache-dir", str(image_kit.cache), "--flavour-path", path]
    done = contained(PLAIN, "filtered", sys.executable, "-c", script, *options, "toy", cwd=image_kit.output)
    assert done.returncode == 4
    assert "seccomp filter refuses the system call unshare" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(image_kit.output.iterdir()) == []


def test_a_container_that_dropped_a_capability_names_it(sandbox_works: None, tmp_path: Path) -> None:
    ((_reference, _message, cause, hint),) = problems(PLAIN & ~SETUID, "unconfined", tmp_path)
    assert cause.startswith("root lacks the capabilities SETUID here")
    assert hint.startswith("docker run --cap-add SETUID ")
