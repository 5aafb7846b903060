"""Reloads, from the wish for one to a candidate: what is refused, what waits, what takes another's place.

How a candidate takes over is in rollout.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from superwsgi.config.errors import ConfigError
from superwsgi.control import Outcome
from superwsgi.log.lines import spell_exception
from superwsgi.master.generations.rollout import RollOut
from superwsgi.master.pidfile import PidFileError
from superwsgi.master.sockets.binding import BindError
from superwsgi.master.states import GenerationState
from superwsgi.system.privileges import PrivilegeError
from superwsgi.tls.interface import CertificateError

_UNUSABLE: Final = (ConfigError, CertificateError, PidFileError, PrivilegeError, BindError)
"""What is wrong with a configuration."""


_YET_TO_LOAD: Final = (GenerationState.PREPARING, GenerationState.WAITING, GenerationState.LOADING)


class Reloads:
    """`load` reads the configuration and begins a candidate; `on_refused` is told that there was none."""

    def __init__(
        self, rollout: RollOut, *, load: Callable[[float], None], on_refused: Callable[[], None]
    ) -> None:
        self._rollout = rollout
        self._load = load
        self._on_refused = on_refused
        self._noted = False

    def ask(self, now: float) -> int:
        """Somebody wants one: begin, or remember to. The number of the attempt that will be the answer."""
        rollout = self._rollout
        rollout.confirm(now)
        candidate = rollout.candidate
        if candidate is None:
            self._begin(now)
        elif candidate.state not in _YET_TO_LOAD:
            self._noted = True
            then = f"begins when the roll-out of generation {candidate.number} ends"
            rollout.errors.info("reload noted", next=then)
            return rollout.attempts.next
        elif rollout.current is not None:
            rollout.errors.info("reload given up", gen=candidate.number, reason="another one was asked for")
            rollout.attempts.end(Outcome.SUPERSEDED, now)
            rollout.withdraw(now)
            self._begin(now)
        return rollout.attempts.newest  # if still starting, what is on the disk is being loaded already

    def go_on(self, now: float) -> None:
        """Begin what was noted, once it can."""
        if self._noted and self._rollout.candidate is None:
            self._begin(now)

    def _begin(self, now: float) -> None:
        self._noted = False
        rollout = self._rollout
        rollout.attempts.begin(now)
        try:
            self._load(now)
        except (*_UNUSABLE, OSError) as error:
            self._refuse(str(error), now)
        except Exception as error:  # a bug of ours, told as one by the loop
            self._refuse(spell_exception(error), now)
            raise

    def _refuse(self, why: str, now: float) -> None:
        rollout = self._rollout
        assert rollout.current is not None
        reason, _, detail = why.partition("\n")
        rollout.trouble = reason
        rollout.attempts.end(Outcome.REFUSED, now, reason, detail)
        self._on_refused()
        rollout.errors.error("reload refused", why, next=rollout.goes_on())
