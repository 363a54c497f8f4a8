from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagewright.bootserver import protocol
from imagewright.bootserver.protocol import BadRequest, Request, parse

GOOD = b"i=17&k=secret%20key&a=192.0.2.7&n=iqn.2012-11.org.example:disk"


def test_the_form_of_the_ancestor_is_read() -> None:
    assert parse(GOOD) == Request(id="17", key="secret key", address="192.0.2.7", iqn="iqn.2012-11.org.example:disk")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((b"i=17&", b""), "field i"),
        ((b"a=192.0.2.7", b"a=192.0.2.7&a=192.0.2.8"), "field a"),
        ((b"192.0.2.7", b"localhost"), "no IP address"),
        ((b"192.0.2.7", b"192.0.2.7%2C1"), "no IP address"),
        ((b"iqn.2012-11.org.example:disk", b"iqn.2012-11.x,driver%3Dfile"), "no iSCSI name"),
        ((b"i=17", b"i=a%0Ab"), "deployment id"),
        ((b"i=17", b"\xff"), "no URL-encoded form"),
    ],
)
def test_what_does_not_follow_the_protocol_is_refused_with_the_reason(change: tuple[bytes, bytes], why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        parse(GOOD.replace(*change))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_request_or_a_bad_one(body: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(parse(body), Request)


def test_only_the_right_key_of_the_right_id_is_allowed() -> None:
    request = parse(GOOD)
    assert protocol.allowed(request, {"17": "secret key"})
    assert not protocol.allowed(request, {"17": "secret"})
    assert not protocol.allowed(request, {"18": "secret key"})
    assert not protocol.allowed(parse(GOOD.replace(b"secret%20key", b"")), {"18": ""})
