"""What a master hands to the program that replaces it in the same process (execve(2)): sockets, logs,
scoreboards, molds and workers stay as they are; this says which descriptor is which.

One JSON object in a memfd whose number is in the environment. A later version may add fields, with defaults
since older versions do not write them, and ignores fields that it does not know. For any other change VERSION
goes up, and the old program goes on serving.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from typing import Final

import msgspec
from msgspec import Struct, field

from superwsgi.board import scoreboard
from superwsgi.board.counts import Counts
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.config.listening import Address
from superwsgi.config.parts.companions import CompanionSettings
from superwsgi.config.schema import Site
from superwsgi.control import Outcome
from superwsgi.incidents import Incident
from superwsgi.master.answers.past import Hour
from superwsgi.master.companions.states import CompanionState
from superwsgi.master.memory.series import MemorySeries
from superwsgi.master.outage.judging import Outage
from superwsgi.master.policy.causes import Cause
from superwsgi.master.policy.last_minute import Sample
from superwsgi.master.policy.shortage import Shortage
from superwsgi.master.processes.hearing import Said
from superwsgi.master.release import Release
from superwsgi.master.states import GenerationState, WorkerState
from superwsgi.master.suspects.chance import Crash
from superwsgi.master.suspects.crashes import Suspect
from superwsgi.master.suspects.looks import BoardLook
from superwsgi.master.totals.by_path import Counted
from superwsgi.snapshot import LeakStatus
from superwsgi.tls.interface import Expiry

VERSION: Final = 1
_VARIABLE: Final = "SUPERWSGI_HANDOVER"


class HandoverError(Exception):
    """The state cannot be taken over; the text says why."""


class HeldListener(Struct, frozen=True):
    """A listening socket; `file` is a unix socket's file: path, device, inode; `checks` as in Listener."""

    address: Address
    fd: int
    file: tuple[str, int, int] | None = None
    checks: bool = False


class HeldMold(Struct, frozen=True):
    """A mold; without a channel it is being dismissed, or has said why it did not load (`failure`)."""

    pid: int
    channel: int | None
    loaded: bool
    hazards: list[str] = []
    said: Said = Said.READY
    pipes: bool = False
    failure: str | None = None
    detail: str = ""


class HeldWorker(Struct, frozen=True):
    """A worker; without a channel it is gone, but not reaped yet. Times are monotonic seconds. `counts` is
    the most that it has counted at any look, `cpu_seconds` what it had spent at the last one, `paths` what it
    has counted by these, `kinds` its table of those, `refused` how many requests it had refused at the last
    look; `may_grow` is what it was told last, None if it may not understand that."""

    number: int
    slot: int
    channel: int | None
    state: WorkerState
    deadline: float | None
    overdue: str
    pid: int | None
    ready_at: float | None
    recycle: str | None
    asked_to_go: str | None
    failure: str | None
    said: Said = Said.READY
    stacks: int | None = None
    question: int = 0
    counts: Counts = Counts()
    cause: Cause | None = None
    cpu_seconds: float | None = None
    samples: bool = False
    paths: bytes = b""
    kinds: bytes = b""
    refused: tuple[int, ...] | None = None
    quarantines: bool = False
    may_grow: bool | None = None
    leaks: list[LeakStatus] = []
    leaves_first: bool = False
    series: MemorySeries = field(default_factory=MemorySeries)


class HeldTotals(Struct, frozen=True):
    """What the site has counted: all workers that have `ended`, the `cpu` seconds that they had spent, how
    many were replaced by cause, and the totals of the last minute."""

    ended: Counts
    samples: list[Sample] = []
    cpu: float = 0.0
    paths: list[Counted] = []
    restarts: dict[Cause, int] = {}


class HeldGeneration(Struct, frozen=True):
    """A generation with processes; `expires` is when the first of its certificates does, `metrics` the folder
    for those of its processes; `pinned`: an operator has said how many workers it is to have."""

    number: int
    site: Site
    state: GenerationState
    wanted: int
    board: int
    error_log: int | None
    access_log: int | None
    listeners: list[HeldListener]
    mold: HeldMold | None
    workers: list[HeldWorker]
    forkable: bool = True
    board_version: int = scoreboard.VERSION
    stacks: tuple[int, int] | None = None
    output: tuple[int, int] | None = None
    release: Release | None = None
    expires: Expiry | None = None
    metrics: str | None = None
    pinned: bool = False

    def attach(self) -> Scoreboard:
        """Its scoreboard. Raises ValueError if this program cannot read it."""
        site = self.site
        return Scoreboard.attach(
            self.board,
            site.most_threads + 1,
            self.board_version,
            paths=site.metrics.paths,
            upgraded=site.limits.upgraded,
        )


class HeldAdmin(Struct, frozen=True):
    """The admin process, its listeners, and the memory with its history."""

    pid: int | None
    listeners: list[HeldListener]
    history: int | None


class HeldSuspects(Struct, frozen=True):
    """The last crashes, what is suspected of them, and the last looks that crashes are judged by."""

    crashes: list[Crash]
    suspects: list[Suspect]
    looks: list[BoardLook] = []


class HeldCompanionProcess(Struct, frozen=True):
    """As in companions/companion.py; `output` are the ends of its pipe, where that is captured."""

    pid: int
    generation: int
    began: float
    settings: CompanionSettings
    patience: float
    output: tuple[int, int] | None = None
    told: str = ""
    killed: str = ""
    due: str = ""


class HeldCompanion(Struct, frozen=True):
    """One place of a companion, and its process, if there is one. Times are monotonic seconds."""

    name: str
    number: int
    label: str
    state: CompanionState
    process: HeldCompanionProcess | None = None
    restarts: int = 0
    deadline: float | None = None
    early: int = 0
    last_early: float | None = None
    start_at: float = 0.0
    trouble: str = ""
    last_end: tuple[float, str, int] | None = None


class Handover(Struct, frozen=True):
    """The whole state of a master. `given` are sockets by the names that systemd gave them, `pidfile` is a
    path and its descriptor, as is `metrics`, `shortage` is one of threads that was seen, `incidents` are
    those kept, `events` how many there were by event, `reloads` how many by outcome, `past` is how the
    site has answered in the last hours."""

    version: int
    current: int
    last_number: int
    generations: list[HeldGeneration]
    given: list[tuple[str, int]]
    environ: dict[str, str]
    control: HeldListener | None = None
    pidfile: tuple[str, int] | None = None
    shortage: Shortage | None = None
    incidents: list[Incident] = []
    totals: HeldTotals | None = None
    events: dict[str, int] = {}
    reloads: dict[Outcome, int] = {}
    admin: HeldAdmin | None = None
    metrics: tuple[str, int] | None = None
    suspects: HeldSuspects | None = None
    companions: list[HeldCompanion] = []
    outage: Outage | None = None
    past: list[Hour] = []

    def descriptors(self) -> Iterator[int]:
        """All descriptors that the next program needs."""
        for generation in self.generations:
            optional = [generation.error_log, generation.access_log]
            optional += [fd for worker in generation.workers for fd in (worker.channel, worker.stacks)]
            optional += [generation.mold.channel] if generation.mold is not None else []
            yield generation.board
            yield from generation.stacks or ()
            yield from generation.output or ()
            yield from (listener.fd for listener in generation.listeners)
            yield from (fd for fd in optional if fd is not None)
        yield from (fd for _, fd in self.given)
        yield from [self.control.fd] if self.control is not None else []
        yield from [self.pidfile[1]] if self.pidfile is not None else []
        if self.admin is not None:
            yield from (listener.fd for listener in self.admin.listeners)
            yield from [self.admin.history] if self.admin.history is not None else []
        yield from [self.metrics[1]] if self.metrics is not None else []
        for companion in self.companions:
            yield from (companion.process.output or ()) if companion.process is not None else ()

    def write(self) -> int:
        """Write it; returns a descriptor to read it from."""
        fd = os.memfd_create("superwsgi-handover", os.MFD_CLOEXEC)
        os.write(fd, msgspec.json.encode(self))
        return fd


class _Versioned(Struct):
    version: int


def announce(fd: int) -> dict[str, str]:
    """What to add to the environment of the next program."""
    return {_VARIABLE: str(fd)}


def handed_over(environ: MutableMapping[str, str]) -> Handover | None:
    """What an earlier program left for this one, if anything. Raises HandoverError."""
    fd = environ.pop(_VARIABLE, None)
    return None if fd is None else _read(int(fd))


def _read(fd: int) -> Handover:
    try:
        with open(fd, "rb") as file:
            file.seek(0)
            raw = file.read()
        version = msgspec.json.decode(raw, type=_Versioned).version
        if version != VERSION:
            raise HandoverError(
                f"the running program's state has version {version}, but this one reads {VERSION}"
            )
        return msgspec.json.decode(raw, type=Handover)
    except (OSError, ValueError) as error:
        raise HandoverError(f"the running program's state cannot be read: {error}") from None
