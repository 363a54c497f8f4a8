"""Identifiers of filesystems and partitions as text."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st
from imagewright.reading.identifiers import guid_of, uuid_of

SIXTEEN = st.binary(min_size=16, max_size=16)


@given(SIXTEEN)
def test_a_uuid_is_written_as_everybody_writes_it(raw: bytes) -> None:
    assert uuid_of(raw) == str(uuid.UUID(bytes=raw))


@given(SIXTEEN)
def test_a_guid_is_written_as_everybody_writes_it(raw: bytes) -> None:
    assert guid_of(raw) == str(uuid.UUID(bytes_le=raw))
