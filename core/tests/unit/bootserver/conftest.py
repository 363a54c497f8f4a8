"""Real iSCSI targets of tgt, and boot servers on free ports."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from imagewright import hosttools
from imagewright.bootserver import gpt
from imagewright.bootserver.initiator import Chap, Target
from imagewright.bootserver.protocol import Endpoint

IQN = "iqn.2012-11.org.imagewright.test:disk"
MIB = 2**20
Part = tuple[str, int, int]
"""Name, first MiB, size in MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A disk behind a target."""

    disk: Path
    target: Target
    port: int


def entry(number: int, part: Part) -> gpt.Entry:
    name, start, size = part
    first, last = start * 2048, (start + size) * 2048 - 1
    kind, own = uuid.UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4"), uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {number}")
    raw = kind.bytes_le + own.bytes_le + struct.pack("<QQQ", first, last, 0) + name.encode("utf-16-le").ljust(72, b"\0")
    return gpt.Entry(number=number, first=first, last=last, name=name, raw=raw)


def table(*parts: Part, boot_record: bytes = b"boot code") -> gpt.Table:
    entries = tuple(entry(number, part) for number, part in enumerate(parts, 1))
    return gpt.Table(disk_id=uuid.uuid5(uuid.NAMESPACE_OID, "disk").bytes_le, boot_record=boot_record, entries=entries)


def write_disk(path: Path, mib: int, *parts: Part, fill: str = "") -> Path:
    """A raw disk whose partitions begin with their name and ``fill``."""
    with path.open("wb") as file:
        file.truncate(mib * MIB)
        if parts:
            head, tail = gpt.write(table(*parts), mib * MIB)
            file.write(head)
            file.seek(mib * MIB - gpt.TAIL)
            file.write(tail)
        for name, start, size in parts:
            for at in (start * MIB, (start + size) * MIB - 4096):
                file.seek(at)
                file.write(f"{name} {fill}".encode().ljust(4096, b"."))
    return path


@pytest.fixture
def tgt(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Offer a raw disk over iSCSI by a tgtd of our own; as any user, with a socket of its own."""
    tgtd, tgtadm = hosttools.find("tgtd"), hosttools.find("tgtadm")
    if tgtd is None or tgtadm is None:
        pytest.fail("missing programs: apt-get install tgt")
    started: list[subprocess.Popen[bytes]] = []
    # A socket's path has at most 107 bytes, and pytest's folders are long.
    folder = Path(tempfile.mkdtemp(prefix="tgt-"))

    def offer(disk: Path, *, login: tuple[str, str] | None = None) -> Machine:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = {**os.environ, "TGT_IPC_SOCKET": str(folder / f"{len(started)}")}

        def adm(*words: str) -> bool:
            argv = (str(tgtadm), "--lld", "iscsi", *words)
            return subprocess.run(argv, env=environment, capture_output=True, check=False).returncode == 0

        with (tmp_path / "tgtd.log").open("ab") as log:
            argv = (str(tgtd), "-f", "--iscsi", f"portal=127.0.0.1:{port}")
            started.append(subprocess.Popen(argv, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        deadline = time.monotonic() + 120
        while not adm("--mode", "sys", "--op", "show"):
            assert time.monotonic() < deadline, (tmp_path / "tgtd.log").read_text()
            time.sleep(0.05)
        unit = ("--mode", "logicalunit", "--tid", "1", "--lun", "1")
        assert adm("--mode", "target", "--op", "new", "--tid", "1", "-T", IQN)
        assert adm(*unit, "--op", "new", "-b", str(disk))
        assert adm(*unit, "--op", "update", "--params", "thin_provisioning=1")
        chap = None
        if login:
            assert adm("--mode", "account", "--op", "new", "--user", login[0], "--password", login[1])
            assert adm("--mode", "account", "--op", "bind", "--tid", "1", "--user", login[0])
            secret = tmp_path / "secret"
            secret.write_text(login[1])
            chap = Chap(user=login[0], secret=secret)
        assert adm("--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL")
        target = Target(portal=Endpoint(address="127.0.0.1", port=port), iqn=IQN, chap=chap)
        return Machine(disk=disk, target=target, port=port)

    yield offer
    for process in started:
        process.kill()
        process.wait()
    shutil.rmtree(folder)
