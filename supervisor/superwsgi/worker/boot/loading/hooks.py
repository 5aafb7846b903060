"""Hooks: functions of the application that are called during a worker's life.

`before_fork` in the mold that has imported the application, before each fork; `after_fork` in each worker
once it has the application, by the fork or its own import; `worker_exit` in a worker that ends, when its
requests are answered. With any value of `preload`, `after_fork` finds the same situation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from superwsgi.apps import AppError
from superwsgi.apps.load import accepts, load_function
from superwsgi.apps.locks import is_locked_out
from superwsgi.config.schema import Site
from superwsgi.log.frames import application_traceback, raised_at
from superwsgi.log.spelling import spell_exception
from superwsgi.worker import forks
from superwsgi.worker.boot.loading.application import Unloadable


@dataclass(frozen=True, slots=True)
class HookedWorker:
    """What a hook with an argument learns about the worker; `pid` is None before the fork."""

    site: str
    generation: int
    number: int
    pid: int | None


class Hook:
    """One function. Raises Unloadable if there is none of that name, or it cannot serve as a hook."""

    def __init__(self, key: str, text: str) -> None:
        self._key = key
        try:
            self._function = load_function(text)
        except AppError as error:
            raise Unloadable(f"{key}: {error.reason}", error.detail, locked=error.locked) from None
        self._wants_worker = not accepts(self._function, 0)
        if self._wants_worker and not accepts(self._function, 1):
            raise Unloadable(f"{key}: {text} should take no argument, or one: the worker")

    def __call__(self, worker: HookedWorker) -> None:
        """Raises Unloadable for whatever the function raises, SystemExit included."""
        try:
            with forks.staying():
                self._function(*[worker] * self._wants_worker)
        except BaseException as error:
            at = raised_at(error)
            reason = f"{self._key}: {spell_exception(error)}" + (f" ({at})" if at else "")
            traceback, locked = application_traceback(error), is_locked_out(error)
            raise Unloadable(reason, traceback, locked=locked) from error


@dataclass(frozen=True, slots=True)
class Hooks:
    """The site's hooks."""

    before_fork: Hook | None = None
    after_fork: Hook | None = None
    worker_exit: Hook | None = None

    @classmethod
    def load(cls, site: Site) -> Hooks:
        """Raises Unloadable."""
        named = ((field.name, getattr(site.hooks, field.name)) for field in fields(cls))
        return cls(**{name: Hook(f"hooks.{name}", text) for name, text in named if text is not None})
