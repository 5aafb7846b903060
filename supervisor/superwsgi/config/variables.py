"""`${NAME}` and `${NAME:-default}` in the values of a site file, as a shell has them; `$${` is a plain `${`.

What a variable holds is text: it is not searched for variables again, and cannot add keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_CONTENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-((?:(?!\$\{).)*))?", re.DOTALL)


class Unset(ValueError):
    """A reference that cannot be replaced; the text says which and why, `hint` what to write."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def expand(text: str, environ: Mapping[str, str]) -> str:
    """The text with its variables in place. Raises Unset."""
    return "".join(_pieces(text, environ))


def _pieces(text: str, environ: Mapping[str, str]) -> Iterator[str]:
    end = 0
    for found in _REFERENCE.finditer(text):
        yield text[end : found.start()]
        yield "${" if found[0] == "$${" else _value(found, environ)
        end = found.end()
    yield text[end:]


def _value(found: re.Match[str], environ: Mapping[str, str]) -> str:
    content = _CONTENT.fullmatch(found[1])
    if not content or not found[2]:
        hint = "write ${NAME} or ${NAME:-default}, and $${ for a plain ${"
        raise Unset(f"{found[0]!r} is no variable", hint)
    name, default = content.groups()
    value = environ.get(name)
    if value or (value is not None and default is None):
        return value
    if default is None:
        raise Unset(f"environment variable {name} is not set", f"set it, or write ${{{name}:-default}}")
    return default
