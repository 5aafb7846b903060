"""What has gone wrong, for whoever asks later: one record an incident, kept by the master. `superwsgi why`
shows them, an upgrade hands them over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

from superwsgi.log.spelling import duration, size

ID_KEPT: Final = 48
"""Characters of a request's id by which it is known: the scoreboard has no more."""

NAMED: Final = 32
"""How many requests of one incident are named."""


class RequestInHand(Struct, frozen=True):
    """A request that an incident has to do with. `seconds` in the application, None if it was not there;
    `thread` is the number of its thread, None if that is not known."""

    method: str
    target: str
    id: str = ""
    seconds: float | None = None
    thread: int | None = None

    def is_called(self, request_id: str) -> bool:
        """Whether it has that id. What comes from the scoreboard, or is asked for, may be cut."""
        return bool(self.id) and self.id[:ID_KEPT] == request_id[:ID_KEPT]

    def __str__(self) -> str:
        """`GET /report 3f08-17 3.2s`."""
        spent = "" if self.seconds is None else duration(self.seconds)
        return " ".join(filter(None, (self.method, self.target, self.id, spent)))


class MemorySample(Struct, frozen=True):
    """What a process used `ago` seconds before."""

    ago: float
    bytes: int

    def __str__(self) -> str:
        """`212M 1s before`."""
        return f"{size(self.bytes)} {duration(self.ago)} before"


class Incident(Struct, kw_only=True, frozen=True):
    """Something that has gone wrong, `times` so far, first at `when` and last at `last` (Unix time, seconds).

    `event` is the error log's word for it, `fields` what else its line says. `worker`, `gen` and `pid` say
    whose it is; None, or 0, where that is nobody in particular. `cause`, `consequence` and `then` (what
    followed) are in words. `detail` is text of several lines: stacks, a traceback, what a program printed.
    """

    number: int
    event: str
    level: str
    when: float
    last: float
    times: int = 1
    worker: int | None = None
    companion: str = ""
    gen: int | None = None
    pid: int | None = None
    cause: str = ""
    consequence: str = ""
    then: str = ""
    requests: tuple[RequestInHand, ...] = ()
    memory: tuple[MemorySample, ...] = ()
    fields: dict[str, str] = {}
    detail: str = ""

    @property
    def title(self) -> str:
        """`worker 2 died`, `companion mail died`."""
        if self.companion:
            return f"companion {self.companion} {self.event.removeprefix('companion ')}"
        return self.event if self.worker is None else f"worker {self.worker} {self.event}"

    def concerns(self, word: str) -> bool:
        """Whether it has to do with `word`: its number, a worker's number, a process or a request's id."""
        numbers = {f"#{self.number}", *(str(each) for each in (self.worker, self.pid) if each is not None)}
        names = {self.companion, self.companion.partition(":")[0]} - {""}
        return word in numbers | names or any(request.is_called(word) for request in self.requests)


class Listed(tuple[Any, ...]):
    """Several of the above, as one field of an event."""

    __slots__ = ()

    def __new__(cls, items: Iterable[RequestInHand | MemorySample]) -> Listed:
        return super().__new__(cls, items)

    def __str__(self) -> str:
        return ", ".join(map(str, self))
