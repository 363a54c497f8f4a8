"""The kernel's command line, against the kernel's own way of reading it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SPACES = b" \t\n\v\f\r"


def next_arguments(line: bytes):
    """next_arg() of lib/cmdline.c in the kernel, version 6.12, over a whole line: (name, value or None)."""
    line = line.lstrip(SPACES)
    while line:
        quoted = in_quotes = line[:1] == b'"'
        if quoted:
            line = line[1:]
        equals = end = 0
        while end < len(line):
            byte = line[end : end + 1]
            if byte in SPACES and byte and not in_quotes:
                break
            if equals == 0 and byte == b"=":
                equals = end
            if byte == b'"':
                in_quotes = not in_quotes
            end += 1
        word, line = line[:end], line[end + 1 :].lstrip(SPACES)
        if not equals:
            yield (word[:-1] if quoted and word.endswith(b'"') else word), None
            continue
        name, value = word[:equals], word[equals + 1 :]
        if value.startswith(b'"'):
            value = value[1:]
            value = value[:-1] if value.endswith(b'"') else value
        elif quoted and value.endswith(b'"'):
            value = value[:-1]
        yield name, value


def expected(line: bytes, name: bytes) -> tuple[int, bytes]:
    found = [value or b"" for this, value in next_arguments(line) if this == name]
    return (0, found[-1] + b"\n") if found else (1, b"")


def asked(shell, line: bytes, name: str) -> tuple[int, bytes]:
    shell.file("proc/cmdline", line + b"\n")
    ran = shell.run(f"get_kernel_parameter {name}")
    assert ran.errors == ""
    return ran.status, ran.output.encode(errors="surrogateescape")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("quiet disk=vda", "vda"),
        ("disk=sda disk=vda", "vda"),
        ('disk="two words" x', "two words"),
        ('"disk=two words"', "two words"),
        ("disk=a=b", "a=b"),
        ("disk=", ""),
        ("disk", ""),
        ("xdisk=1 disk=2 diskx=3", "2"),
        ("disk=$(reboot)`id`;&|*?\\n'", "$(reboot)`id`;&|*?\\n'"),
    ],
)
def test_a_value_is_what_the_kernel_would_take(shell, line, value):
    assert asked(shell, line.encode(), "disk") == (0, f"{value}\n".encode())


def test_a_parameter_that_is_not_there_has_status_1(shell):
    assert asked(shell, b"quiet ro", "disk") == (1, b"")


def test_an_empty_command_line_holds_nothing(shell):
    assert asked(shell, b"", "disk") == (1, b"")


words = st.lists(
    st.one_of(
        st.sampled_from([b"disk=", b"disk", b'"', b" ", b"=", b"'", b"\\", b"$(touch injected)", b"`touch injected`"]),
        st.binary(min_size=1, max_size=6).filter(lambda piece: b"\0" not in piece and b"\n" not in piece),
    ),
    max_size=24,
).map(b"".join)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words)
@example(b'"disk="')
@example(b'disk="')
@example(b'"disk"')
@example(b'disk="a"b" "')
@example(b'=disk= "" disk')
@example(b"disk=\xff\xfe\xe4")
def test_any_bytes_are_read_as_the_kernel_reads_them_and_run_nothing(shell, reliability, line):
    with reliability.trying("inputs", "kernel command lines"):
        assert asked(shell, line, "disk") == expected(line, b"disk")
        assert not (shell.root / "injected").exists()


def test_a_command_line_of_the_greatest_length_is_read_in_a_moment(shell):
    line = b" ".join(b"x%d=y" % number for number in range(400)) + b' disk="' + b"a " * 500 + b'"'
    assert asked(shell, line, "disk")[0] == 0
