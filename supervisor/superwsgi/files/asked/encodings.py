"""Accept-Encoding (RFC 9110 section 12.5.3): which of the compressed files beside a file a client takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

SUFFIXES: Final[Mapping[str, bytes]] = {"br": b".br", "zstd": b".zst", "gzip": b".gz"}
"""Coding → what its file's name ends in. Where two are as small, the first is sent."""

_ITEM: Final = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:;\s*[qQ]\s*=\s*([01](?:\.\d{0,3})?)\s*)?")
_PLAIN: Final = "identity"
_LEAST: Final = 0.0001
"""How much an uncompressed file is wanted where nobody says so: less than any coding that is named."""


def choose(accepted: str, sizes: Mapping[str, int], size: int) -> str:
    """Of `sizes`, by coding, the one to send in the place of the file itself, of `size` bytes; or nothing.

    What the client wants most, and of that the smallest; none that is larger than the file, unless the client
    refuses the file as it is."""
    wanted = _qualities(accepted)
    rest = wanted.get("*", 0.0)
    plain = wanted.get(_PLAIN, 0.0 if wanted.get("*") == 0 else _LEAST)
    best, best_rank = "", (plain, -size)
    for coding, its_size in sizes.items():
        quality = wanted.get(coding, rest)
        rank = (quality, -its_size)
        if quality > 0 and rank > best_rank and (its_size < size or not plain):
            best, best_rank = coding, rank
    return best


def _qualities(accepted: str) -> dict[str, float]:
    found = {}
    for item in accepted.split(","):
        match = _ITEM.fullmatch(item)
        if match is not None:
            coding = match[1].lower().removeprefix("x-")
            found[coding] = min(1.0, float(match[2] or 1))
    return found
