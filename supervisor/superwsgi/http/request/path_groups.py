"""Groups of paths: what names one of many things (a number, an id, a hash, a date, a title) is `*`.

    /orders/1234/items/7         /orders/*/items/*
    /static/app.3f2a91c0.js      /static/*
    /v1/users/me                 /v1/users/me

What looks like a word is kept, even if it is one of many: who uses groups has to bound their number. A path
has the same group as what the scoreboard keeps of it.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from superwsgi.board.layout import PATH_BYTES

DEPTH: Final = 8
"""Segments that tell groups apart; what is deeper is one more `*`."""

LONGEST: Final = 40
"""Characters of a segment that may be a word; an escape counts as one."""

_CAPITALS: Final = 3
"""One letter in so many is a capital in `getUserProfile`, and more are in random letters."""

_ESCAPE: Final = re.compile("%[0-9A-Fa-f]{2}")

_LETTER: Final = "[^0-9._@=-]"
_PART: Final = f"(?:{_LETTER}*|{_LETTER}{{2,12}}[0-9]|[0-9]{_LETTER}{{2,3}})"
"""Letters, or a name with one digit at an end, as in `/oauth2` and `/2fa`: there are few of these, but ids
have more digits."""

_WORD: Final = re.compile(
    rf"{_PART}(?:[._-]{_PART}){{0,4}}|[vV][0-9]{{1,2}}(?:\.[0-9]{{1,2}}){{0,2}}(?:(?:alpha|beta)[0-9])?"
)
"""At most five parts, for more are a title, or a version, as in `/v2.1`."""

_RANDOM: Final = re.compile("[a-z][A-Z].*[a-z][A-Z]|[A-Z]{16}")
"""What random letters have, and some words as well."""

_CACHED: Final = 1024
_USUAL: Final = 256
"""Paths whose kind is known without looking for their group, which takes 2 us, and how many bytes these have:
clients choose them, and would fill megabytes."""

_asked: Final[dict[tuple[str, bytes], str]] = {}


def group_of(target: bytes | str) -> str:
    """The group of a request's target."""
    return path_group(path_of(target))


def asked_kind(method: str, target: bytes) -> str:
    """`GET /reports/*`: a method, and the group of what the client has asked for."""
    path = target.partition(b"?")[0]
    kind = _asked.get((method, path))
    if kind is None:
        kind = f"{method} {group_of(path)}"
        if len(path) <= _USUAL:
            if len(_asked) >= _CACHED:
                _asked.clear()
            _asked[method, path] = kind
    return kind


def group_below(target: bytes | str, folders: tuple[str, ...]) -> str:
    """The same, but all below one of these folders of files is one group: a folder has as many names as
    files, and they would leave pages no place."""
    path = path_of(target)
    for folder in folders:
        if path.startswith(folder):
            return _cut(f"{folder}*")
    return path_group(path)


def path_of(target: bytes | str) -> str:
    """The path of a target, without its query and as the client spelled it; of a whole URL, too (RFC 9112
    section 3.2.2)."""
    text = target if isinstance(target, str) else target.decode("latin-1")
    path = text.partition("?")[0]
    _, is_url, rest = path.partition("://")
    return path if path.startswith("/") or not is_url else f"/{rest.partition('/')[2]}"


def path_group(path: str) -> str:
    """The group of a path without its query."""
    return _group(_cut(path))


def served_group(target: bytes) -> str:
    """The group of what the application sees of a target in origin form: with all escapes undone, as in
    PATH_INFO. So a client cannot spell one path in many ways, to have it in as many groups."""
    return _group(unquote_to_bytes(_cut(path_of(target))).decode("latin-1"))


def served_kind(method: str, target: bytes) -> str:
    """`GET /reports/*`: a method, and the group of what the application sees."""
    return f"{method} {served_group(target)}"


def _cut(path: str) -> str:
    """As much as the scoreboard has of it for certain."""
    return path if len(path) < PATH_BYTES else path[:PATH_BYTES].rpartition("/")[0] + "/*"


def _group(path: str) -> str:
    segments = path.split("/")
    kept = [segment if _is_word(segment) else "*" for segment in segments[: DEPTH + 1]]
    if len(segments) > DEPTH + 1:
        kept.append("*")
    return "/".join(kept)


def _is_word(segment: str) -> bool:
    if not segment or (segment.isalpha() and segment.islower()):  # as most are
        return len(segment) <= LONGEST
    if "%" in segment:
        segment = _ESCAPE.sub("x", segment)
    if len(segment) > LONGEST or _WORD.fullmatch(segment) is None:
        return False
    return _RANDOM.search(segment) is None or _capitals(segment) * _CAPITALS <= len(segment)


def _capitals(segment: str) -> int:
    return sum("A" <= letter <= "Z" for letter in segment)
