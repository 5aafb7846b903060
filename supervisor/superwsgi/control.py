"""Every message between a master and the commands that ask it, on one screen, and the exit codes of both.

A client connects to the control socket, sends one request as a line of JSON, and gets lines of JSON until the
master closes. Types are under "type"; readers ignore unknown fields, so VERSION goes up only if that is not
enough.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from superwsgi.incidents import Incident, RequestInHand
from superwsgi.samples import Sampled
from superwsgi.snapshot import (
    AdminStatus,
    CertificateStatus,
    CompanionStatus,
    MinuteStatus,
    RunningStatus,
    SuspectStatus,
    ThreadsStatus,
    TotalsStatus,
    WorkerStatus,
)

VERSION: Final = 1

OK: Final = 0
FAILED: Final = 1
CONFIGURATION: Final = 2
APP_NOT_LOADED: Final = 3
NOT_BOUND: Final = 4
"""Exit codes of masters, and of the commands, which import nothing else of what a master is made of: that
would take long."""

MOLD: Final = "mold"
"""What a mold is called where a worker has a number."""


def _type(class_name: str) -> str:
    """What a message has under "type": `reload` for ReloadRequest."""
    return class_name.removesuffix("Request").lower()


class _ControlMessage(Struct, frozen=True, kw_only=True, tag_field="type", tag=_type):
    version: int = VERSION


# Requests.


class StatusRequest(_ControlMessage, frozen=True):
    """Answered by one Snapshot; with `requests`, it has those that run, and with `pss` its workers have
    theirs, from the second time on."""

    requests: bool = False
    pss: bool = False


class ReloadRequest(_ControlMessage, frozen=True):
    """As HUP. Answered by one Progress; with `follow`, by more of them and an Ended."""

    follow: bool = False


class UpgradeRequest(_ControlMessage, frozen=True):
    """As USR2. Answered by one Progress; with `follow`, by an Ended if the new program is refused. Else the
    connection ends with the old program, and a WatchRequest shows how the new one goes on."""

    follow: bool = False


class WatchRequest(_ControlMessage, frozen=True):
    """Answered as ReloadRequest with `follow`, for the current or the last reload."""


class StopRequest(_ControlMessage, frozen=True):
    """As TERM, or as INT if `fast`. Answered as ReloadRequest; it ends with the connection."""

    fast: bool = False
    follow: bool = False


class RecycleRequest(_ControlMessage, frozen=True):
    """Have a worker replaced, by its number or process id, or all in turn. Answered as ReloadRequest."""

    worker: str | None = None
    follow: bool = False


class KillRequest(_ControlMessage, frozen=True):
    """End a worker by SIGKILL, and have it replaced. Answered as ReloadRequest."""

    worker: str
    follow: bool = False


class WorkersRequest(_ControlMessage, frozen=True):
    """Have this `number` of workers, or so many more or fewer, until the next reload: as TTIN and TTOU. Or
    `auto`: as the load calls for, where the site has a range of them. Answered as ReloadRequest."""

    number: int | None = None
    difference: int | None = None
    follow: bool = False
    auto: bool = False


class LogsRequest(_ControlMessage, frozen=True):
    """As USR1. Answered as ReloadRequest."""

    follow: bool = False


class ConfigRequest(_ControlMessage, frozen=True):
    """Answered by one Configuration; if it is to `compare`, with what a reload would change."""

    compare: bool = False


class WhyRequest(_ControlMessage, frozen=True):
    """What has gone wrong: the last `most` incidents, all or those of one worker, process, request or number.
    Answered by one Why."""

    concerning: str | None = None
    most: int = 20


class StacksRequest(_ControlMessage, frozen=True):
    """Answered by one AllStacks. `of`: a worker's number or process id, `mold`, or None for all workers and
    for molds that import."""

    of: str | None = None


class ProfileRequest(_ControlMessage, frozen=True):
    """Sample the stacks of threads that are in requests for so many `seconds`, `rate` times a second; with
    `cpu`, as far as they compute; only requests for `path` and what is below it. `of`: a worker's number or
    process id, or None for all workers. Answered by Progress, each second, and a Profile."""

    of: str | None = None
    seconds: float = 10.0
    rate: float = 100.0
    cpu: bool = False
    path: str | None = None


Acting = RecycleRequest | KillRequest | WorkersRequest | LogsRequest
"""What is done to workers and logs, and goes on while the site serves."""

Request = (
    StatusRequest
    | WhyRequest
    | StacksRequest
    | ProfileRequest
    | ConfigRequest
    | ReloadRequest
    | UpgradeRequest
    | WatchRequest
    | StopRequest
    | Acting
)


# Answers.


class Snapshot(_ControlMessage, frozen=True):
    """The current state of the site. `uptime` is in seconds; `candidate` is the generation that is being
    rolled out, `wanted` how many workers there should be, `trouble` why the last reload failed, `file` the
    absolute path of its site file, if it has one. Those of `checks` answer health checks alone. `phase` is
    where the site is on its way: starting, running, reloading or stopping.

    `health` is healthy, degraded or down, for these `reasons`. `serving` of the workers serve, `totals` is
    what has been counted since the start, `minute` lately; `running` are the requests that run, the longest
    first, if they were asked for. `program` is superwsgi's version, `python` that of the interpreter, and
    `compiled` says whether the modules on the request path are. `admin` is None unless the site wants such a
    process; `suspects` are kinds of requests that seem to end workers.

    Workers come and go with the load where there are to be from `least` to `most`, unless their number is
    `pinned`: an operator has said it. `held_back` is why there are fewer than the load calls for, if there
    are. A master of an earlier version leaves out what it does not know."""

    site: str
    program: str
    pid: int
    uptime: float
    phase: str
    generation: int | None
    candidate: int | None
    wanted: int
    addresses: list[str]
    trouble: str
    workers: list[WorkerStatus]
    file: str | None = None
    threads: ThreadsStatus = ThreadsStatus()
    checks: list[str] = []
    health: str = ""
    reasons: list[str] = []
    serving: int | None = None
    totals: TotalsStatus | None = None
    minute: MinuteStatus | None = None
    certificate: CertificateStatus | None = None
    running: list[RunningStatus] | None = None
    python: str = ""
    compiled: bool = False
    admin: AdminStatus | None = None
    suspects: list[SuspectStatus] = []
    companions: list[CompanionStatus] = []
    least: int | None = None
    most: int | None = None
    pinned: bool = False
    held_back: str = ""


class Stage(Enum):
    REHEARSING = "rehearsing"  # the new program of an upgrade is being tried
    NOTED = "noted"  # begins when the current roll-out has ended
    PREPARING = "preparing"  # rollout.before runs
    MAKING_ROOM = "making room"  # processes that must not run beside it are ending
    LOADING = "loading"
    ROLLING_OUT = "rolling out"
    CONFIRMING = "confirming"  # rolled out, but the old generation is kept for a while (rollout.confirm)
    STOPPING = "stopping"
    RECYCLING = "recycling"
    KILLING = "killing"
    SCALING = "scaling"  # another number of workers
    REOPENING = "reopening"  # log files
    SAMPLING = "sampling"  # for a profile


class Progress(_ControlMessage, frozen=True):
    """How far it is: `done` of `total` workers serve the new generation, are replaced, or are still there at
    a stop; of a profile, so many seconds have passed. `waits_for` says in words what is to happen next."""

    stage: Stage
    generation: int | None = None
    done: int = 0
    total: int = 0
    waits_for: str = ""


class Outcome(Enum):
    COMPLETE = "complete"
    REFUSED = "refused"  # nothing was begun
    FAILED = "failed"  # none of its workers has served
    ROLLED_BACK = "rolled back"
    SUPERSEDED = "superseded"  # by another reload before it was rolled out
    STOPPED = "stopped"  # along with the whole site


class Ended(_ControlMessage, frozen=True):
    """The end of what was asked for, after `seconds`: of a reload to `generation`, or with a `reason` that
    says what was done or why not; `detail` is the traceback's text, if there is one."""

    outcome: Outcome
    seconds: float
    generation: int | None = None
    reason: str = ""
    detail: str = ""


class Why(_ControlMessage, frozen=True):
    """What has gone wrong, the newest first; `kept` is how many incidents the master still knows."""

    site: str
    kept: int
    incidents: list[Incident]


class ConfigKey(Struct, frozen=True):
    """A key of the configuration, with dots; its value as in a site file, `***` where that is not to be seen;
    and where that is from: `site.yaml:12`, `default`, `--bind`."""

    key: str
    value: str
    source: str


class Configuration(_ControlMessage, frozen=True):
    """The configuration that runs, of `generation`, from that site file. If a comparison was asked for:
    `changed` are the keys that a reload would change, with the values that they would get, and `trouble` is
    where the file has become wrong."""

    file: str | None
    keys: list[ConfigKey]
    generation: int | None = None
    changed: list[ConfigKey] = []
    trouble: str = ""


class Refused(_ControlMessage, frozen=True):
    """The request was not understood, or not allowed."""

    reason: str


class ThreadStack(Struct, frozen=True):
    """A thread: its identifier (threading.get_ident) and name, its `kind` as in messages.ThreadHead, and its
    stack as lines of text, outermost call first. `stack` begins in the application where it is there."""

    ident: int
    name: str
    kind: str
    stack: str
    request: RequestInHand | None = None
    seconds: float | None = None


class ProcessStacks(Struct, frozen=True):
    """What the threads of a worker or a mold do. `number` is None for a mold, `state` as in WorkerStatus,
    `note` says what is to be known about these stacks, or why there are none. They are the process's own
    answer, or `by_faulthandler`: then `left_out` is not known. `in_hand` are its requests as the scoreboard
    has them."""

    number: int | None
    generation: int
    pid: int | None
    state: str
    note: str = ""
    threads: list[ThreadStack] = []
    left_out: int = 0
    by_faulthandler: bool = False
    in_hand: list[RequestInHand] = []


class AllStacks(_ControlMessage, frozen=True):
    """The answer to a StacksRequest."""

    processes: list[ProcessStacks]


class WorkerProfile(Struct, frozen=True):
    """What was found of one worker, or nothing: `note` says why, or what is to be known about it."""

    number: int
    generation: int
    pid: int | None
    note: str = ""
    sampled: Sampled | None = None


class Profile(_ControlMessage, frozen=True):
    """The answer to a ProfileRequest; superwsgi/profiles/ has what to make of it. `of` is None where all
    workers were meant."""

    site: str
    of: str | None
    seconds: float
    rate: float
    cpu: bool
    path: str | None
    workers: list[WorkerProfile]


Answer = Snapshot | Why | AllStacks | Profile | Configuration | Progress | Ended | Refused

_Decoded = TypeVar("_Decoded")

_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


class NotUnderstood(Exception):
    """A line that is not a message of this version; the text says why."""


def encode(message: Request | Answer) -> bytes:
    """One line, with its end."""
    return msgspec.json.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Raises NotUnderstood."""
    return _decode(_requests, line)


def decode_answer(line: bytes) -> Answer:
    """Raises NotUnderstood."""
    return _decode(_answers, line)


class _AnyControlMessage(Struct):
    version: int = VERSION


def _decode(decoder: msgspec.json.Decoder[_Decoded], line: bytes) -> _Decoded:
    try:
        version = msgspec.json.decode(line, type=_AnyControlMessage).version
        if version != VERSION:
            raise NotUnderstood(f"control protocol version {version}, but this program speaks {VERSION}")
        return decoder.decode(line)
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise NotUnderstood(str(error)) from None
