"""Reads a shell script as far as a linter needs it: its commands with their words, and its variables.

POSIX shell with bash's common additions. It knows quotes, comments, here-documents, substitutions and ``case``; it
evaluates nothing, and where a script is too clever it sees less, never something that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

KEYWORDS = frozenset({"if", "then", "else", "elif", "fi", "while", "until", "do", "done", "!", "{", "}", "time"})
WRAPPERS = frozenset({"sudo", "exec", "command", "nohup", "env", "nice", "ionice", "builtin", "eatmydata"})
SHELLS = frozenset({"sh", "bash", "dash", "ksh", "ash"})

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[[^]]*\])?\+?=")
_USE = re.compile(r"\$\{?[#!]?([A-Za-z_][A-Za-z0-9_]*)")
_DEFAULT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*):?=")
_OPTIONAL = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*):?[-+]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEREDOC = re.compile(r"<<(-?)[ \t]*(['\"\\]?)([A-Za-z_][A-Za-z0-9_]*)['\"]?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A simple command. ``words`` have lost their quotes and keep ``$NAME``; ``writes`` are targets of ``>``."""

    line: int
    words: tuple[str, ...]
    writes: tuple[str, ...] = ()
    piped_into: tuple[str, ...] = ()  # the words of the command that reads its output

    @property
    def program(self) -> str:
        """The name of the program, without its folder."""
        return self.words[0].rpartition("/")[2] if self.words else ""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words behind the program that are no options."""
        return tuple(word for word in self.words[1:] if not word.startswith("-"))

    @property
    def options(self) -> tuple[str, ...]:
        """The words that are options."""
        return tuple(word for word in self.words[1:] if word.startswith("-"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a script does: commands in order, lines where each variable is used, names that it gives a value."""

    commands: tuple[Command, ...] = ()
    uses: tuple[tuple[str, int], ...] = ()
    assigned: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()  # used as ${NAME:-...}

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that it sources."""
        return tuple(
            command.words[1] for command in self.commands if command.program in {".", "source"} and command.words[1:]
        )


def read_script(text: str) -> Reading:
    """Read the text of a shell script; it never fails."""
    scanner = _Scanner(text)
    scanner.run()
    return Reading(
        commands=tuple(sorted(scanner.commands, key=lambda command: command.line)),
        uses=tuple(scanner.uses),
        assigned=frozenset(scanner.assigned),
        optional=frozenset(scanner.optional),
    )


def unwrapped(command: Command) -> Command:
    """The command that ``sudo``, ``env``, ``exec`` and the like run."""
    words = list(command.words)
    while words and words[0].rpartition("/")[2] in WRAPPERS:
        wrapper = words.pop(0).rpartition("/")[2]
        while words and (words[0].startswith("-") or _ASSIGNMENT.match(words[0])):
            option = words.pop(0)
            if words and option in {"-u", "-g", "-n"} and wrapper != "env":
                words.pop(0)
    return Command(line=command.line, words=tuple(words), writes=command.writes, piped_into=command.piped_into)


@dataclass(slots=True)
class _Open:
    """The command that is being read."""

    line: int
    words: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)


class _Scanner:
    def __init__(self, text: str, first_line: int = 1) -> None:
        self.commands: list[Command] = []
        self.uses: list[tuple[str, int]] = []
        self.assigned: set[str] = set()
        self.optional: set[str] = set()
        self._text = text
        self._at = 0
        self._first_line = first_line
        self._heredocs: list[tuple[bool, bool, str]] = []  # tabs stripped, expanded, delimiter

    def run(self) -> None:
        while self._at < len(self._text):
            self._block("")
            self._at += 1

    # -- commands

    def _block(self, end: str) -> None:
        """Read commands until ``end`` that nothing in the block has opened."""
        current = _Open(self._line)
        word: str | None = None
        target = ""  # ">" or "<" if the next word is what a redirection names
        pending: list[Command] = []  # the command before a pipe
        cases = depth = 0

        def close_word() -> None:
            nonlocal word, target, cases
            if word is None:
                return
            if target:
                current.writes += [word] if target == ">" else []
            elif not current.words and word in KEYWORDS:
                current.line = self._line
            else:
                if not current.words:
                    cases += {"case": 1, "esac": -1}.get(word, 0)
                current.words.append(word)
            word, target = None, ""

        def close_command(*, pipe: bool = False, drop: bool = False) -> None:
            nonlocal current
            close_word()
            command = None if drop else self._finished(current)
            if command is not None and pending:
                before = pending.pop()
                self.commands.append(
                    Command(
                        line=before.line, words=before.words, writes=before.writes, piped_into=unwrapped(command).words
                    )
                )
            if command is not None:
                (pending if pipe else self.commands).append(command)
            current = _Open(self._line)

        while self._at < len(self._text):
            char = self._text[self._at]
            if char in ";) \n" and word == "esac":
                close_word()
            if char == end and depth == 0 and (end != ")" or cases <= 0):
                break
            if char in " \t":
                close_word()
            elif self._text.startswith("\\\n", self._at):
                self._at += 1
            elif char == "\n":
                close_command()
                self._at += 1
                self._bodies()
                current.line = self._line
                continue
            elif char == "#" and word is None:
                newline = self._text.find("\n", self._at)
                self._at = newline if newline >= 0 else len(self._text)
                continue
            elif char in ";&":
                close_command()
            elif char == "|":
                double = self._text.startswith("||", self._at)
                close_command(pipe=not double)
                self._at += double
            elif char == "(":
                if self._text.startswith("((", self._at) and not current.words and word is None:
                    self._arithmetic()
                    continue
                close_command()
                depth += 1
            elif char == ")":
                pattern = depth == 0 and cases > 0
                depth -= depth > 0
                close_command(drop=pattern)
            elif char in "<>":
                word, target = self._redirection(word, close_word)
                continue
            else:
                if word is None and not current.words:
                    current.line = self._line
                word = (word or "") + self._piece(char)
                continue
            self._at += 1
        close_command()
        self.commands += pending

    def _finished(self, current: _Open) -> Command | None:
        words = current.words
        while words and (match := _ASSIGNMENT.match(words[0])):
            self.assigned.add(match[1])
            words = words[1:]
        if not words:
            return Command(line=current.line, words=(), writes=tuple(current.writes)) if current.writes else None
        command = Command(line=current.line, words=tuple(words), writes=tuple(current.writes))
        self._note_assignments(command)
        inner = unwrapped(command)
        if inner.program in SHELLS and "-c" in inner.words[:-1]:
            self._nested(inner.words[inner.words.index("-c") + 1], current.line)
        return command

    def _note_assignments(self, command: Command) -> None:
        program, arguments = command.program, command.words[1:]
        if program in {"export", "local", "declare", "readonly", "typeset"}:
            # a bare `export NAME` gives no value
            names = [word.partition("=")[0] for word in arguments if "=" in word or program != "export"]
        elif program == "for":
            names = list(arguments[:1])
        elif program in {"read", "mapfile", "readarray"}:
            names = [word for word in arguments if not word.startswith("-")]
        elif program == "getopts" or (program == "printf" and arguments[:1] == ("-v",)):
            names = list(arguments[1:2])
        else:
            names = []
        self.assigned |= {name.rstrip("+") for name in names if _NAME.fullmatch(name.rstrip("+"))}

    # -- words

    def _piece(self, char: str) -> str:
        """One piece of a word, from its first character."""
        if char == "'":
            return self._until("'")[1:-1]
        if char == '"':
            return self._double()
        if char == "\\":
            following = self._text[self._at + 1 : self._at + 2]
            self._at += 2
            return "" if following == "\n" else following
        if char == "$":
            return self._dollar()
        if char == "`":
            return self._backquoted()
        self._at += 1
        return char

    def _double(self) -> str:
        self._at += 1
        text = ""
        while self._at < len(self._text) and self._text[self._at] != '"':
            char = self._text[self._at]
            if char in "$`\\":
                text += self._piece(char)
            else:
                text += char
                self._at += 1
        self._at += 1
        return text

    def _dollar(self) -> str:
        start = self._at
        if self._text.startswith("$((", start):
            self._at += 1
            self._arithmetic()
        elif self._text.startswith("$(", start):
            self._at += 2
            self._block(")")
            self._at += 1
        elif self._text.startswith("${", start):
            self._brace()
        elif self._text.startswith("$'", start):
            self._at += 1
            return self._until("'")[1:-1]
        else:
            match = _NAME.match(self._text, start + 1)
            self._at = match.end() if match else start + 1
        text = self._text[start : self._at]
        if not text.startswith("$("):
            self._note_uses(text, start)
        return text

    def _brace(self) -> None:
        depth = 0
        self._at += 1
        while self._at < len(self._text):
            char = self._text[self._at]
            depth += {"{": 1, "}": -1}.get(char, 0)
            self._at += 2 if char == "\\" else 1
            if depth == 0:
                return

    def _arithmetic(self) -> None:
        start, depth = self._at, 0
        while self._at < len(self._text):
            depth += {"(": 1, ")": -1}.get(self._text[self._at], 0)
            self._at += 1
            if depth == 0:
                break
        inner = self._text[start : self._at]
        self._note_uses(inner, start)
        self.assigned |= set(re.findall(r"([A-Za-z_][A-Za-z0-9_]*)\s*(?:[-+*/%]?=(?!=)|\+\+|--)", inner))

    def _backquoted(self) -> str:
        line = self._line
        text = self._until("`")
        self._nested(text[1:-1], line)
        return text

    def _nested(self, text: str, line: int) -> None:
        inner = _Scanner(text, line)
        inner.run()
        self.commands += inner.commands
        self.uses += inner.uses
        self.assigned |= inner.assigned
        self.optional |= inner.optional

    def _until(self, quote: str) -> str:
        """From the opening quote to the closing one, both included."""
        end = self._text.find(quote, self._at + 1)
        end = len(self._text) if end < 0 else end + 1
        text, self._at = self._text[self._at : end], end
        return text

    # -- redirections and here-documents

    def _redirection(self, word: str | None, close_word: Callable[[], None]) -> tuple[str | None, str]:
        """Step over a redirection operator; return the word that stays open, and the direction if a target follows."""
        if word is not None and not word.isdigit():
            close_word()
        heredoc = None if self._text.startswith("<<<", self._at) else _HEREDOC.match(self._text, self._at)
        if heredoc:
            self._heredocs.append((bool(heredoc[1]), not heredoc[2], heredoc[3]))
            self._at = heredoc.end()
            return None, ""
        direction = self._text[self._at]
        while self._at < len(self._text) and self._text[self._at] in "<>|":
            self._at += 1
        if self._text[self._at : self._at + 1] == "(":  # a process substitution
            return None, ""
        if self._text[self._at : self._at + 1] == "&":
            self._at += 1
            copied = re.compile(r"[0-9-]+").match(self._text, self._at)
            self._at = copied.end() if copied else self._at
            return None, "" if copied else direction
        return None, direction

    def _bodies(self) -> None:
        """Read the here-documents that the line before has announced."""
        for stripped, expanded, delimiter in self._heredocs:
            while self._at < len(self._text):
                newline = self._text.find("\n", self._at)
                end = len(self._text) if newline < 0 else newline
                start, line = self._at, self._text[self._at : end]
                self._at = end + 1
                if (line.lstrip("\t") if stripped else line) == delimiter:
                    break
                if expanded:
                    self._note_uses(re.sub(r"\\.", "  ", line), start)
        self._heredocs.clear()

    # -- places

    def _note_uses(self, text: str, start: int) -> None:
        line = self._line_of(start)
        self.uses += [(name, line) for name in _USE.findall(text)]
        self.assigned |= set(_DEFAULT.findall(text))
        self.optional |= set(_OPTIONAL.findall(text))

    @property
    def _line(self) -> int:
        return self._line_of(self._at)

    def _line_of(self, position: int) -> int:
        return self._first_line + self._text.count("\n", 0, position)
