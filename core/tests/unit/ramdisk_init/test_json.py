"""JSON out of values that nobody vouches for."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def made(shell, records: str, **variables):
    ran = shell.run(f"{{ {records}\n}} | to_json", variables=variables)
    assert (ran.status, ran.errors) == (0, ""), ran
    return json.loads(ran.output.encode(errors="surrogateescape").decode())


def test_paths_become_objects_and_lists(shell):
    records = """
        put_text kind thing; put_list none; put_list disks
        put_text disks/0/name vda; put_list disks/0/parts; put_number disks/0/parts/0 7
        put_text disks/1/name sda; put_boolean disks/1/ok 1; put_boolean disks/1/bad 0
        put_text deep/er/est x; put_text last y
    """
    assert made(shell, records) == {
        "kind": "thing",
        "none": [],
        "disks": [{"name": "vda", "parts": [7]}, {"name": "sda", "ok": True, "bad": False}],
        "deep": {"er": {"est": "x"}},
        "last": "y",
    }


def test_nothing_at_all_is_an_empty_object(shell):
    assert made(shell, ":") == {}


def test_an_empty_text_and_what_is_no_number_are_left_out(shell):
    records = "put_text a ''; put_number b 12x; put_number c -; put_number d 1-2; put_number e ''; put_number f 1.5"
    assert made(shell, records) == {}


def test_a_number_keeps_its_digits_and_loses_zeros_in_front(shell):
    records = "put_number a 007; put_number b -00; put_number c 18446744073709551615; put_number d -12"
    assert made(shell, records) == {"a": 7, "b": 0, "c": 18446744073709551615, "d": -12}


def with_replacements(text: bytes) -> str:
    # the separators of the records cannot be part of a value
    return text.decode(errors="replace").replace("\x1e", " ").replace("\x1f", " ")


@QUICK
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_text_comes_back_as_it_was(shell, text):
    # the shell's $( ) is not part of this: a value arrives in a variable
    assert made(shell, 'put_text a "$TEXT"', TEXT=text) == {"a": with_replacements(text.encode())}


@QUICK
@given(st.binary(min_size=1, max_size=12).filter(lambda text: b"\0" not in text))
def test_any_bytes_give_a_valid_document_in_which_only_what_is_no_utf_8_is_replaced(shell, raw):
    text = raw.decode("utf-8", "surrogateescape")
    told = made(shell, 'put_text a "$TEXT"; put_text b after', TEXT=text)
    assert told["b"] == "after"
    assert told["a"].replace("\ufffd", "") == with_replacements(raw).replace("\ufffd", "")
    assert ("\ufffd" in told["a"]) == ("\ufffd" in with_replacements(raw))


@QUICK
@given(st.binary(min_size=1, max_size=20).filter(lambda text: b"\0" not in text))
def test_a_value_of_a_form_comes_back_as_it_was(shell, raw):
    from urllib.parse import unquote_to_bytes

    ran = shell.run('form_value "$TEXT"', variables={"TEXT": raw.decode("utf-8", "surrogateescape")})
    value = ran.output.removesuffix("\n")
    assert value.isascii()
    assert not set(value) & set("&=+ \n#")
    assert unquote_to_bytes(value) == raw
