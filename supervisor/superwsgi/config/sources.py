"""Where the value of a key was written. Noted as a site is loaded (text/sources.py), and kept with it."""

from __future__ import annotations

from msgspec import Struct


class Source(Struct, frozen=True):
    """`text` is the place for an operator: `site.yaml:12`, `--bind`, `.env:3`. `private`: what it holds is
    not to be shown; `expanded`: the value has something from a variable in it."""

    text: str
    private: bool = False
    expanded: bool = False
