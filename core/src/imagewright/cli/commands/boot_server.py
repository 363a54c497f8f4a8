"""``imagewright boot-server``: writes images to machines, serves them over HTTP, keeps reports."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from imagewright.boot.scratch import scratch
from imagewright.bootserver import initiator
from imagewright.bootserver.deployment import Order
from imagewright.bootserver.errors import DeploymentFailed
from imagewright.bootserver.events import Event, Log
from imagewright.bootserver.initiator import Chap
from imagewright.bootserver.protocol import PORT, Endpoint
from imagewright.bootserver.serving import Service, serving
from imagewright.cli.invocation import Invocation
from imagewright.cli.places import cache_folder
from imagewright.errors import HostError, UsageError
from imagewright.reading.errors import ImageUnreadable
from imagewright.reading.images import open_image

EVERYWHERE = Endpoint(address="0.0.0.0", port=PORT)  # noqa: S104 - machines come from every network of this host

ZSTD = b"\x28\xb5\x2f\xfd"
"""How a zstd frame begins (RFC 8878)."""


def run(invocation: Invocation) -> None:
    """Serve until interrupted, or once. Raises DeploymentFailed if what was served once went wrong."""
    values = invocation.values
    image: Path | None = values["image"]
    if image is None and values["reports"] is None:
        raise UsageError(
            "nothing-to-serve",
            "there is nothing to serve",
            hint=f"`{invocation.program} --image web.qcow2`, or `--reports DIR` to collect reports only",
        )
    if image is not None:
        _check_image(image)
    if (values["chap-user"] or values["chap-password"]) and values["keys"] is None:
        raise UsageError(
            "login-for-nothing",
            "`--chap-user` and `--chap-password` are for writing disks over iSCSI, which is not asked for",
            hint="name the file of keys too: --keys FILE",
            option="chap-user" if values["chap-user"] else "chap-password",
        )
    work = Path(values.get("cache-dir") or cache_folder()) / "boot-server"
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch(work)).path
        except OSError as error:
            raise HostError(
                "unwritable-cache", f"the folder {work} cannot be written", cause=error.strerror or str(error)
            ) from error
        service = Service(
            listen=values["listen"] or EVERYWHERE,
            image=image,
            order=_order(values, image, folder),
            keys=_keys(values["keys"]),
            reports=values["reports"],
            once=values["once"],
        )
        with serving(service, folder, _log(as_json=values["json"])) as it:
            if not it.wait():
                raise DeploymentFailed("deployment-failed", "what was served once went wrong, as the log above says")


def _check_image(path: Path) -> None:
    """Raise UsageError for a file that would make no disk, before a machine's own is overwritten with it."""
    try:
        with path.open("rb") as stream:
            # one that is compressed is served as it is; the machine checks its sum
            if stream.read(4) == ZSTD:
                return
        with open_image(path) as image:
            if image.format != "tar":
                return
    except OSError as error:
        raise UsageError(
            "image-unreadable", f"the image {path} cannot be read", cause=error.strerror or str(error), option="image"
        ) from error
    except ImageUnreadable as error:
        raise UsageError(error.reference, error.message, cause=error.cause, hint=error.hint, option="image") from error
    raise UsageError(
        "no-disk",
        f"{path} is a tar, not a disk",
        hint="name a qcow2 or raw image, such as demo.qcow2",
        option="image",
    )


def _order(values: Mapping[str, object], image: Path | None, folder: Path) -> Order | None:
    if values["keys"] is None:
        return None
    if image is None:
        raise UsageError(
            "no-image", "`--keys` is for writing an image, and none was named", hint="name it: --image FILE"
        )
    with image.open("rb") as stream:
        if stream.read(4) == ZSTD:
            raise UsageError(
                "compressed-image",
                f"{image} is compressed, and would come to the disks as it is",
                hint=f"unpack it first: `zstd -d {image}`",
            )
    initiator.check_host()
    connect_to = values["connect-to"]
    assert isinstance(connect_to, tuple)
    return Order(
        image=image,
        keep=str(values["keep"]),
        blank=bool(values["blank"]),
        chap=_chap(str(values["chap-user"]), values["chap-password"], folder),
        connect_to=dict(connect_to),
    )


def _chap(user: str, password: object, folder: Path) -> Chap | None:
    if not user and password is None:
        return None
    if not user or not isinstance(password, Path):
        raise UsageError("half-a-login", "`--chap-user` and `--chap-password` belong together")
    secret = folder / "chap"
    # QEMU takes a newline at the end for a part of the password.
    secret.touch(mode=0o600)
    secret.write_text(password.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    return Chap(user=user, secret=secret)


def _keys(path: Path | None) -> dict[str, str]:
    """The keys of a file with a line ``ID KEY`` for each deployment. Raises UsageError."""
    keys: dict[str, str] = {}
    if path is None:
        return keys
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise UsageError("bad-keys", f"line {number} of {path} has not the form `ID KEY`")
        if words[0] in keys:
            raise UsageError("bad-keys", f"line {number} of {path} has the id {words[0]} again")
        keys[words[0]] = words[1]
    return keys


def _log(*, as_json: bool) -> Log:
    def say(event: Event) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        if as_json:
            line = json.dumps({"time": now, "event": event.kind, "client": event.client, "text": event.text})
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            return
        first, *rest = event.text.splitlines() or [""]
        where = f" {event.client}" if event.client else ""
        sys.stderr.write("\n".join([f"[{now[11:19]}]{where} {event.kind}: {first}", *rest]) + "\n")
        sys.stderr.flush()

    return say
