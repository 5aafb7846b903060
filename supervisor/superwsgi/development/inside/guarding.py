"""What becomes of an application's exceptions while it is developed: the traceback is in the terminal and,
where nobody but this machine can ask, in the browser: werkzeug's debugger if that is installed.

The debugger is made for the first exception, since its import would make each reload later, and from then on
gets the requests that are for itself. All its safeguards are its own: pin, trusted hosts, secret.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, Final

from superwsgi.apps.types import Environ, StartResponse, WSGIApp
from superwsgi.development.inside import page
from superwsgi.development.shared import Breakage, Settings
from superwsgi.development.shown.tracebacks import ALARM, coloured, paint
from superwsgi.http.files import FileWrapper
from superwsgi.log.frames import application_traceback
from superwsgi.log.spelling import printable, spell_exception

_ASKS: Final = "__debugger__=yes"
_KEEP: Final = "werkzeug.debug.preserve_context"
"""A function in the environ to which frameworks give what the debugger's console needs of a request."""

_KEPT: Final = "superwsgi.development.kept"
_FAILED: Final = "superwsgi.development.failed"


class Guarded:
    """The application, with its exceptions shown."""

    def __init__(self, app: WSGIApp, settings: Settings) -> None:
        self._app = app
        self._colours = settings.colours
        self._debugger = Debugger() if settings.debugger else None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        debugger = self._debugger
        if debugger is not None and debugger.is_asked(environ):
            return debugger(environ, start_response)
        if debugger is not None:
            kept: list[Any] = []
            environ[_KEPT] = kept
            environ[_KEEP] = kept.append
        try:
            result = self._app(environ, start_response)
        except Exception as error:
            return self.failed(error, environ, start_response)
        if isinstance(result, list | tuple | FileWrapper):
            return result
        return _GuardedAnswer(result, lambda error: self.failed(error, environ, start_response))

    def failed(self, error: Exception, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Show it, and return what is answered instead. Raises the error where nothing is."""
        traceback = application_traceback(error)
        self._print(error, environ, traceback)
        debugger = self._debugger
        if debugger is not None and debugger.is_there:
            debugger.introduce(colours=self._colours)
            environ[_FAILED] = error
            return debugger(environ, start_response)
        if debugger is None or not page.is_navigation(environ):
            raise error
        failure = Breakage.now(spell_exception(error), traceback)
        return page.answer(start_response, "500 Internal Server Error", page.failed(failure))

    def _print(self, error: Exception, environ: Environ, traceback: str) -> None:
        asked = f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"
        head = paint(printable(f"{asked}: {spell_exception(error)}"), ALARM, self._colours)
        print(f"{head}\n{coloured(traceback, colours=self._colours)}", end="", file=sys.stderr, flush=True)


class _GuardedAnswer:
    """An answer that comes in parts, any of which may fail."""

    def __init__(self, parts: Iterable[bytes], failed: Callable[[Exception], Iterable[bytes]]) -> None:
        self._parts = parts
        self._failed = failed

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._parts
        except Exception as error:
            yield from self._failed(error)

    def close(self) -> None:
        """As the application's own."""
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


class Debugger:
    """werkzeug's DebuggedApplication, made when it is needed; `is_there` says whether it can be."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._introduced = False

    @cached_property
    def _made(self) -> Any:
        try:
            from werkzeug.debug import DebuggedApplication
        except ImportError:
            return None
        with self._lock:
            return DebuggedApplication(_fail, evalex=True, console_path="")

    @property
    def is_there(self) -> bool:
        return self._made is not None

    def is_asked(self, environ: Environ) -> bool:
        """Whether a request is for the debugger itself, whose page a browser may still have."""
        return _ASKS in environ.get("QUERY_STRING", "") and self.is_there

    def introduce(self, *, colours: bool) -> None:
        """Say once which pin it asks for."""
        with self._lock:
            first, self._introduced = not self._introduced, True
        if first:
            said = "asks for no pin" if self._made.pin is None else f"pin {self._made.pin}"
            print(paint(f"Debugger in the browser: {said}", "33", colours), file=sys.stderr, flush=True)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.errors"] = _NoErrors()  # the traceback has been shown
        answer: Iterable[bytes] = self._made(environ, start_response)
        return answer


class _NoErrors:
    def write(self, text: str) -> int:
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None: ...

    def flush(self) -> None: ...


def _fail(environ: Environ, _start_response: StartResponse) -> Iterable[bytes]:
    """The application as the debugger sees it: it fails as that has done."""
    __traceback_hide__ = True
    for each in environ.get(_KEPT, ()):
        environ[_KEEP](each)
    error: Exception = environ[_FAILED]
    own = error.__traceback__  # of Guarded
    raise error.with_traceback(own.tb_next if own is not None else None)
