"""What must hold of the parser for any bytes, for a fuzzer that knows nothing but bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.http.request.feeding import bytewise
from tests.http.request.legitimate import LEGITIMATE
from tests.http.request.malformed import MALFORMED
from tests.http.request.plain import is_plain, pass_llhttp
from tests.http.request.streams import MOUNTED, SMALL, WORDS, cut, outcome

_CUTS: Final = 4
"""Bytes at the beginning of an input that say where the rest is cut."""

_LONGEST: Final = 4096
_SPREAD: Final = bytes(range(7, 7 + 9 * _CUTS, 9))


def check(data: bytes) -> None:
    """Raises AssertionError where a property does not hold, or whatever the parser raises."""
    places, stream = [2 * place for place in data[:_CUTS]], data[_CUTS:]
    for small in ({}, SMALL, {"site": MOUNTED}):
        whole = outcome([stream], **small)
        assert outcome(cut(stream, places), **small) == whole
        assert outcome(bytewise(stream), **small) == whole
    head = stream.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    if is_plain(head):
        pass_llhttp(head)


def seeds() -> list[bytes]:
    """Inputs to begin with: the corpus."""
    return [_SPREAD + case.data for case in LEGITIMATE + MALFORMED if len(case.data) <= _LONGEST]


def write_seeds(folder: Path) -> None:
    for number, seed in enumerate(seeds()):
        (folder / f"{number}").write_bytes(seed)


def write_dictionary(path: Path) -> None:
    """In libFuzzer's format."""
    spelled = ("".join(f"\\x{byte:02x}" for byte in word) for word in WORDS)
    path.write_text("".join(f'"{word}"\n' for word in spelled))
