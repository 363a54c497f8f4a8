"""What the commands that build share: options, the log beside the screen, and the paths on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from imagewright.building.results import BuildResult
from imagewright.cli.commands.logs import LogFile
from imagewright.cli.invocation import Invocation
from imagewright.cli.messages import print_document
from imagewright.cli.places import cache_folder
from imagewright.cli.render.choose import Monitors, display
from imagewright.cli.repositories import repositories_of
from imagewright.errors import ImagewrightError
from imagewright.events import Monitor
from imagewright.sandbox.limits import MIB, Limits
from imagewright.supplychain.request import Beside
from imagewright.supplychain.signing import Signers

_Result = TypeVar("_Result")


def shared_request(invocation: Invocation) -> dict[str, Any]:
    """The fields of a :class:`~imagewright.request.Request` that mean the same for every kind of output."""
    values = invocation.values
    return {
        "arch": values["arch"],
        "packages": values["package"],
        "allow": values["allow"],
        "release": values["release"],
        "mirror": values["mirror"],
        "cloud_images": values["cloud-images"],
        "base_image_file": values["base-image-file"],
        "repositories": repositories_of(values),
        "flavour_path": values["flavour-path"],
        "settings": values["set"],
        "overrides": values["override"],
        "default_operating_system": values["operating-system"],
        "cache_dir": (values["cache-dir"] or cache_folder()).absolute(),
        "work_dir": values["work-dir"].absolute() if values["work-dir"] else None,
        "ca_certificate": values["ca-certificate"].absolute() if values["ca-certificate"] else None,
        "offline": values["offline"],
        "network": values["network"],
        "limits": Limits(
            seconds=values["step-timeout"],
            memory=values["step-memory"] * MIB,
            output=values["step-output"] * MIB,
        ),
        "no_cache": values["no-cache"],
        "refresh": values["refresh"],
        "lock": values["lock"].absolute() if values["lock"] else None,
        "start_from": values["from"],
        "shell_on_failure": values["shell-on-failure"],
        "trace": values["trace"],
        "beside": Beside(
            bill=values["sbom"],
            provenance=values["provenance"],
            signers=Signers(
                file=values["sign-key"].absolute() if values["sign-key"] else None,
                gpg=values["sign-gpg"],
            ),
        ),
        "environment": invocation.environment,
    }


def run_build(
    kind: str, output: Path, cache_dir: Path, build: Callable[[Monitor, Path], BuildResult], invocation: Invocation
) -> None:
    """Run ``build`` with a monitor and the path of its log, and print the paths that it wrote.

    ``kind`` names the output in JSON. Raises what the build raises; the error names the log, if there is one.
    """
    values = invocation.values
    log = LogFile.choose(values["log-file"], cache_dir, output.name)
    invocation.screen.log = log.path
    with display(values["progress"], invocation.environment) as shown:
        result = build_logged(build, shown, log)
    invocation.screen.written = result.paths
    if values["json"]:
        print_document(
            {
                kind: output.name,
                "paths": [str(path) for path in result.paths],
                "seconds": round(result.seconds, 3),
                "log": str(log.path),
            }
        )
    else:
        sys.stdout.write("".join(f"{path}\n" for path in result.paths))


def build_logged(build: Callable[[Monitor, Path], _Result], shown: Monitor, log: LogFile) -> _Result:
    """Run ``build`` with ``log`` beside the monitor ``shown``. Raises what it raises; the error names the log."""
    with log:
        try:
            return build(Monitors(log, shown), log.path)
        except ImagewrightError as error:
            log.note(str(error))
            if log.begun and str(log.path) not in str(error):
                error.where = (*error.where, f"log: {log.path}")
            raise
        except BaseException as error:
            log.note(f"ended by {type(error).__name__}")
            raise
