"""What the threads of molds and workers do, for `superwsgi stacks`: each process is asked, and answers when
it can, while the loop goes on. How it is asked depends on what it can do:

- A worker that serves or drains answers by its channel: its main thread is never in the application.
- If that does not answer, something holds the GIL; or the process does not listen yet, or no longer. Then
  faulthandler answers, in the handler of a signal, for which it needs no GIL.
- A process that a signal has stopped cannot answer at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from superwsgi.control import MOLD, AllStacks, ProcessStacks, Refused, ThreadStack
from superwsgi.incidents import RequestInHand
from superwsgi.master.context import MasterContext
from superwsgi.master.generations.dumps import Dumps
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.record import in_hand
from superwsgi.master.processes import dumped
from superwsgi.master.processes.dumped import DumpedThread
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.processes.usage import switches_when_stopped
from superwsgi.master.states import WorkerState
from superwsgi.messages import ThreadsAt

SILENCE: Final = 1.0
"""Seconds after its last word in which a worker has to go on, before faulthandler is asked."""

PATIENCE: Final = 2.0
"""Seconds in which that has to come."""

LOOK: Final = 0.1

MOST_TEXT: Final = 4 << 20
"""Characters of stacks in one answer."""

_HELD: Final = (
    f"the interpreter is held, so these are faulthandler's stacks, of {dumped.MOST_THREADS} threads at most"
)
_NOT_LISTENING: Final = f"these are faulthandler's stacks, of {dumped.MOST_THREADS} threads at most"
_ENDING: Final = f"it is ending, so {_NOT_LISTENING}"
_STOPPED: Final = "stopped by a signal (SIGSTOP), so it cannot say; SIGCONT continues it"
_SILENT: Final = "does not answer, not even faulthandler: the kernel holds it up, or it blocks SIGUSR2"
_FORKS: Final = "waits to fork workers, in code of the server"
_DISMISSED: Final = "waits for the last of its workers to end"
_NOT_YET: Final = "has not been forked yet; see the mold"
_EARLIER: Final = "was started by an earlier superwsgi; kill -USR2 {} writes its stacks into the error log"
_ENDED: Final = "has ended"

_OURS: Final = re.compile(
    r"(^|/)(superwsgi/(worker|http|log|apps|tls|system)/|superwsgi/\w+\.py$|threading\.py$)"
)
"""The server's files, in whichever environment the process runs, and what begins a thread."""

_ANSWERS: Final = (WorkerState.SERVING, WorkerState.DRAINING)


class Inquiries:
    """Begins one for each StacksRequest."""

    def __init__(self, context: MasterContext, generations: Generations, dumps: Dumps) -> None:
        self._loop = context.loop
        self._generations = generations
        self._dumps = dumps

    def begin(self, of: str | None, now: float) -> Inquiry | Refused:
        """`of` as in StacksRequest; refused if there is no such process."""
        chosen = [each for each in self._processes() if _is_meant(of, each[1])]
        if of is not None and not chosen:
            return Refused(reason=f"no worker {of}; there are: {', '.join(self._names())}")
        cases = [_Case(generation, worker, self._dumps) for generation, worker in chosen]
        inquiry = Inquiry([case for case in cases if of is not None or case.is_worth_telling()])
        self._look(inquiry, now)
        return inquiry

    def _look(self, inquiry: Inquiry, now: float) -> None:
        """The loop has to turn for it."""
        if not inquiry.look(now):
            self._loop.call_at(now + LOOK, lambda now: self._look(inquiry, now))

    def _processes(self) -> Iterator[tuple[Generation, WorkerHandle | None]]:
        """Each worker, and None for each mold."""
        for generation in self._generations:
            if generation.mold is not None:
                yield generation, None
            yield from ((generation, worker) for worker in list(generation.workers.values()))

    def _names(self) -> Iterator[str]:
        workers = [worker for _, worker in self._processes() if worker is not None]
        yield from map(str, sorted({worker.number for worker in workers}))
        if len(workers) < sum(1 for _ in self._processes()):
            yield MOLD


class Inquiry:
    """Calling it returns the answer, or None while there is none."""

    def __init__(self, cases: list[_Case]) -> None:
        self._cases = cases

    def look(self, now: float) -> bool:
        """Go on with each process; True if all have answered, or will not."""
        done = [case.look(now) for case in self._cases]
        return all(done)

    def __call__(self, now: float) -> AllStacks | None:
        if not self.look(now):
            return None
        found = [case.found for case in self._cases if case.found is not None]
        processes = sorted(found, key=lambda each: (each.number or 0, each.generation))
        return AllStacks(processes=list(bounded(processes, MOST_TEXT)))


@dataclass(slots=True)
class _Case:
    """One process that is asked; times in monotonic seconds. `worker` is None for the mold."""

    generation: Generation
    worker: WorkerHandle | None
    dumps: Dumps
    told: list[ThreadsAt] | None = None  # where its answer arrives
    heard: int = 0  # messages of it, at the last look
    heard_at: float = 0.0
    now: float = 0.0  # of the last look
    dump: list[str] = field(default_factory=list)
    dump_by: float | None = None  # when faulthandler has to have answered
    note: str = ""
    found: ProcessStacks | None = None

    def is_worth_telling(self) -> bool:
        """Whether somebody who asks for all wants to see it: not a mold that waits."""
        mold = self.generation.mold
        return self.worker is not None or (mold is not None and not mold.loaded)

    def look(self, now: float) -> bool:
        """Ask, or see whether it has answered; whether that is over."""
        self.now = now
        if self.found is None:
            self.found = self._begin(now) if not self.heard_at else self._go_on(now)
        return self.found is not None

    def _begin(self, now: float) -> ProcessStacks | None:
        self.heard_at = now
        reason = _why_not(self.generation, self.worker)
        if reason:
            return self._result(reason)
        if self.worker is not None and self.worker.state in _ANSWERS:
            self.told = self.worker.ask()
        if self.told is None:
            self._ask_faulthandler(_NOT_LISTENING, now)
        return None

    def _go_on(self, now: float) -> ProcessStacks | None:
        if self.told and self.told[-1].last:
            return self._result("", answered(self.told), left_out=self.told[-1].left_out)
        if self.dump:
            threads = annotated(dumped.threads("".join(self.dump)), self._requests())
            return self._result(self.note, threads, by_faulthandler=True)
        if self._is_gone():
            return self._result(_ENDED)
        if self.dump_by is not None:
            return self._result(_SILENT) if now >= self.dump_by else None
        if self.told is not None and len(self.told) > self.heard:
            self.heard, self.heard_at = len(self.told), now
        elif now - self.heard_at >= SILENCE:
            reason = _why_not(self.generation, self.worker)
            if reason:
                return self._result(reason)
            draining = self.worker is not None and self.worker.state is not WorkerState.SERVING
            self._ask_faulthandler(_ENDING if draining else _HELD, now)
        return None

    def _is_gone(self) -> bool:
        if self.worker is None:
            return self.generation.mold is None
        return self.worker.state is WorkerState.GONE

    def _ask_faulthandler(self, note: str, now: float) -> None:
        self.note, self.dump_by = note, now + PATIENCE
        self.dumps.ask(self.generation, self.worker, "superwsgi stacks", self.dump.append)

    def _result(
        self,
        note: str,
        threads: Iterable[ThreadStack] = (),
        *,
        left_out: int = 0,
        by_faulthandler: bool = False,
    ) -> ProcessStacks:
        worker, mold = self.worker, self.generation.mold
        if worker is None:
            pid, state = (mold.pid, "loaded" if mold.loaded else "importing") if mold else (None, "gone")
            return ProcessStacks(
                None, self.generation.number, pid, state, note, [*threads], 0, by_faulthandler
            )
        here = worker.state is not WorkerState.GONE
        found = self.generation.board.in_hand(worker.slot) if here else ()
        return ProcessStacks(
            worker.number,
            worker.generation,
            worker.pid,
            worker.state.value,
            note,
            [*threads],
            left_out,
            by_faulthandler,
            list(in_hand(found, self.now)),
        )

    def _requests(self) -> dict[int, RequestInHand]:
        """A worker's requests as the scoreboard has them, by the identifiers of their threads."""
        if self.worker is None:
            return {}
        found = self.generation.board.in_hand(self.worker.slot)
        return {each.ident: in_hand([each], self.now)[0] for each in found}


def _is_meant(of: str | None, worker: WorkerHandle | None) -> bool:
    if of is None:
        return True
    return of == MOLD if worker is None else worker.is_called(of)


def _why_not(generation: Generation, worker: WorkerHandle | None) -> str:
    """Why a process cannot say anything now, or has nothing to say; empty if it can."""
    mold = generation.mold
    if worker is None:
        if mold is None or not mold.is_heard():
            return _DISMISSED if mold is not None else _ENDED
        return _FORKS if mold.loaded else _if_stopped(mold.pid)
    if worker.pid is None:
        return _NOT_YET
    return _if_stopped(worker.pid) if worker.stacks is not None else _EARLIER.format(worker.pid)


def _if_stopped(pid: int) -> str:
    return "" if switches_when_stopped(pid) is None else _STOPPED


# From what processes say to the answer.


def answered(told: Iterable[ThreadsAt]) -> Iterator[ThreadStack]:
    """The threads of a worker's own answer."""
    for each in told:
        for head in each.threads:
            request = None
            if head.kind == "request":
                request = RequestInHand(head.method, head.target, head.request, head.seconds or 0.0)
            yield ThreadStack(head.ident, head.name, head.kind, each.stack, request, head.seconds)


def annotated(
    threads: Iterable[DumpedThread], requests: Mapping[int, RequestInHand]
) -> Iterator[ThreadStack]:
    """The threads of a dump; `requests` by the identifiers of those that have them in hand."""
    for thread in threads:
        own = [*frames_of_application(thread.frames)]
        request = requests.get(thread.ident)
        kind = "request" if request is not None else "application" if own else "server"
        stack = "".join(f"  {frame}\n" for frame in own or thread.frames)
        seconds = None if request is None else request.seconds
        yield ThreadStack(thread.ident, thread.name, kind, stack, request, seconds)


def frames_of_application(frames: tuple[str, ...]) -> tuple[str, ...]:
    """Without the first, which lead to the application; none if it is not there."""
    first = next((at for at, frame in enumerate(frames) if not _leads_there(frame)), len(frames))
    return frames[first:]


def _leads_there(frame: str) -> bool:
    file = frame.removeprefix('File "').partition('"')[0]
    return file.startswith(("<string>", "<frozen", "<no Python frame>")) or bool(_OURS.search(file))


def bounded(processes: Iterable[ProcessStacks], room: int) -> Iterator[ProcessStacks]:
    """With at most so many characters of stacks: threads beyond that are only counted."""
    for process in processes:
        kept = []
        for thread in process.threads:
            room -= len(thread.stack) + 200
            if room > 0:
                kept.append(thread)
        left_out = process.left_out + len(process.threads) - len(kept)
        yield replace(process, threads=kept, left_out=left_out)
