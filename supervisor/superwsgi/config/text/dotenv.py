"""`env_file`: environment variables from a file such as `.env`, in a subset of what python-dotenv reads, and
with the same meaning (but `:-` is a shell's: for an empty variable, too). What readers of such
files disagree about is refused.

    # a comment
    NAME=plain text          # and a comment behind a space
    export NAME='as it is'
    NAME="with \\n, \\" and ${OTHER} or ${OTHER:-default}, over several lines if need be"

No value is ever in a message.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from superwsgi.config.errors import Problem, SourcePlace
from superwsgi.config.text.variables import Unset, UnusableFile, expand, read_text

_LARGEST: Final = 1 << 20
_END: Final = re.compile(r"\r\n|\n|\r")
_NOTHING: Final = re.compile(rf"[ \t]*(?:#[^\r\n]*)?(?:{_END.pattern}|\Z)")
_NAME: Final = re.compile(r"[ \t]*(?:export[ \t]+)?(?!export[ \t=])([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_QUOTED: Final = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
_PLAIN: Final = re.compile(r"[^\r\n]*")
_COMMENT: Final = re.compile(r"\s+#.*|\s+\Z")
_LINE: Final = re.compile(rf"[^\r\n]*(?:{_END.pattern}|\Z)")

_IN_SINGLE: Final = re.compile(r"\\([\\'])")
_IN_DOUBLE: Final = re.compile(r"\\([\\'\"abfnrtv])")
_ESCAPES: Final = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))


def read(
    path: Path, environ: Mapping[str, str], problems: list[Problem], lines: dict[str, int] | None = None
) -> dict[str, str]:
    """The variables of a file; `${NAME}` is one set above, or one of `environ`. Problems with lines are
    added to `problems`, and to `lines` where each is set. Raises FileNotFoundError, UnusableFile."""
    text = read_text(path, _LARGEST)
    if "\0" in text:
        raise UnusableFile("contains a NUL")
    file = _File(str(path), text, environ, problems)
    variables = file.read()
    if lines is not None:
        lines.update(file.lines)
    return variables


class _Wrong(Exception):
    """A line that is refused: what is wrong, and what to write."""


class _File:
    """One file on its way to variables."""

    def __init__(self, name: str, text: str, environ: Mapping[str, str], problems: list[Problem]) -> None:
        self._name = name
        self._text = text
        self._environ = dict(environ)
        self._problems = problems
        self._at = 0
        self._line = 1
        self._found: dict[str, str] = {}
        self.lines: dict[str, int] = {}

    def read(self) -> dict[str, str]:
        while self._at < len(self._text):
            begin, line = self._at, self._line
            try:
                if not self._take(_NOTHING):
                    self._assignment()
            except _Wrong as error:
                self._problems.append(Problem(SourcePlace(self._name, line, 1), *error.args))
                if self._at == begin or self._text[self._at - 1] not in "\r\n":
                    self._take(_LINE)
        return self._found

    def _assignment(self) -> None:
        found = self._take(_NAME)
        if not found:
            raise _Wrong("not NAME=value", "a name has letters, digits and '_'; comments begin with #")
        name = found[1]
        if name in self.lines:
            raise _Wrong(f"{name} is set twice", f"first on line {self.lines[name]}")
        self.lines[name] = self._line
        self._found[name] = self._value(name)

    def _value(self, name: str) -> str:
        if self._text[self._at : self._at + 1] in ("'", '"'):
            return self._quoted(name)
        found = self._take(_PLAIN)
        assert found
        if found[0].startswith("#"):
            raise _Wrong(f"{name}: a value that begins with #", "put quotes around it, or leave it empty")
        return self._expanded(name, _COMMENT.sub("", found[0]))

    def _quoted(self, name: str) -> str:
        found = self._take(_QUOTED)
        if not found:
            raise _Wrong(f"{name}: a quote is never closed", "")
        if not self._take(_NOTHING):
            raise _Wrong(f"{name}: text after the closing quote", "only a comment may follow it")
        if found[1] is None:
            return self._expanded(name, found[2], lambda text: _IN_DOUBLE.sub(_escape, text))
        if "${" in found[1]:
            raise _Wrong(
                f"{name}: ${{ in single quotes", "readers of such files disagree about it; use double quotes"
            )
        return _IN_SINGLE.sub(r"\1", found[1])

    def _expanded(self, name: str, text: str, decode: Callable[[str], str] = str) -> str:
        if "$${" in text:
            raise _Wrong(
                f"{name}: $${{ cannot be used in this file", "set this value in `env` of the site file"
            )
        try:
            return expand(decode(text), ChainMap(self._found, self._environ))
        except Unset:  # its text has a piece of the value
            hint = "write ${NAME} or ${NAME:-default}, or leave the value out and set it in `env`"
            raise _Wrong(f"{name}: a ${{...}} in it is not a variable set above", hint) from None

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Match `pattern` here, and move past it."""
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
            self._line += len(_END.findall(found[0]))
        return found


def _escape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[1])
