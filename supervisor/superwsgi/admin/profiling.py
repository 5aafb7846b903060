"""Profiles as documents: made when somebody with the token asks, and kept for some minutes under an id that
nobody guesses, so that a browser can open one in a tab of its own. The page cannot show one: what it makes
is held to its policy, and a flame graph has a script.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct

from superwsgi.control import Profile, ProfileRequest
from superwsgi.profiles.formats import FORMATS
from superwsgi.profiles.summing import sampled
from superwsgi.profiles.wording import workers_not_told
from superwsgi.samples import SECONDS

KEPT_FOR: Final = 600.0
"""Seconds."""

MOST_KEPT: Final = 8
MOST_BYTES: Final = 32 << 20

POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
)
"""Its script may run, but has no origin: it can ask this process for nothing."""

_KINDS: Final = {
    "html": ("text/html; charset=utf-8", ""),
    "speedscope": ("application/json", "profile.speedscope.json"),
    "collapsed": ("text/plain; charset=utf-8", "profile.collapsed"),
}
"""The content type of each format, and the name of the file that a browser makes of it."""


class OfProfile(Struct, forbid_unknown_fields=True):
    """As ProfileRequest; `keep` it and say where, instead of answering with it."""

    of: str | None = None
    seconds: float = 10.0
    cpu: bool = False
    path: str | None = None
    format: Literal["html", "speedscope", "collapsed"] = "html"
    keep: bool = False

    def request(self) -> ProfileRequest:
        """Raises ValueError."""
        least, most = SECONDS
        if not least <= self.seconds <= most:
            raise ValueError(f"seconds are from {least:g} to {most:g}")
        if self.path is not None and not self.path.startswith("/"):
            raise ValueError("path begins with /")
        return ProfileRequest(of=self.of, seconds=self.seconds, cpu=self.cpu, path=self.path)


class ProfileDocument(Struct, frozen=True):
    """A profile in some format; `name` is that of the file to make of it, if one is to be made."""

    kind: str
    name: str
    content: bytes


class KeptProfile(Struct, frozen=True):
    """Where the document is, `api/profile/ID`; how many samples were taken, and what is to be known of it."""

    id: str
    samples: int
    notes: list[str]


def document(profile: Profile, wanted: str) -> ProfileDocument:
    kind, name = _KINDS[wanted]
    return ProfileDocument(kind, name, FORMATS[wanted](profile).encode("utf-8", "surrogateescape"))


class Documents:
    """Those that are kept. From any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, ProfileDocument]] = {}

    def keep(self, profile: Profile, made: ProfileDocument) -> KeptProfile:
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[name] = self._clock() + KEPT_FOR, made
            self._forget()
        return KeptProfile(name, sum(each.taken for each in sampled(profile)), [*workers_not_told(profile)])

    def find(self, name: str) -> ProfileDocument | None:
        with self._lock:
            self._forget()
            return self._kept[name][1] if name in self._kept else None

    def _forget(self) -> None:
        """What is too old, and the oldest of too many; never the last one."""
        now = self._clock()
        self._kept = {name: each for name, each in self._kept.items() if each[0] > now}
        while len(self._kept) > 1 and (len(self._kept) > MOST_KEPT or self._bytes() > MOST_BYTES):
            del self._kept[next(iter(self._kept))]

    def _bytes(self) -> int:
        return sum(len(made.content) for _, made in self._kept.values())
