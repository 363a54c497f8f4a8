from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from imagewright.boot.instance import Instance
from imagewright.boot.metadata import MetadataService, listed

INSTANCE = Instance(
    id="i-1", hostname="web-1", public_keys=("ssh-ed25519 A one", "ssh-ed25519 B two"), user_data="#x\n"
)


class Connection:
    """What QEMU does for one connection: the command of guestfwd with the connection as its standard streams."""

    def __init__(self, folder: Path, service: MetadataService) -> None:
        self.log = folder / "requests, all.log"
        answers = folder / "answers.json"
        answers.write_text(json.dumps(service.answers()))
        option = service.network_options(answers, self.log)[-1]
        self.argv = shlex.split(option.partition("-cmd:")[2].replace(",,", ","))

    def exchange(self, *requests: str) -> str:
        sent = "".join(requests).replace("\n", "\r\n").encode()
        done = subprocess.run(self.argv, input=sent, capture_output=True, check=True, timeout=120)
        assert done.stderr == b""
        return done.stdout.decode()

    def get(self, path: str) -> tuple[int, str]:
        head, _, body = self.exchange(f"GET {path} HTTP/1.1\nHost: x\n\n").partition("\r\n\r\n")
        assert f"Content-Length: {len(body)}" in head
        return int(head.split()[1]), body


@pytest.fixture
def ec2(tmp_path: Path) -> Connection:
    return Connection(tmp_path, MetadataService(instance=INSTANCE))


@pytest.fixture
def openstack(tmp_path: Path) -> Connection:
    return Connection(tmp_path, MetadataService(instance=INSTANCE, layout="openstack"))


@pytest.mark.parametrize("version", ["latest", "2009-04-04", "2021-03-23"])
def test_ec2_tells_the_instance_in_every_version(ec2: Connection, version: str) -> None:
    assert ec2.get(f"/{version}/meta-data/instance-id") == (200, "i-1")
    assert ec2.get(f"/{version}/meta-data/public-keys/0/openssh-key") == (200, "ssh-ed25519 A one")
    assert ec2.get(f"/{version}/user-data") == (200, "#x\n")


def test_ec2_lists_its_folders_as_a_crawler_needs_them(ec2: Connection) -> None:
    assert "latest/" in ec2.get("/")[1].split()
    assert {"instance-id", "placement/", "public-keys/"} <= set(ec2.get("/latest/meta-data/")[1].split())
    assert ec2.get("/latest/meta-data/public-keys/") == (200, "0=key0\n1=key1")
    assert ec2.get("/latest/meta-data/public-keys/1/") == (200, "openssh-key")
    assert ec2.get("/latest/meta-data") == ec2.get("/latest/meta-data/")


def test_ec2_gives_a_token(ec2: Connection) -> None:
    reply = ec2.exchange("PUT /latest/api/token HTTP/1.1\nHost: x\nContent-Length: 0\n\n")
    assert reply.startswith("HTTP/1.1 200 ")


def test_an_unknown_path_is_not_found(ec2: Connection) -> None:
    assert ec2.get("/latest/meta-data/nonsense")[0] == 404
    assert ec2.exchange("POST /latest HTTP/1.1\n\n").startswith("HTTP/1.1 405 ")


def test_one_connection_may_carry_several_requests(ec2: Connection) -> None:
    reply = ec2.exchange(
        "PUT /latest/api/token HTTP/1.1\nContent-Length: 3\n\nabc",
        "GET /latest/meta-data/instance-id HTTP/1.1\nConnection: close\n\n",
        "GET /latest/meta-data/hostname HTTP/1.1\n\n",
    )
    assert reply.count("HTTP/1.1 200 OK") == 2, "nothing is answered after the close that was asked for"
    assert reply.endswith("i-1")


def test_every_request_is_recorded(ec2: Connection) -> None:
    ec2.get("/latest/user-data")
    ec2.get("/nothing?x=1")
    assert ec2.log.read_text().splitlines() == ["200 GET /latest/user-data", "404 GET /nothing?x=1"]


def test_openstack_has_its_own_layout(openstack: Connection) -> None:
    assert set(openstack.get("/openstack")[1].split()) == {"2018-08-27/", "latest/"}
    status, body = openstack.get("/openstack/latest/meta_data.json")
    assert status == 200
    assert json.loads(body)["public_keys"] == {"key0": "ssh-ed25519 A one", "key1": "ssh-ed25519 B two"}
    assert openstack.get("/openstack/latest/user_data") == (200, "#x\n")


def test_without_user_data_there_is_no_such_path(tmp_path: Path) -> None:
    connection = Connection(tmp_path, MetadataService(instance=Instance(id="i-1")))
    assert connection.get("/latest/user-data")[0] == 404
    assert connection.get("/latest/meta-data/public-keys/")[0] == 404


def test_folders_are_listed_at_every_level() -> None:
    assert listed({"/a/b/c": "1", "/a/d": "2"}) == {
        "/a/b/c": "1",
        "/a/d": "2",
        "/": "a/",
        "/a/": "b/\nd",
        "/a/b/": "c",
    }
