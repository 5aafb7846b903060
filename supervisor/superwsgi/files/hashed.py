"""Names that say what is in a file, such as `app.3f2a1b9c.js`: what they name never changes, so that browsers
may keep it for ever.

A name that only looks like one would keep an old file in browsers for years; one that is not known for one
costs a question a minute. So the doubtful are not: dates, versions, numbers, words.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Final

_OF_BUNDLERS: Final = frozenset(
    {
        *("js", "mjs", "cjs", "css", "map", "json", "wasm", "html", "txt", "xml", "webmanifest"),
        *("svg", "png", "jpg", "jpeg", "gif", "webp", "avif", "ico", "mp4", "webm", "mp3", "ogg"),
        *("woff", "woff2", "ttf", "otf", "eot"),
    }
)
_CODE: Final = (".js", ".mjs", ".css")

_HEX: Final = re.compile(r"[0-9a-f]+")
_LENGTHS: Final = (8, 10, 12, 16, 20, 24, 32, 40, 56, 64)
"""Of a digest in hex: webpack's and Parcel's are cut to 8 or 20, Django's to 12."""

_LONG: Final = 12
_MONTH: Final = re.compile(r"dec|feb")
_BASE64: Final = re.compile(r".+-([0-9A-Za-z_-]{8})")
_BASE32: Final = re.compile(r"[A-Z2-7]{8}")

_ALONE: Final = 5
_AMONG_OTHERS: Final = 3
"""How often capitals, small letters and digits have to take turns for eight characters to be no word: in
`Version2` it is twice, in `BxYz12_a` six times."""


def is_hashed(name: str, neighbours: Callable[[], Iterable[str]]) -> bool:
    """Whether a part of a file's name is a digest: of Django's ManifestStaticFilesStorage, webpack, Parcel,
    Rollup and Vite, esbuild. `neighbours` are the names in its folder: eight letters alone may be a word, but
    not at the end of all scripts and style sheets of a folder."""
    stem, *inner = name.removesuffix(".map").split(".")
    if not inner or not stem:
        return False
    known = inner.pop().lower() in _OF_BUNDLERS
    if any(_is_digest(part, known) for part in inner):
        return True
    if not known:
        return False
    before, _, last = stem.rpartition("-")
    if _is_digest(last, known and bool(before)):
        return True
    token = _token(name)
    if token is None:
        return False
    return _is_random(token, _ALONE) or _are_all_hashed(neighbours())


def _is_digest(part: str, known: bool) -> bool:
    """In hex, and neither a number nor a word nor a date; a short one only of a file as bundlers make it."""
    if not _HEX.fullmatch(part) or len(part) not in _LENGTHS:
        return False
    if part.isdigit() or part.isalpha():
        return False
    return len(part) >= _LONG or (known and not _MONTH.search(part))


def _token(name: str) -> str | None:
    """The eight characters before the extension: `index-BxYz12_a.js`."""
    match = _BASE64.fullmatch(name.removesuffix(".map").rpartition(".")[0])
    return match[1] if match else None


def _are_all_hashed(names: Iterable[str]) -> bool:
    tokens = [_token(name) for name in names if name.endswith(_CODE)]
    if len(tokens) < 2:
        return False
    return None not in tokens and any(_is_random(token, _AMONG_OTHERS) for token in tokens if token)


def _is_random(token: str, changes: int) -> bool:
    kinds = [_kind(char) for char in token]
    if set(kinds) <= {"digit", "capital"}:
        return bool(_BASE32.fullmatch(token)) and not token.isalpha()
    changed = sum(before != after for before, after in itertools.pairwise(kinds))
    return {"digit", "capital", "small"} <= set(kinds) and changed >= changes


def _kind(char: str) -> str:
    return (
        "digit" if char.isdigit() else "capital" if char.isupper() else "small" if char.islower() else "sign"
    )
