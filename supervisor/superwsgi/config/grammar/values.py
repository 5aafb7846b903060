"""The grammars of single values: numbers, durations, sizes, shares, permission bits, words and names.

Each takes the text of a scalar and returns its value, or raises Invalid. Addresses are in addresses.py,
import strings and mounts in import_strings.py, `${NAME}` in variables.py.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

from superwsgi.config.errors import nearest, one_of
from superwsgi.config.grammar import other_servers
from superwsgi.config.grammar.formats import NAMED_FORMATS, TARGETS, parse_template
from superwsgi.config.kinds import COOLING


class Invalid(ValueError):
    """Text that does not fit its grammar: what was expected and, where that helps, what to write instead."""

    def __init__(self, expected: str, hint: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint


_DIGITS: Final = r"(?:0|[1-9][0-9]{0,14})"
_NUMBER: Final = rf"({_DIGITS}(?:\.[0-9]{{1,9}})?)"
_WHOLE: Final = re.compile(_DIGITS)
_QUANTITY: Final = re.compile(rf"{_NUMBER}([A-Za-z]*)")
_OCTAL: Final = re.compile(r"(?:0o)?0?[0-7]{1,3}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMPANION: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_QUOTED: Final = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.""", re.DOTALL)
_SHELLS: Final = re.compile(r"[|&;<>()$`*?\n]|(?<!\S)[#~]|(?<!\S)\[|^\s*[A-Za-z_][A-Za-z0-9_]*=")
"""Of what is not quoted, that which a shell would not take as it is."""

_LOOSE: Final = re.compile(rf"{_NUMBER}\s*([A-Za-z]+)")

_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_LARGEST: Final = 1 << 53
"""Bytes; beyond it a float would no longer count them one by one."""

_LEAST_SAMPLE: Final = 1e-6

_SHELL: Final = (
    "no shell reads it: quote it if it is meant as it is, use env for variables, or write sh -c 'exec ...'"
)

_TRUTH: Final = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}

_LONG_UNITS: Final = {
    **dict.fromkeys(("msec", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
}


def whole(text: str, least: int = 0, most: int | None = None) -> int:
    """A decimal number without sign, point or leading zero."""
    if not _WHOLE.fullmatch(text) or int(text) < least or (most is not None and int(text) > most):
        bounds = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise Invalid(f"a whole number {bounds}")
    return int(text)


def places(text: str) -> int:
    """A whole number up to 10,000; or `off`, which is 0."""
    if text.lower() == "off":
        return 0
    try:
        return whole(text, most=10_000)
    except Invalid as error:
        raise Invalid(f"{error.expected}, or off") from None


def duration(text: str, above_zero: bool = False) -> float:
    """Seconds: `250ms`, `30s`, `5m`, `1h`; a plain number is seconds."""
    found = _QUANTITY.fullmatch(text)
    if not found or found[2] not in _SECONDS:
        raise Invalid("a duration such as 250ms, 30s, 5m or 1h", _duration_meant(text))
    if above_zero and float(found[1]) == 0:
        raise Invalid("a duration above 0", "0 does not mean no limit; for practically none write 24h")
    return float(found[1]) * _SECONDS[found[2]]


def threshold(text: str) -> float:
    """As `duration`, above 0; or `off`, which is 0."""
    if text.lower() == "off":
        return 0.0
    try:
        return duration(text, above_zero=True)
    except Invalid as error:
        hint = "" if error.hint.startswith("0 ") else error.hint
        raise Invalid("a duration such as 250ms, 30s or 5m, or off", hint) from None


def cooling(text: str) -> float:
    """As `threshold`; or `on`, which is COOLING."""
    if text.lower() == "on":
        return COOLING
    try:
        return threshold(text)
    except Invalid as error:
        raise Invalid("on, off, or a duration such as 30s, 5m or 1h", error.hint) from None


def _duration_meant(text: str) -> str:
    loose = _LOOSE.fullmatch(text)
    if not loose:
        return ""
    unit = _LONG_UNITS.get(loose[2].lower(), loose[2].lower())
    return f"did you mean '{loose[1]}{unit}'?" if unit in _SECONDS else ""


def size(text: str) -> int:
    """Bytes: `8K`, `100M`, `1.5G`, binary, in either case; a plain number is bytes."""
    found = _QUANTITY.fullmatch(text)
    if not found or found[2].upper() not in _BYTES:
        raise Invalid("a size such as 8K, 100M or 1G", _size_meant(text))
    count = float(found[1]) * _BYTES[found[2].upper()]
    if not count.is_integer() or count > _LARGEST:
        raise Invalid("a size in whole bytes, at most 8388608G")
    return int(count)


def _size_meant(text: str) -> str:
    loose = _LOOSE.fullmatch(text)
    unit = loose[2].upper().removesuffix("B").removesuffix("I") if loose else ""
    return f"did you mean '{loose[1]}{unit}'?" if loose and unit in _BYTES else ""


def percent(text: str) -> float:
    """A share: `40%` is 0.4."""
    found = _QUANTITY.fullmatch(text.removesuffix("%"))
    if not found or found[2] or not text.endswith("%") or not 0 < float(found[1]) <= 100:
        raise Invalid("a percentage such as 40%")
    return float(found[1]) / 100


def tolerance(text: str) -> float:
    """A share from `0%` to less than `100%`; or `off`, which is 1."""
    if text.lower() == "off":
        return 1.0
    number = text.removesuffix("%")
    found = _QUANTITY.fullmatch(number)
    if not found or found[2] or number == text or float(found[1]) >= 100:
        raise Invalid("a percentage such as 1%, or off", _tolerance_meant(text))
    return round(float(found[1]) / 100, 9)


def _tolerance_meant(text: str) -> str:
    if text.lower() in ("no", "false", "none", "never", "100%"):
        return "to tolerate any, write off"
    bare = text.removesuffix("%").strip()
    found = _QUANTITY.fullmatch(bare)
    if not found or found[2] or not 0 < float(found[1]) < 100:
        return ""
    share = float(found[1]) if text.endswith("%") or float(found[1]) >= 1 else float(found[1]) * 100
    return f"did you mean '{share:g}%'?"


def sample(text: str) -> float:
    """A share of the lines of a log: `10%` or `0.1`, and up to `100%`."""
    number = text.removesuffix("%")
    found = _QUANTITY.fullmatch(number)
    value = float(found[1]) if found and not found[2] else -1.0
    share = round(value / 100, 9) if number != text else value
    if not _LEAST_SAMPLE <= share <= 1 or (text == number and share == 1):
        raise Invalid("a share such as 10% or 0.1", _sample_meant(number, value))
    return share


def _sample_meant(number: str, value: float) -> str:
    if value < 0:
        return ""
    if value == 0:
        return "to log none of them, name their path in log.skip"
    if value < 1:
        return "the least is 0.0001%"
    if value == 1:
        return "write 1%, or 100% for all"
    return f"did you mean '{number}%'?" if value <= 100 else "100% is all of them"


def octal(text: str) -> int:
    """Permission bits up to 777: `0027`, `027`, `0o27` or `27`; octal however it is written or quoted."""
    if not _OCTAL.fullmatch(text):
        raise Invalid("octal digits such as 0027")
    return int(text.removeprefix("0o"), 8)


def text(text: str) -> str:
    """Anything."""
    return text


def truth(text: str, expected: str = "true or false") -> bool:
    """true or false, and YAML 1.1's other words for them."""
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise Invalid(expected) from None


def choice(text: str, words: tuple[str, ...]) -> str:
    """One of a few words."""
    if text not in words:
        raise Invalid(one_of(words), nearest(text, words) or _signal_meant(text, words))
    return text


def _signal_meant(text: str, words: tuple[str, ...]) -> str:
    short = text.upper().removeprefix("SIG")
    return f"did you mean {short!r}?" if short in words else ""


def name(text: str) -> str:
    """A site's name, as used in process titles, logs and file names."""
    if not _NAME.fullmatch(text):
        raise Invalid("letters, digits, '.', '_' and '-', at most 64, with a letter or digit first")
    return text


def name_from(text: str) -> str:
    """The nearest that is a name: for a site named by its file or its module."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:64] or "site"


def account(text: str) -> str:
    """A user or group, by name or number; whether it exists is not asked here."""
    if not _ACCOUNT.fullmatch(text):
        raise Invalid("the name of a user or group", "user and group are two keys" if ":" in text else "")
    return text


def variable(text: str) -> str:
    """The name of an environment variable (POSIX XBD 8.1, with small letters)."""
    if not _VARIABLE.fullmatch(text):
        hint = "put a space after ':'" if ":" in text else ""
        raise Invalid("a variable's name of letters, digits and '_'", hint)
    return text


def companion(text: str) -> str:
    """A companion's name. It begins with a letter: a number is a worker's."""
    if not _COMPANION.fullmatch(text):
        raise Invalid("a name of letters, digits, '_' and '-', at most 32, with a letter first")
    return text


def command(text: str) -> str:
    """A program and its arguments. Nothing in it may need a shell: that would be between us and the program,
    and get its signals."""
    expected = "a command such as celery -A shop worker"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Invalid(expected, str(error).lower()) from None
    if not words or not words[0] or "\0" in text:
        raise Invalid(expected)
    strange = _strange(text)
    if strange:
        raise Invalid(f"{expected}, without a shell's {strange!r}", _SHELL)
    return text


def _strange(text: str) -> str:
    """The first thing that means something to a shell alone."""
    in_quotes = [each for each in _QUOTED.findall(text) if each.startswith('"')]
    expanded = next((found[0] for each in in_quotes if (found := re.search(r"(?<!\\)[$`]", each))), "")
    found = _SHELLS.search(_QUOTED.sub("x", text))
    return found[0].strip() or "line break" if found else expanded


def path(text: str, folder: Path) -> str:
    """A file or folder, made absolute against `folder`; symbolic links are left as they are."""
    if not text:
        raise Invalid("a path")
    if text.startswith("~"):
        raise Invalid("a path", f"~ is not expanded, write ${{HOME}}{text[1:]}")
    return str(folder / text)


def log_file(text: str, folder: Path) -> str:
    """Where a log goes: `-`, `off`, `stdout`, `stderr`, other words for them, or a file."""
    text = text.strip()
    known = TARGETS.get(text.lower())
    if known is not None:
        return known
    hint = other_servers.no_log_file(text) if text else "write off for no log"
    if hint:
        raise Invalid("-, off, stdout, stderr or a file", hint)
    return path(text, folder)


def log_format(text: str) -> str:
    """`combined`, `json` or a template."""
    if text in NAMED_FORMATS:
        return text
    expected = f"{', '.join(NAMED_FORMATS)} or a template such as '{{method}} {{target}}'"
    foreign = other_servers.log_format(text)
    if foreign:
        raise Invalid(expected, foreign)
    if not re.search("[{}]", text):
        raise Invalid(expected, nearest(text, NAMED_FORMATS))
    try:
        parse_template(text)
    except ValueError as error:
        raise Invalid(expected, str(error)) from None
    return text
