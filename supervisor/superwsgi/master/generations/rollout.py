"""Which generation serves, and which is on its way to take over from it.

`current` is what the site falls back to; `candidate` is being loaded or rolled out. A candidate takes over
for good when the governor says that its roll-out is complete; until then the current generation keeps its
mold, so going back needs nothing from the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from superwsgi.config.schema import Site
from superwsgi.control import Outcome
from superwsgi.log.error import ErrorLog
from superwsgi.log.spelling import duration
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.attempts import Attempts
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.launch import Launch
from superwsgi.master.generations.release import Release
from superwsgi.master.generations.resources import Shared
from superwsgi.master.handover import VERSION, Handover, HeldListener
from superwsgi.master.policy import governor
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.listener import Listener
from superwsgi.master.states import GenerationEvent, GenerationState, WorkerState

_TARGETS = (GenerationState.READY, GenerationState.SERVING)


class RollOut:
    """All generations that have processes, and the part that each plays."""

    def __init__(
        self, errors: ErrorLog, loop: EventLoop, launch: Launch, on_current: Callable[[Generation], None]
    ) -> None:
        self.errors = errors
        self.current: Generation | None = None
        self.candidate: Generation | None = None
        self.first_failed = False
        self.trouble = ""  # why the last reload failed
        self.attempts = Attempts()
        self.deaths: dict[int, tuple[float, str]] = {}  # by worker number, the last one: when, how
        self._loop = loop
        self._launch = launch
        self._on_current = on_current
        self._generations: dict[int, Generation] = {}
        self._last_number = 0
        self._began = 0.0
        self._rolled_out_at: float | None = None  # since then the candidate alone takes requests

    def __iter__(self) -> Iterator[Generation]:
        return iter(list(self._generations.values()))

    def __bool__(self) -> bool:
        return bool(self._generations)

    def begin(self, site: Site, release: Release, shared: Shared, now: float) -> Generation:
        """Make a new candidate; the caller starts its mold. Raises OSError, with nothing of it left."""
        self._last_number += 1
        try:
            generation = Generation(self._last_number, site, release, shared, self._launch, self._loop)
        except OSError:
            shared.give_up(self.current.listeners if self.current is not None else ())
            raise
        generation.stacks.tell(self.errors.stream().write)
        self._generations[generation.number] = generation
        self.candidate = generation
        self.attempts.generation(generation.number)
        self._began = now
        self._rolled_out_at = None
        return generation

    def adopt(self, generations: Iterable[Generation], current: int, last_number: int) -> None:
        """Go on with what an earlier program of this process has handed over."""
        self._generations = {generation.number: generation for generation in generations}
        for generation in self:
            generation.stacks.tell(self.errors.stream().write)
        self.current = self._generations[current]
        self._last_number = last_number

    def hold(
        self,
        given: list[tuple[str, int]],
        environ: dict[str, str],
        control: HeldListener | None,
        pidfile: tuple[str, int] | None,
    ) -> Handover:
        """All that the next program of this process needs. Not while there is a candidate."""
        assert self.current is not None
        assert self.candidate is None
        return Handover(
            version=VERSION,
            current=self.current.number,
            last_number=self._last_number,
            generations=[generation.hold() for generation in self],
            given=given,
            environ=environ,
            control=control,
            pidfile=pidfile,
        )

    def target(self) -> Generation | None:
        """The generation whose workers there should be: the candidate as soon as it has loaded, or as others
        make room."""
        candidate = self.candidate
        if candidate is not None and (candidate.state in _TARGETS or self._makes_room_for(candidate)):
            return candidate
        return self.current

    def _makes_room_for(self, candidate: Generation) -> bool:
        return not candidate.site.rollout.overlap and candidate.state is not GenerationState.PREPARING

    def _alone(self, target: Generation) -> bool:
        """Whether nothing else may run beside this generation, nor a worker beside its replacement."""
        waits = self.current is not None and self.current.state is GenerationState.WAITING
        return waits or not target.site.rollout.overlap

    def view(self) -> governor.SiteView:
        """What the governor decides on."""
        target = self.target()
        can_fork = target is not None and target.can_fork()
        return governor.SiteView(
            wanted=target.wanted if target is not None else 0,
            target=target.number if target is not None and can_fork else None,
            fork_at=target.fork_at if target is not None else 0.0,
            workers=tuple(worker.view() for generation in self for worker in generation.workers.values()),
            batch=target.site.rollout.batch if target is not None else 1,
            alone=target.number if target is not None and self._alone(target) else None,
        )

    def step(self, now: float) -> float | None:
        """Let the candidate take over for good once its roll-out is confirmed; returns when to ask again."""
        if self.candidate is None or self.target() is not self.candidate:
            return None
        if not governor.rolled_out(self.view()):
            return None
        if self._rolled_out_at is None:
            self._rolled_out_at = now
            keeps = f"the old generation is kept for {duration(self.candidate.site.rollout.confirm)}"
            self.errors.info("rolled out", gen=self.candidate.number, next=keeps)
        complete_at = self._rolled_out_at + self.candidate.site.rollout.confirm
        if now < complete_at:
            return complete_at
        self.promote(now)
        return None

    @property
    def rolled_out(self) -> bool:
        """Whether only the confirmation of the candidate is still to come."""
        return self._rolled_out_at is not None

    def confirm(self, now: float) -> None:
        """Take a candidate whose workers all serve for good before its time: the next one is on its way."""
        if self._rolled_out_at is not None and governor.rolled_out(self.view()):
            self.promote(now)

    def promote(self, now: float) -> None:
        """The candidate takes over for good, and the generation before it retires."""
        assert self.candidate is not None
        self._rolled_out_at = None
        before, self.current, self.candidate = self.current, self.candidate, None
        self.trouble = ""
        self.attempts.end(Outcome.COMPLETE, now)
        self.log_there(self.current)
        self._on_current(self.current)
        if before is not None:
            before.apply(GenerationEvent.RETIRE)
            before.dismiss_mold(now)
            sockets.give_up(_only_in(before, self.current))
            self.errors.info("reload complete", gen=self.current.number, took=duration(now - self._began))

    def relisten(self, old: Listener, new: Listener, reason: str) -> None:
        """Have every generation use another listener in the place of one that cannot be mended."""
        for generation in self:
            if old in generation.listeners:
                generation.relisten(old, new, reason)
        old.sock.close()

    def make_room(self, now: float) -> None:
        """The current generation ends all of its processes; it comes back once there is no candidate."""
        current = self.current
        if current is not None and current.state is not GenerationState.WAITING:
            current.clear(now)
            then = "the next one begins when it is gone; clients wait"
            self.errors.info("making room", gen=current.number, reason="rollout.overlap: no", next=then)

    def fail(self, reason: str, now: float, detail: str = "", *, aloud: bool = False) -> None:
        """The candidate does not take over; what serves goes on serving. `aloud`: stderr is told as well."""
        assert self.candidate is not None
        served = self.candidate.state is GenerationState.SERVING
        self.attempts.end(Outcome.ROLLED_BACK if served else Outcome.FAILED, now, reason, detail)
        candidate = self.withdraw(now)
        self.trouble = reason
        if self.current is None:
            self.first_failed = True
            self.errors.error("application did not load", detail, reason=reason, next="stopping")
        else:
            say = self.errors.alarm if aloud else self.errors.error
            say("reload failed", detail, gen=candidate.number, reason=reason, next=self.goes_on())

    def goes_on(self) -> str:
        """What becomes of the current generation where the next one does not."""
        assert self.current is not None
        waits = self.current.state is GenerationState.WAITING
        return f"generation {self.current.number} {'is started again' if waits else 'goes on serving'}"

    def withdraw(self, now: float) -> Generation:
        """Take the candidate back: its mold and the workers that do not serve yet end now, the others once
        the current generation has replaced them."""
        candidate, self.candidate = self.candidate, None
        self._rolled_out_at = None
        assert candidate is not None
        candidate.apply(GenerationEvent.FAIL)
        candidate.dismiss_mold(now)
        for worker in list(candidate.workers.values()):
            if worker.state in (WorkerState.FORKING, WorkerState.BOOTING):
                candidate.drain(worker, "its generation was given up", now)
        if self.current is not None:
            sockets.close(_only_in(candidate, self.current))
        return candidate

    def log_there(self, generation: Generation) -> None:
        """The master's own lines go to this generation's error log from now on."""
        self.errors.move(generation.logs.copy_of_error(), generation.site.log.level)

    def sweep(self) -> None:
        """Forget generations that have ended and whose processes are all gone."""
        for generation in self:
            if generation.is_over():
                generation.apply(GenerationEvent.EMPTY)
                del self._generations[generation.number]
                generation.close()


def _only_in(generation: Generation, other: Generation) -> list[Listener]:
    return [listener for listener in generation.listeners if listener not in other.listeners]
