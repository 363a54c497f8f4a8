"""Servers that break off, stall, redirect, change their mind, or have something else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from imagewright.testing.reliability import Recorder

from .calling import IMAGE, Caller, first, refused
from .conftest import FOLDER, NAME, Cloud, Handler


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest, reliability: Recorder) -> Iterator[None]:
    """Each test is a fault; one that fails is a loss."""
    before = request.session.testsfailed
    yield
    failed = request.session.testsfailed > before
    reliability.tried("faults", "an unhelpful server of cloud images", lost=int(failed))


# -- servers that are no help


def test_an_image_that_is_not_the_one_of_the_sums_stops_the_build(caller: Caller, cloud: Cloud) -> None:
    cloud.server.files[IMAGE] = b"something else"
    refused(caller, cloud, "not the image that its digest names")


def test_a_download_that_breaks_off_is_continued(caller: Caller, cloud: Cloud) -> None:
    content = cloud.server.files[IMAGE]
    cloud.server.actions.append(first(1, IMAGE, lambda handler: handler.give(content, cut=100_000)))
    assert caller.content(caller.fetch(cloud)) == content
    assert [wanted for path, wanted in cloud.server.asked if path == IMAGE] == ["", "bytes=100000-"]


def test_a_server_that_does_not_continue_files_is_asked_for_the_whole(caller: Caller, cloud: Cloud) -> None:
    content = cloud.server.files[IMAGE]
    cloud.server.ranges = False
    cloud.server.actions.append(first(1, IMAGE, lambda handler: handler.give(content, cut=100_000)))
    assert caller.content(caller.fetch(cloud)) == content
    assert "does not continue files" in caller.log


def test_a_later_build_continues_where_a_failed_one_stopped(caller: Caller, cloud: Cloud) -> None:
    content = cloud.server.files[IMAGE]
    answers = [first(1, IMAGE, lambda handler: handler.give(content, cut=200_000))]
    answers.append(first(9, IMAGE, lambda handler: handler.send_error(503)))
    cloud.server.actions += answers
    refused(caller, cloud, "the server answers 503")
    cloud.server.actions.clear()
    assert caller.content(caller.fetch(cloud)) == content
    assert cloud.server.asked[-1] == (IMAGE, "bytes=200000-")


def test_a_beginning_that_is_something_else_is_thrown_away(caller: Caller, cloud: Cloud) -> None:
    (caller.cache / "parts").mkdir(parents=True)
    (caller.cache / "parts" / cloud.digest).write_bytes(b"rot" * 1000)
    assert caller.content(caller.fetch(cloud)) == cloud.server.files[IMAGE]
    assert "from its beginning" in caller.log


def test_a_beginning_that_is_too_long_is_thrown_away(caller: Caller, cloud: Cloud) -> None:
    (caller.cache / "parts").mkdir(parents=True)
    (caller.cache / "parts" / cloud.digest).write_bytes(bytes(len(cloud.server.files[IMAGE]) + 1))
    assert caller.content(caller.fetch(cloud)) == cloud.server.files[IMAGE]


def test_a_server_that_stalls_is_asked_again(caller: Caller, cloud: Cloud) -> None:
    def stall(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"some")
        handler.wfile.flush()
        time.sleep(1)

    cloud.server.actions.append(first(1, f"{FOLDER}/SHA256SUMS", stall))
    caller.fetch(cloud)
    assert "nothing came for 0.4 s" in caller.log


def test_a_server_that_keeps_a_trickle_going_stalls(caller: Caller, cloud: Cloud) -> None:
    def trickle(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(10**6))
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b".")
            handler.wfile.flush()
            time.sleep(0.05)

    cloud.server.actions.append(first(9, IMAGE, trickle))
    begun = time.monotonic()
    text = refused(caller, cloud, "only [0-9]+ bytes came")
    assert "attempts in a row" in text or "brought nothing" in text
    assert time.monotonic() - begun < 8


def test_an_endless_list_of_sums_is_refused(caller: Caller, cloud: Cloud) -> None:
    cloud.server.files[f"{FOLDER}/SHA256SUMS"] = b"#" * 5_000_000
    refused(caller, cloud, "which no such file has")


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_in_trouble_is_asked_again(caller: Caller, cloud: Cloud, status: int) -> None:
    cloud.server.actions.append(first(2, IMAGE, lambda handler: handler.send_error(status)))
    caller.fetch(cloud)
    assert cloud.server.count(NAME) == 3


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_refuses_is_not_asked_again(caller: Caller, cloud: Cloud, status: int) -> None:
    cloud.server.actions.append(first(9, IMAGE, lambda handler: handler.send_error(status)))
    refused(caller, cloud, f"the server answers {status}")
    assert cloud.server.count(NAME) == 1


def test_a_server_that_is_not_there_is_named(caller: Caller, cloud: Cloud) -> None:
    text = refused(caller, cloud, "127.0.0.1:1/.*fetched: connection refused", folder="http://127.0.0.1:1/x")
    assert "no server was reached" in text
    assert "try again later" not in text


def test_a_server_that_never_answered_is_not_waited_for(caller: Caller, cloud: Cloud) -> None:
    refused(caller, cloud, "connection refused", folder="http://127.0.0.1:1/x")
    assert caller.log.count("trying again") == 1


def test_an_unknown_host_is_not_waited_for(caller: Caller, cloud: Cloud) -> None:
    refused(caller, cloud, "no server was reached|cannot be fetched", folder="http://images.invalid/x")
    assert caller.log.count("trying again") == 1


def test_a_server_that_goes_away_meanwhile_is_waited_for(caller: Caller, cloud: Cloud) -> None:
    content = cloud.server.files[f"{FOLDER}/SHA256SUMS.gpg"]

    def last(handler: Handler) -> None:
        cloud.server.socket.shutdown(socket.SHUT_RDWR)
        handler.give(content)
        handler.close_connection = True

    cloud.server.actions.append(first(1, f"{FOLDER}/SHA256SUMS.gpg", last))
    text = refused(caller, cloud, "connection refused")
    assert "3 attempts in a row brought nothing" in text
    assert caller.log.count("trying again") == 2


def test_a_redirection_to_a_server_that_is_not_there_is_not_followed_for_long(caller: Caller, cloud: Cloud) -> None:
    def elsewhere(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "http://localhost:1/image")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    cloud.server.actions.append(first(99, IMAGE, elsewhere))
    refused(caller, cloud, "connection refused")
    assert cloud.server.count(NAME) == 2


def test_redirections_are_followed_and_told(caller: Caller, cloud: Cloud) -> None:
    def elsewhere(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/mirror/image")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    cloud.server.files["/mirror/image"] = cloud.server.files[IMAGE]
    cloud.server.actions.append(first(9, IMAGE, elsewhere))
    assert caller.content(caller.fetch(cloud)) == cloud.server.files[IMAGE]
    assert "redirected to http://127.0.0.1" in caller.log


@pytest.mark.parametrize(("location", "said"), [(IMAGE, "for ever"), ("file:///etc/passwd", "neither of http")])
def test_redirections_that_lead_nowhere_stop_the_build(caller: Caller, cloud: Cloud, location: str, said: str) -> None:
    def elsewhere(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    cloud.server.actions.append(first(99, IMAGE, elsewhere))
    refused(caller, cloud, said)


def test_sums_that_change_between_two_questions_are_asked_for_again(caller: Caller, cloud: Cloud) -> None:
    """The server gets a new image after it gave the old list, before it gives the signature."""
    old = cloud.server.files[f"{FOLDER}/SHA256SUMS"]
    cloud.publish(b"the new one")
    cloud.server.actions.append(first(1, f"{FOLDER}/SHA256SUMS", lambda handler: handler.give(old)))
    assert caller.content(caller.fetch(cloud)) == b"the new one"


def test_an_image_that_changes_after_its_sums_were_given_is_the_new_one(caller: Caller, cloud: Cloud) -> None:
    old = dict(cloud.server.files)
    cloud.publish(b"the new one")
    for name in ("SHA256SUMS", "SHA256SUMS.gpg"):
        path = f"{FOLDER}/{name}"
        cloud.server.actions.append(first(1, path, lambda handler, path=path: handler.give(old[path])))
    assert caller.content(caller.fetch(cloud)) == b"the new one"
    assert "newer image meanwhile" in caller.log


def test_two_builds_at_once_fetch_an_image_once(caller: Caller, cloud: Cloud) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: caller.fetch(cloud), range(4)))
    assert len({one["base image"] for one in found}) == 1
    assert cloud.server.count(NAME) == 1
