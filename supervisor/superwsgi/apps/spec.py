"""What is to be loaded, and how it is said that it cannot be.

Runs in a mold or a worker, never in the master.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import NoReturn

from superwsgi.apps.locks import is_locked_out
from superwsgi.config.grammar.import_strings import ImportString, parse
from superwsgi.config.grammar.values import Invalid
from superwsgi.log.frames import application_traceback, raised_at
from superwsgi.log.spelling import printable, spell_exception


class AppError(Exception):
    """An application that cannot be loaded: `reason` is one line for the operator, `detail` a traceback;
    `locked` if it needs something that another process has locked. `each` has those of several, by place."""

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        locked: bool = False,
        each: Mapping[str, AppError] = MappingProxyType({}),
    ) -> None:
        super().__init__(reason)
        self.each = each
        self.reason = reason
        self.detail = detail
        self.locked = locked


@dataclass(frozen=True, slots=True)
class Spec:
    """What a site file says of an application or a hook; errors begin with it."""

    said: ImportString

    @classmethod
    def of(cls, text: str) -> Spec:
        """Raises AppError."""
        try:
            return cls(parse(text))
        except Invalid as exc:
            hint = f"; {exc.hint}" if exc.hint else ""
            raise AppError(f"{printable(text)}: should be {exc.expected}{hint}") from None

    def fail(self, reason: str, cause: BaseException | None = None) -> NoReturn:
        """Raises AppError; `cause` is the application's own failure, and gives the detail."""
        detail = "" if cause is None else application_traceback(cause)
        locked = cause is not None and is_locked_out(cause)
        raise AppError(f"{self.said.label}: {printable(reason)}", detail, locked=locked) from cause

    def fail_import(self, exc: BaseException, what: str, more: str = "") -> NoReturn:
        """Raises AppError for what the code of `what` has raised when it was imported."""
        if isinstance(exc, AppError):
            raise exc
        if isinstance(exc, SyntaxError) and exc.filename:
            self.fail(f"{exc.filename}, line {exc.lineno}: {exc.msg}", exc)
        if isinstance(exc, SystemExit):
            ends = f"the module ends the process when it is imported: SystemExit({exc.code!r})"
            self.fail(ends + at(exc), exc)
        self.fail(f"importing {what} failed: {spell_exception(exc)}{at(exc)}{more}", exc)


def at(exc: BaseException) -> str:
    """Where it was raised, in parentheses; empty where that is not known."""
    place = raised_at(exc)
    return f" ({place})" if place else ""


def near(name: str, known: list[str], cutoff: float = 0.6) -> str:
    """The hint that the nearest of what is known may be meant."""
    found = get_close_matches(name, known, n=1, cutoff=cutoff)
    return f", did you mean {found[0]!r}?" if found else ""
