"""Every message between the master, the molds, the workers and the admin process, on one screen.

Frozen types with an explicit encoding: one JSON object per message, its type under "type". Descriptors travel
beside a message (SCM_RIGHTS); the docstrings say which, in order. `channel.py` moves them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from superwsgi.config.links import Links
from superwsgi.config.schema import Site
from superwsgi.config.sections import AdminSettings, Log

REASON_LIMIT: Final = 2 << 10
DETAIL_LIMIT: Final = 16 << 10
"""Maximum characters of a detail: six times that, in JSON, still fits into a packet."""

WORD_LIMIT: Final = 256
PLACE_LIMIT: Final = 8 << 10
"""Characters of a name, target or id of a thread, and of its stack."""

MOST_HEADS: Final = 8
MOST_PLACES: Final = 300
"""Threads in one message, which has to fit into a packet, and stacks in one answer."""

MOST_LEAKS: Final = 5

MOST_ANSWERS: Final = 2000
"""Messages in one answer: enough for 10,000 threads."""

# Words of a mold or worker beyond these bounds are refused: application code may have sent them.
Reason = Annotated[str, Meta(max_length=REASON_LIMIT)]
Detail = Annotated[str, Meta(max_length=DETAIL_LIMIT)]
ThreadWord = Annotated[str, Meta(max_length=WORD_LIMIT)]
FieldName = Annotated[str, Meta(max_length=100, pattern=r"^[a-z][a-z0-9_]*\Z")]
Bytes = Annotated[float, Meta(gt=0)]
Seconds = Annotated[float, Meta(ge=0)]
Number = Annotated[int, Meta(ge=0, lt=1 << 31)]
Identifier = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class _Message(Struct, frozen=True, tag_field="type", tag=str.lower):
    pass


# Master to mold.


class Boot(_Message, frozen=True):
    """Become the mold of `generation`; `master` is the process that asks.

    Descriptors: scoreboard, error log, access log, the pipe for stacks if `stacks`, the one for `output` if
    that is captured, the files of certificates if `handed` over (worker/boot/handed.py), listeners. A log
    that is off has no descriptor: `error_log` and `access_log` say whether there is one; `tls` says for each
    listener whether it speaks TLS, and `checks` whether it is for health checks alone. A generation is
    `proven` once one of its workers has served: then a failing warm-up does not prevent a worker. `links` are
    those that lead to its release, `search_path` is its $PYTHONPATH. `growing`: the master, which may be of
    an earlier version, understands Grows, and that it is not only of leaks. `try_out`: load, say how that
    went (Tried), and end.
    """

    master: int
    generation: int
    site: Site
    error_log: bool
    access_log: bool
    tls: tuple[bool, ...] = ()
    checks: tuple[bool, ...] = ()
    proven: bool = False
    stacks: bool = False
    output: bool = False
    links: Links = ()
    search_path: str | None = None
    handed: bool = False
    growing: bool = False
    try_out: bool = False


class Fork(_Message, frozen=True):
    """Fork worker `worker` for `slot` of the scoreboard. Descriptors: its end of its channel, and of a pipe
    for its stacks if `stacks`. `proven` as in Boot, `quarantine` as in Quarantine."""

    worker: int
    slot: int
    proven: bool = False
    stacks: bool = False
    quarantine: dict[str, float] = {}


class Become(_Message, frozen=True):
    """Become worker `worker` yourself, for `slot`: sent once, to a mold that has sent Unforkable. Descriptors
    and the rest as in Fork."""

    worker: int
    slot: int
    proven: bool = False
    stacks: bool = False
    quarantine: dict[str, float] = {}


class Relisten(_Message, frozen=True):
    """Give later workers these listeners instead. Descriptors: all of them; `tls` and `checks` as in Boot."""

    tls: tuple[bool, ...]
    checks: tuple[bool, ...] = ()


# Master to admin process.


class BootAdmin(_Message, frozen=True):
    """Be the admin process of the site called `name`; `master` is the process that asks. It becomes `user`
    first, if there is one. `exposed`: other machines may reach it. `metrics` is the folder of the
    application's.

    Descriptors: the memory for its history, error log if `error_log`, listeners.
    """

    master: int
    name: str
    settings: AdminSettings
    log: Log
    error_log: bool
    exposed: bool = False
    user: str | None = None
    metrics: str | None = None


class Connected(_Message, frozen=True):
    """The answer to Connect. Descriptor: a connection for one request, as on the control socket."""


# Master to mold, worker and admin process.


class Reopen(_Message, frozen=True):
    """Write to these log files from now on. Descriptors: error log, access log, as in Boot."""

    error_log: bool
    access_log: bool


# Master to worker.


class Drain(_Message, frozen=True):
    """Stop accepting after `lame_duck` seconds, answer what is in hand, end within `graceful` more.

    `last`: no other worker serves then, and health checks are told so at once. To a worker that drains
    already, this alone is news.
    """

    lame_duck: float
    graceful: float
    last: bool = False


class Stop(_Message, frozen=True):
    """End now, whatever is in hand."""


class MayGrow(_Message, frozen=True):
    """Whether more `workers` may still be started for load. Until it is said: no."""

    workers: bool


class Quarantine(_Message, frozen=True):
    """Answer requests of these `kinds` with 503, and all others as usual: each kind until then, in monotonic
    seconds."""

    kinds: dict[str, float]


class Spread(_Message, frozen=True):
    """Workers have come for load: for so many `seconds` end connections beyond your share after their next
    answer, so that their clients come to others."""

    seconds: float


class TellThreads(_Message, frozen=True):
    """What do your threads do? Answered by ThreadsAt."""

    question: int


class SampleThreads(_Message, frozen=True):
    """Sample the stacks of your threads that are in requests for so many `seconds`, `rate` times a second;
    with `cpu`, as far as they compute; only requests for `path` and what is below it. Descriptors: a pipe,
    into which a Sampled (samples.py) of about `room` bytes goes at the end, as a line."""

    seconds: float
    rate: float
    cpu: bool = False
    path: str | None = None
    room: int = 1 << 20


# Mold to master.


class Loaded(_Message, frozen=True):
    """Workers can be forked; it took `seconds` since the mold began. The `hazards` will not survive the fork,
    which is done anyway."""

    seconds: Seconds
    hazards: list[str] = []


class Unforkable(_Message, frozen=True):
    """The import took `seconds` and left `hazards`, which a fork would break: this process can become one
    worker itself, and the others have to import the application themselves."""

    hazards: list[str]
    seconds: Seconds


class LoadFailed(_Message, frozen=True):
    """The generation cannot serve, or this mold can no longer fork: a one-line reason, and the traceback's
    text if there is one; `locked` if it failed on something that another process holds."""

    reason: Reason
    detail: Detail = ""
    locked: bool = False


class Footprint(Struct, frozen=True):
    """The memory of a process in bytes: all that it sees, its part of what it shares, what is its own."""

    rss: int
    pss: int
    private: int


class LoadTrouble(Struct, frozen=True):
    """What failed as it was tried out, by its key in the site file; `harmless`: a start would go on."""

    key: str
    reason: Reason
    detail: Detail = ""
    harmless: bool = False


class Tried(_Message, frozen=True):
    """Loading took `seconds`, left `hazards`, and failed in `troubles`. Memory `before` the import and
    `after` it, None where the kernel does not tell; what a fork has of its own at first is `forked`, None
    where none was tried. `folders`: by what it is, its path and what this user may do there, as in `r-x`."""

    seconds: Seconds
    hazards: list[str] = []
    troubles: list[LoadTrouble] = []
    before: Footprint | None = None
    after: Footprint | None = None
    forked: int | None = None
    folders: dict[str, tuple[str, str]] = {}


class ForkFailed(_Message, frozen=True):
    """The worker for `slot` could not be forked: as LoadFailed."""

    slot: Number
    reason: Reason
    detail: Detail = ""
    locked: bool = False


# Worker to master.


class Started(_Message, frozen=True):
    """I run as `pid`: a worker's first word, on its own channel so that it cannot be overtaken."""

    pid: Number


class Ready(_Message, frozen=True):
    """Serving; it took `seconds` since the fork. `samples`: it understands SampleThreads; `quarantines`: and
    Quarantine. The admin process says so, too."""

    seconds: Seconds
    samples: bool = False
    quarantines: bool = False


class BootFailed(_Message, frozen=True):
    """The worker cannot serve and ends: as LoadFailed."""

    reason: Reason
    detail: Detail = ""
    locked: bool = False


class Stuck(Struct, frozen=True):
    """A request that was ended in the stead of its thread, which is still in the application `seconds` after
    it began."""

    method: Reason
    target: Reason
    id: Reason
    seconds: Seconds


class Recycle(_Message, frozen=True):
    """Please replace me; I keep serving until then. `stuck` is the request that makes that necessary, if one
    does."""

    reason: Reason
    stuck: Stuck | None = None


class ThreadHead(Struct, frozen=True):
    """A thread, and since how many seconds it has the request in hand, if it has one. `abandoned`: its
    request was ended in its place, and it has not come back; `server`: one of ours, `application`: one that
    the application has started."""

    ident: Identifier
    name: ThreadWord
    kind: Literal["request", "abandoned", "application", "idle", "server"]
    method: ThreadWord = ""
    target: ThreadWord = ""
    request: ThreadWord = ""
    seconds: Seconds | None = None


class ThreadsAt(_Message, frozen=True):
    """Some threads that are at the same place, with its stack, outermost call first. The `last` one has no
    threads, and says how many were left out."""

    question: Number
    threads: Annotated[list[ThreadHead], Meta(max_length=MOST_HEADS)]
    stack: Annotated[str, Meta(max_length=PLACE_LIMIT)] = ""
    left_out: Number = 0
    last: bool = False


class LeakingKind(Struct, frozen=True):
    """Requests of this `kind`, a method and a group of paths, have made me grow by so many bytes `each`:
    seen in so many `requests`, in the last so many `seconds`. `proven`: that is more than a cache
    that fills would explain."""

    kind: ThreadWord
    each: Bytes
    requests: Number
    seconds: Seconds
    proven: bool = False


class Grows(_Message, frozen=True):
    """My memory grows because of requests: which, the worst first. None: it does not any more."""

    leaks: Annotated[list[LeakingKind], Meta(max_length=MOST_LEAKS)]


# Admin process to master.


class Alive(_Message, frozen=True):
    """Its loop turns: said every other second."""


class Connect(_Message, frozen=True):
    """A connection is wanted, for one request to the master (control.py). Answered by Connected, or not at
    all where it has too many. It sends no descriptor: to close one may hold up whoever has to (SO_LINGER)."""


# All of them to master.


class WentWrong(_Message, frozen=True):
    """Something has gone wrong: an event of the error log, whose line the master writes."""

    level: Literal["debug", "info", "warning", "error"]
    event: Annotated[str, Meta(max_length=100)]
    fields: Annotated[dict[FieldName, Reason], Meta(max_length=16)]
    detail: Detail = ""


Word = (
    Loaded
    | Unforkable
    | LoadFailed
    | Tried
    | ForkFailed
    | Started
    | Ready
    | BootFailed
    | Recycle
    | ThreadsAt
    | Grows
    | Alive
    | Connect
    | WentWrong
)
"""Messages that the master receives."""

Message = (
    Boot
    | Fork
    | Become
    | Relisten
    | BootAdmin
    | Connected
    | Reopen
    | Drain
    | Stop
    | MayGrow
    | Quarantine
    | Spread
    | TellThreads
    | SampleThreads
    | Word
)

encode: Final[Callable[[Message], bytes]] = msgspec.json.encode

_decoder = msgspec.json.Decoder(Message)
_words: msgspec.json.Decoder[Word] = msgspec.json.Decoder(Word)


def decode(raw: bytes) -> Message:
    """The message in `raw`. Raises ValueError (msgspec.ValidationError) if it is not one."""
    message: Message = _decoder.decode(raw)
    return message


def decode_word(raw: bytes) -> Word:
    """The word of a mold or worker in `raw`. Raises ValueError if it is not one, RecursionError if it is
    nested too deeply."""
    return _words.decode(raw)
