"""`${NAME}` and `${NAME:-default}` in the values of a site file, as a shell has them, `${file:/path}` for
what is in a file, and `$${` for a plain `${`.

What a variable or a file holds is text: it is not searched for variables again, and cannot add keys.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_INNER: Final = r"\$\{[^{}]*\}"
_REFERENCE: Final = re.compile(rf"\$\$\{{|\$\{{(file:(?:{_INNER}|[^{{}}])*|[^}}]*)(\}}?)")
_CONTENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-((?:(?!\$\{).)*))?", re.DOTALL)
_FILE: Final = re.compile(rf"file:((?:{_INNER}|(?!:-).)+)(?::-((?:(?!\$\{{).)*))?", re.DOTALL)

LARGEST: Final = 128 << 10
"""Bytes of a file: more than that does not fit a variable (MAX_ARG_STRLEN, execve(2))."""


class Unset(ValueError):
    """A reference that cannot be replaced; the text says which and why, `hint` what to write."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def expand(text: str, environ: Mapping[str, str], folder: Path | None = None) -> str:
    """The text with its variables in place, and with files; relative paths of these start at `folder`, and
    without one there are none. Raises Unset."""
    return "".join(_pieces(text, environ, folder))


def references(text: str) -> tuple[str, ...]:
    """What the text refers to, `NAME` or `file:/path`, without defaults."""
    found = (reference[1] for reference in _REFERENCE.finditer(text))
    return tuple(each.partition(":-")[0] for each in found if each)


def is_private(text: str, names: frozenset[str]) -> bool:
    """Whether the text refers to a file, or to one of the variables `names`: then its value must not be
    shown."""
    return any(each.startswith("file:") or each in names for each in references(text))


def _pieces(text: str, environ: Mapping[str, str], folder: Path | None) -> Iterator[str]:
    end = 0
    for found in _REFERENCE.finditer(text):
        yield text[end : found.start()]
        yield "${" if found[0] == "$${" else _value(found, environ, folder)
        end = found.end()
    yield text[end:]


def _value(found: re.Match[str], environ: Mapping[str, str], folder: Path | None) -> str:
    file = _FILE.fullmatch(found[1]) if folder is not None else None
    if file and found[2]:
        assert folder is not None
        return _from_file(folder / expand(file[1], environ), file[2])
    content = _CONTENT.fullmatch(found[1])
    if not content or not found[2]:
        forms = (
            "${NAME} or ${NAME:-default}" if folder is None else "${NAME}, ${NAME:-default} or ${file:/path}"
        )
        raise Unset(f"{found[0]!r} is not a variable", f"write {forms}, and $${{ for a literal ${{")
    name, default = content.groups()
    value = environ.get(name)
    if value or (value is not None and default is None):
        return value
    if default is None:
        raise Unset(f"environment variable {name} is not set", f"set it, or write ${{{name}:-default}}")
    return default


def _from_file(path: Path, default: str | None) -> str:
    """As $(cat path) in a shell: without the newlines at its end."""
    try:
        text = read_text(path, LARGEST).rstrip("\r\n")
    except FileNotFoundError as error:
        if default is None:
            hint = f"create it, or write ${{file:{path}:-default}}"
            raise Unset(f"{path} cannot be read: {error.strerror}", hint) from None
        return default
    except UnusableFile as error:
        raise Unset(f"{path} {error}", error.hint) from None
    return text or default or ""


class UnusableFile(Exception):
    """A file that is there and cannot be used: what is wrong with it, and what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def read_text(path: Path, largest: int) -> str:
    """A file's text, of at most so many bytes; never waits. Raises FileNotFoundError, UnusableFile."""
    try:
        return read_bytes(path, largest).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnusableFile("is not UTF-8 text") from None


def read_bytes(path: Path, largest: int) -> bytes:
    """A file's content, likewise."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnusableFile("is not a regular file")
            content = file.read(largest + 1)
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise UnusableFile("is a folder") from None
    except OSError as error:
        raise UnusableFile(f"cannot be read by user {os.geteuid()}: {error.strerror}") from None
    if len(content) > largest:
        raise UnusableFile(f"is larger than {largest >> 10}K", "is it the right file?")
    return content


def _open_at_once(path: str, flags: int) -> int:
    """Without waiting for a writer, as open(2) does for a FIFO."""
    return os.open(path, flags | os.O_NONBLOCK)
