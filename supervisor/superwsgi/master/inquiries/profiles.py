"""`superwsgi profile`: workers sample the stacks of their threads, and each writes what it has found into a
pipe that the loop reads. Workers that come to serve meanwhile, in the place of others or of another
generation, take part in what is left of the time; those that end tell what they have so far.

Only so much is kept, and believed only if it may be true: application code may have written it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from superwsgi.channel import Closed
from superwsgi.control import Profile, ProfileRequest, Progress, Refused, Stage, WorkerProfile
from superwsgi.log.spelling import duration
from superwsgi.master.context import MasterContext
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.generations import Generations
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.processes.usage import switches_when_stopped
from superwsgi.master.states import WorkerState
from superwsgi.messages import SampleThreads
from superwsgi.samples import RATE, SECONDS, Sampled, is_consistent

LOOK: Final = 0.25
"""Seconds between two looks; who has not asked how it goes between two of them has left."""

PATIENCE: Final = 3.0
"""Seconds after its time in which a worker has to have told what it found."""

LEAST: Final = 1.0
"""A worker that comes when less is left does not take part."""

MOST_TEXT: Final = 4 << 20
"""Bytes of one profile, of all workers together, and four times that, as forged ones may be longer."""

MOST_WORKERS: Final = 200

_PIECE: Final = 64 << 10

_EARLIER: Final = "was started by an earlier superwsgi, and cannot be profiled until it is replaced (reload)"
_STOPPED: Final = "stopped by a signal (SIGSTOP), so it cannot be profiled; SIGCONT continues it"
_DEAF: Final = "does not listen"
_SILENT: Final = (
    "does not answer: something in C holds its interpreter, or a signal has stopped it; see superwsgi why"
)
_DIED: Final = "died before it told what it had found; see superwsgi why"
_FORGED: Final = "sent something else than a profile"

_decoder: Final = msgspec.json.Decoder(Sampled)


class Profiles:
    """Begins one for each ProfileRequest."""

    def __init__(self, context: MasterContext, generations: Generations) -> None:
        self._loop = context.loop
        self._generations = generations
        self._running: list[Profiling] = []

    def begin(self, request: ProfileRequest, site: str, now: float) -> Profiling | Refused:
        """Refused if there is no such worker, or somebody profiles it already."""
        reason = _impossible(request)
        if reason:
            return Refused(reason=reason)
        workers = [*self._meant(request.of)]
        if not workers:
            return Refused(reason=self._nobody(request.of))
        self._running = [each for each in self._running if not each.is_over]
        for other in self._running:
            if other.keys & {each.key for each in workers}:
                left = duration(max(1.0, other.end - now))
                return Refused(reason=f"it is being profiled already, for {left} more; try again then")
        profiling = Profiling(self._loop, request, site, now, share=MOST_TEXT // len(workers))
        self._running.append(profiling)
        self._look(profiling, now)
        return profiling

    def _nobody(self, of: str | None) -> str:
        """Why there is no worker to be profiled, in words."""
        there = sorted({worker.number for worker in self._meant(None)})
        if not there:
            return "no worker runs: see `superwsgi status`"
        return f"no worker {of}; there are: {', '.join(map(str, there))}"

    def _look(self, profiling: Profiling, now: float) -> None:
        """The loop has to turn for it."""
        profiling.look(list(self._meant(profiling.of)), now)
        if not profiling.is_over:
            self._loop.call_at(now + LOOK, lambda now: self._look(profiling, now))

    def _meant(self, of: str | None) -> Iterator[WorkerHandle]:
        return (worker for _, worker in self._generations.workers() if of is None or worker.is_called(of))


class Profiling:
    """Calling it returns how it goes, and at last what was found."""

    def __init__(self, loop: EventLoop, request: ProfileRequest, site: str, now: float, share: int) -> None:
        self.of = request.of
        self.end = now + request.seconds
        self.is_over = False
        self._loop = loop
        self._request = request
        self._site = site
        self._share = share
        self._participants: dict[int, _Participant] = {}  # by key of the worker
        self._wanted = True  # somebody has asked how it goes since the last look

    @property
    def keys(self) -> set[int]:
        """Of the workers that take part."""
        return {key for key, each in self._participants.items() if each.found is None}

    def look(self, workers: list[WorkerHandle], now: float) -> None:
        """Begin with workers that serve now, and see how others go on. Ends all if nobody waits for it."""
        for worker in workers:
            if worker.key not in self._participants and len(self._participants) < MOST_WORKERS:
                self._begin(worker, now)
        for each in self._participants.values():
            each.look(now)
        if not self._wanted:
            self._close()
        self._wanted = False

    def __call__(self, now: float) -> Progress | Profile:
        self._wanted = True
        request = self._request
        if not self.is_over and (self.keys or (now < self.end and self._has_begun())):
            return self._progress(now)
        self._close()
        found = [each.found for each in self._participants.values() if each.found is not None]
        return Profile(
            site=self._site,
            of=request.of,
            seconds=request.seconds,
            rate=request.rate,
            cpu=request.cpu,
            path=request.path,
            workers=sorted(found, key=lambda each: (each.number, each.generation)),
        )

    def _has_begun(self) -> bool:
        """Whether any worker samples or did, so that another one may in its place."""
        return any(each.asked for each in self._participants.values())

    def _progress(self, now: float) -> Progress:
        total = round(self._request.seconds)
        left = max(0, round(self.end - now))
        return Progress(stage=Stage.SAMPLING, done=total - left, total=total)

    def _begin(self, worker: WorkerHandle, now: float) -> None:
        seconds = self.end - now
        if worker.state not in (WorkerState.SERVING, WorkerState.DRAINING) or worker.ready_at is None:
            return
        if seconds >= LEAST or not self._participants:
            self._participants[worker.key] = begun = _Participant(
                self._loop, worker, self.end + PATIENCE, 4 * self._share
            )
            request = self._request
            begun.begin(SampleThreads(seconds, request.rate, request.cpu, request.path, self._share))

    def _close(self) -> None:
        """Nobody reads any more, at which those who still sample stop."""
        self.is_over = True
        for each in self._participants.values():
            each.close()


@dataclass(slots=True)
class _Participant:
    """One worker that samples, until `found` is set; it may write `most` bytes."""

    loop: EventLoop
    worker: WorkerHandle
    deadline: float
    most: int
    found: WorkerProfile | None = None
    asked: bool = False
    fd: int = -1
    told: bytearray = field(default_factory=bytearray)

    def begin(self, order: SampleThreads) -> None:
        worker = self.worker
        if not worker.samples:
            self._end(_EARLIER)
        elif worker.pid is not None and switches_when_stopped(worker.pid) is not None:
            self._end(_STOPPED)
        else:
            try:
                self._ask(order)
            except (Closed, BlockingIOError):
                self._end(_DEAF)
            except OSError as error:
                self._end(f"no pipe: {error.strerror}")

    def _ask(self, order: SampleThreads) -> None:
        """Raises OSError, BlockingIOError or Closed."""
        self.fd, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(self.fd, False)
            self.worker.channel.send(order, [theirs])
        finally:
            os.close(theirs)
        self.asked = True
        self.loop.on_readable(self.fd, self._hear)

    def look(self, now: float) -> None:
        """See whether it is gone, or does not answer."""
        if self.found is not None:
            return
        if self.worker.state is WorkerState.GONE:
            while self.found is None and self._read():
                pass
            self._end(_DIED)
        elif now >= self.deadline:
            self._end(_SILENT)

    def _hear(self, _now: float) -> None:
        self._read()

    def _read(self) -> bool:
        """Take a piece; whether there was one."""
        try:
            piece = os.read(self.fd, _PIECE)
        except BlockingIOError:
            return False
        self.told += piece
        if not piece:
            self._end(_DIED)
        elif len(self.told) > self.most:
            self._end(_FORGED)
        elif piece.endswith(b"\n"):
            self._take()
        return bool(piece)

    def _take(self) -> None:
        try:
            sampled = _decoder.decode(self.told)
        except (ValueError, RecursionError):
            sampled = None
        if sampled is None or not is_consistent(sampled):
            self._end(_FORGED)
        else:
            self._end(sampled.cut, sampled)

    def _end(self, note: str, sampled: Sampled | None = None) -> None:
        if self.found is None:
            worker = self.worker
            self.found = WorkerProfile(worker.number, worker.generation, worker.pid, note, sampled)
        self.close()

    def close(self) -> None:
        if self.fd >= 0:
            self.loop.forget(self.fd)
            os.close(self.fd)
            self.fd = -1
        self.told.clear()


def _impossible(request: ProfileRequest) -> str:
    """Why no profile can be made of it; empty if one can."""
    for name, value, (least, most) in (("seconds", request.seconds, SECONDS), ("rate", request.rate, RATE)):
        if not least <= value <= most:
            return f"{name} must be from {least:g} to {most:g}, not {value:g}"
    if request.path is not None and not request.path.startswith("/"):
        return f"path must begin with /, not {request.path[:100]!r}"
    return ""
