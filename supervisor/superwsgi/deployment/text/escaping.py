"""Words as other programs' files spell them: systemd.syntax(7), tmpfiles.d(5), nginx, HAProxy, YAML, sh.

A path may have blanks, quotes, `%`, `$`, backslashes and letters of any script; what none of these files can
hold is a control character, such as the end of a line.
"""

from __future__ import annotations

import json
import re
from typing import Final
from urllib.parse import quote

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_PLAIN: Final = re.compile(r"[\w@+,./=%$-]+")  # `:` divides what BindPaths= has
_PLAIN_YAML: Final = re.compile(r"[A-Za-z./_][A-Za-z0-9._/-]*(?::[A-Za-z0-9._/][A-Za-z0-9._/()-]*)?")
_YAML_WORDS: Final = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})
_SPECIAL_NGINX: Final = re.compile(r"""[\s;{}"'\\#$]""")
_SPECIAL_HAPROXY: Final = re.compile(r"""[\s"'\\#$]""")


class Unspeakable(ValueError):
    """Text with a control character."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} has a character in it that no such file can hold: rename it")


def word(text: str) -> str:
    """One word of a setting that is a list: quotes are removed, `%` would be a specifier."""
    return _quoted(_checked(text)).replace("%", "%%")


def argument(text: str) -> str:
    """A word of a command behind its program: there `$` would be a variable as well."""
    return word(text).replace("$", "$$")


def url(path: str) -> str:
    """For Documentation=."""
    return f"file:{quote(_checked(path))}".replace("%", "%%")


def line(text: str) -> str:
    """The whole value of a setting that is no list."""
    return _checked(text).replace("%", "%%")


def yaml(text: str) -> str:
    """A value of a site file, in which `${` would be a variable."""
    return yaml_with_variables(text.replace("${", "$${"))


def yaml_with_variables(text: str) -> str:
    """The same where it may be one; a word is as it is, all else in quotes."""
    if _PLAIN_YAML.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def nginx(text: str) -> str:
    """A parameter. `$` stands for a variable even in quotes, and cannot be written otherwise."""
    _checked(text)
    if "$" in text:
        raise Unspeakable(text)
    return _quoted(text) if _SPECIAL_NGINX.search(text) else text


def haproxy(text: str) -> str:
    """A word, which within single quotes is as it is."""
    _checked(text)
    if "'" in text:
        raise Unspeakable(text)
    return f"'{text}'" if _SPECIAL_HAPROXY.search(text) else text


def logrotate(text: str) -> str:
    """A file, in which `*`, `?` and `[` would be patterns (glob(7))."""
    escaped = re.sub(r"([*?\[\]\\])", r"\\\1", _checked(text))
    return f'"{escaped}"' if '"' not in text else f"'{escaped}'"


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _checked(text: str) -> str:
    """Raises Unspeakable."""
    if _CONTROL.search(text):
        raise Unspeakable(text)
    return text
