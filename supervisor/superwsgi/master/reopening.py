"""USR1: the log files of all generations are reopened, and failures are retried until they succeed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from superwsgi.log.files import LogTargetError
from superwsgi.log.spelling import duration
from superwsgi.master.context import MasterContext
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.resources import LogFiles, Opening

_AGAIN: Final = 5.0
"""Seconds until a failure is retried."""

_SLOW: Final = 5.0
"""Seconds after which a disk that is still opening a file is said to hang."""


class Reopening:
    """`ask` is SIGUSR1."""

    def __init__(
        self, context: MasterContext, generations: Generations, reopened: Callable[[], None]
    ) -> None:
        """`reopened` is called when the current generation, and so the master, has another file."""
        self._reopened = reopened
        self._loop = context.loop
        self._errors = context.errors
        self._generations = generations
        self._busy: dict[int, Opening] = {}  # by generation
        self._again: set[int] = set()  # generations whose files were asked for while they were busy
        self._to_retry: set[int] = set()
        self._failed: dict[int, str] = {}  # by generation: why, as it was logged

    def ask(self, now: float) -> None:
        self._failed = dict.fromkeys(self._failed, "")  # whoever asks again gets an answer
        for generation in self._generations:
            if generation.logs.opened:
                self._open(generation, now)

    @property
    def busy(self) -> bool:
        """Whether files are being opened."""
        return bool(self._busy)

    @property
    def trouble(self) -> str:
        """Why the old files stay in use, or why it takes long; empty if nothing is wrong."""
        return next(filter(None, self._failed.values()), "")

    def _open(self, generation: Generation, now: float) -> None:
        number = generation.number
        if number in self._busy:
            self._again.add(number)
            return
        try:
            opening = Opening(self._loop, generation.logs.settings, partial(self._opened, generation))
        except (OSError, RuntimeError) as error:
            self._fail(generation, str(error), now)
            return
        self._busy[number] = opening
        self._loop.call_at(now + _SLOW, lambda _: self._look(generation, opening))

    def _look(self, generation: Generation, opening: Opening) -> None:
        if self._busy.get(generation.number) is opening:
            self._say(generation, f"the disk has not answered for {duration(_SLOW)}", "still waiting for it")

    def _opened(self, generation: Generation, result: LogFiles | LogTargetError, now: float) -> None:
        number = generation.number
        del self._busy[number]
        again = number in self._again
        self._again.discard(number)
        if isinstance(result, LogTargetError):
            self._fail(generation, str(result), now)
        elif generation in self._generations:
            self._take(generation, result, now)
        else:
            result.close()
        if again:
            self._open(generation, now)

    def _take(self, generation: Generation, anew: LogFiles, now: float) -> None:
        generation.switch_logs(anew, now)
        if generation is self._generations.current:
            generation.logs.lead(self._errors)
            self._reopened()
        has_failed = self._failed.pop(generation.number, None) is not None
        say = self._errors.all_clear if has_failed else self._errors.info
        say("log files reopened", gen=generation.number)

    def _fail(self, generation: Generation, reason: str, now: float) -> None:
        self._say(generation, reason, f"the old ones stay in use; tried again every {duration(_AGAIN)}")
        if generation.number not in self._to_retry:
            self._to_retry.add(generation.number)
            self._loop.call_at(now + _AGAIN, partial(self._retry, generation))

    def _retry(self, generation: Generation, now: float) -> None:
        self._to_retry.discard(generation.number)
        if generation not in self._generations:
            self._failed.pop(generation.number, None)
        elif generation.number in self._failed:
            self._open(generation, now)

    def _say(self, generation: Generation, reason: str, then: str) -> None:
        """Log once for each reason: a failure that continues is not news."""
        if self._failed.get(generation.number) != reason:
            self._failed[generation.number] = reason
            log = self._errors.bind(gen=generation.number)
            log.alarm("log files not reopened", reason=reason, next=then)
