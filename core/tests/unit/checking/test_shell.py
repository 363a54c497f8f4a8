from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagewright.checking.shell import read_script, unwrapped


def words(text):
    return [command.words for command in read_script(text).commands]


def uses(text):
    return {name for name, _ in read_script(text).uses}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b; c && d || e & f | g", [("a", "b"), ("c",), ("d",), ("e",), ("f",), ("g",)]),
        ("a 'b c' \"d e\"f\\ g", [("a", "b c", "d ef g")]),
        ("a \\\n  b\nc", [("a", "b"), ("c",)]),
        ("a # b; c\n# d\ne#f", [("a",), ("e#f",)]),
        ("if a; then b; else c; fi", [("a",), ("b",), ("c",)]),
        ("while ! a; do { b; }; done", [("a",), ("b",)]),
        ("(a; b) | c", [("a",), ("b",), ("c",)]),
        ("x=1 y=$(a b) c", [("a", "b"), ("c",)]),
        ('a "$(b "$(c)")"', [("a", '$(b "$(c)")'), ("b", "$(c)"), ("c",)]),
        ("a `b c`", [("a", "`b c`"), ("b", "c")]),
        ("sh -c 'a; b'", [("a",), ("b",), ("sh", "-c", "a; b")]),
        ("f() { a; }", [("f",), ("a",)]),
    ],
)
def test_commands_are_found_behind_every_operator(text, expected):
    assert sorted(words(text)) == sorted(expected)


def test_patterns_of_a_case_are_no_commands():
    text = 'case $1 in\nmount) a ;;\n"umount" | losetup) b ;;\n(x) c ;;\nesac\nd'
    found = {command[0] for command in words(text)}
    assert {"a", "b", "d"} <= found
    assert not {"mount", "losetup"} & found


def test_a_case_in_a_substitution_does_not_end_it():
    assert ("after",) in words('x="$(case a in a) b ;; esac)"; after')


def test_a_command_knows_its_line():
    reading = read_script("a\nb \\\n  c\n\n  d $(\ne)\n")
    assert [(command.line, command.words[0]) for command in reading.commands] == [
        (1, "a"),
        (2, "b"),
        (5, "d"),
        (6, "e"),
    ]


def test_targets_of_redirections_are_no_words():
    (command,) = read_script('a b >/x 2>>"$Y/z" 2>&1 </in >&2').commands
    assert command.words == ("a", "b")
    assert command.writes == ("/x", "$Y/z")


def test_a_pipe_knows_what_reads_it_behind_its_wrappers():
    first, *_ = read_script("curl x | sudo -E bash -s").commands
    assert first.piped_into == ("bash", "-s")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sudo a b", ("a", "b")),
        ("sudo -u root -E A=b a", ("a",)),
        ("env X=1 nice -n 5 a", ("a",)),
        ("exec a", ("a",)),
    ],
)
def test_wrappers_are_looked_through(text, expected):
    (command,) = read_script(text).commands
    assert unwrapped(command).words == expected


def test_the_body_of_a_here_document_is_no_command_and_may_use_variables():
    text = "cat >/x <<EOF\nmount $A \\$B\nEOF\ncat <<-'END'\n\tlosetup $C\n\tEND\nlast"
    assert [command[0] for command in words(text)] == ["cat", "cat", "last"]
    assert uses(text) == {"A"}


def test_variables_are_used_outside_single_quotes():
    assert uses('a $A "${B:-$C}" \'$D\' ${#E} "\'$F\'" $((G + $H)) \\$I `b $J` $(c "$K")') == set("ABCEFHJK")


def test_what_gives_a_variable_a_value_is_seen():
    text = """
    a=1; export B=2; local c; for d in x; do read -r e f; done; getopts "x" g; printf -v h x
    : "${i:=1}"; k+=1; m[0]=2; ((n++)); o=$((p = 2)); export Q
    """
    assert read_script(text).assigned == set("aBcdefghikmnop")


def test_what_a_script_sources_is_known():
    assert read_script('. "$_LIB/die"\nsource ./x').sources == ("$_LIB/die", "./x")


@given(st.text(alphabet="ab $(){}'\"`\\\n;|&<>#=!-", max_size=60))
def test_no_text_is_too_odd_to_read(text):
    read_script(text)
