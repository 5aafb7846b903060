"""An incident from an event of the error log: its fields say what happened to whom, and what follows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from superwsgi.http.request.path_groups import group_of
from superwsgi.incidents import Incident, Listed, MemorySample, RequestInHand
from superwsgi.log.spelling import encodable, plain_text

_CAUSES: Final = ("how", "what", "error", "problem", "reason", "limit")
"""Fields that say why, in the order in which they are told."""

REFUSED: Final = "request refused"
IMPOSSIBLE: Final = "impossible message"

_CONSEQUENCES: Final = {
    "companion died": "what it does waits",
    "companion killed": "what it had in hand is lost, unless its queue gives it to another one",
    "companion not started": "what it does waits",
    "companion out of reach": "it goes on, also beside another one",
    "connection not accepted": "new connections wait",
    "control connection not accepted": "commands wait",
    "control connection refused": "its command is not carried out",
    "drain cut short": "what it has in hand is lost",
    "error in the server": "one connection is closed",
    "greenlet stalls its worker": "all requests of that worker wait",
    "hangs": "its connections wait",
    IMPOSSIBLE: "what it had in hand is lost",
    "leak suspected": "its worker has less memory left with each such request",
    "listener broken": "new clients do not reach the site until it is mended",
    "control socket lost": "no command reaches this site until then",
    "control socket crowded": "some commands have to be repeated",
    "pid file lost": "who goes by it finds no master until then",
    "memory short": "the kernel may kill any process of it",
    "mold lost": "no worker can be replaced until there is a new one",
    "no more connections": "new connections wait, or idle ones are closed for them",
    "no more threads": "requests wait for those that there are",
    "no temporary file for a response": "threads wait for slow clients",
    "not forked": "a worker is missing",
    "out of threads": "requests wait",
    "reload failed": "what was to be deployed does not serve",
    "reload refused": "what was to be deployed does not serve",
    "request stalls its worker": "all other requests of that worker wait",
    "request stuck": "its client is answered 504",
    "requests shed": "those are answered 503 at once that would be late",
    "rolled back in vain": "clients are answered 5xx by either release",
    "slow request": "its client waits",
    "site down": "clients wait in the backlog",
    "suspect": "each time a worker ends, with all that it has in hand",
    "quarantined": "its requests are answered 503",
    "too many connections of one client": "its further connections are refused with 429",
    "application did not load": "the site does not serve",
    "access log failed": "lines are missing in the access log",
    "access log dropped": "lines are missing in the access log",
    "error log failed": "lines are missing in the error log",
    "error log dropped": "lines are missing in the error log",
}
"""By event; others speak for themselves."""

_TOLD: Final = {
    *_CAUSES,
    "next",
    "request",
    "method",
    "target",
    "path",
    "seconds",
    "in_hand",
    "memory",
    "times",
}
"""Fields that have a place of their own in an Incident."""

OURS: Final = frozenset(
    {
        *_CONSEQUENCES,
        REFUSED,
        "admin died",
        "companion to be exchanged",
        "died",
        "killed",
        "to be recycled",
        "worker broken",
    }
)
"""Events of which an operator wants to hear, whatever else a worker makes up."""

_MOST: Final = 1_000_000
"""Times at once that are believed: applications can write to the scoreboard, and forge words."""

_NUMBERS: Final = re.compile(r"[0-9]+")

Key = tuple[object, ...]


def incident(
    number: int,
    level: str,
    who: Mapping[str, object],
    event: str,
    fields: Mapping[str, object],
    detail: str,
    when: float,
) -> Incident:
    """`when` is Unix time in seconds."""
    return Incident(
        number=number,
        event=encodable(event),
        level=level,
        when=when,
        last=when,
        times=_times(event, fields),
        worker=_number(who.get("worker")),
        companion=_text(who.get("companion", "")),
        gen=_number(who.get("gen")),
        pid=_number(who.get("pid", who.get("mold"))),
        cause=": ".join(_text(fields[name]) for name in _CAUSES if name in fields),
        consequence=_consequence(event, fields),
        then=_text(fields.get("next", "")),
        requests=tuple(_requests(fields)),
        memory=tuple(each for each in _listed(fields, "memory") if isinstance(each, MemorySample)),
        fields={name: _text(value) for name, value in fields.items() if name not in _TOLD},
        detail=encodable(detail),
    )


def key(one: Incident) -> Key:
    """The same for incidents that are one that happens again: numbers in the words do not count."""
    if one.event == REFUSED:  # whatever was asked for
        return (one.event, one.worker, one.gen, one.fields.get("status"))
    kinds = {(request.method, group_of(request.target)) for request in one.requests}
    return (one.event, one.worker, one.companion, one.gen, _NUMBERS.sub("#", one.cause), frozenset(kinds))


def _times(event: str, fields: Mapping[str, object]) -> int:
    """Refusals are counted on the scoreboard alone: as many as words of a worker say are there, too."""
    if event == REFUSED and "reason" in fields:
        return 0
    times = _number(fields.get("times"))
    return 1 if times is None else min(max(times, 0), _MOST)


def _consequence(event: str, fields: Mapping[str, object]) -> str:
    if "lost" in fields or event == "died":
        return f"{_text(fields.get('lost', 'no request'))} lost"
    if event == REFUSED:
        return f"answered {_text(fields.get('status'))}"
    if event == "request stuck" and "sent" in fields:
        return f"its response ends incomplete, after {_text(fields['sent'])} bytes"
    return _CONSEQUENCES.get(event, "")


def _requests(fields: Mapping[str, object]) -> list[RequestInHand]:
    listed = [each for each in _listed(fields, "in_hand") if isinstance(each, RequestInHand)]
    if listed or "request" not in fields:
        return listed
    target = fields.get("target", fields.get("path", ""))
    seconds = fields.get("seconds")
    return [
        RequestInHand(
            method=_text(fields.get("method", "")),
            target=_text(target),
            id=_text(fields["request"]),
            seconds=None if seconds is None else _seconds(seconds),
        )
    ]


def _listed(fields: Mapping[str, object], name: str) -> Listed:
    value = fields.get(name)
    return value if isinstance(value, Listed) else Listed(())


def _text(value: object) -> str:
    """As it can be sent to whoever asks."""
    return encodable(plain_text(value))


def _number(value: object) -> int | None:
    try:
        return int(_text(value))
    except ValueError:
        return None


def _seconds(value: object) -> float | None:
    try:
        return float(_text(value))
    except ValueError:
        return None
