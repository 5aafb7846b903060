"""Serving from a script, instead of Flask's `app.run` and werkzeug's `run_simple`."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from superwsgi.apps import refusal
from superwsgi.apps.types import WSGIApp
from superwsgi.channel import Channel
from superwsgi.config import naming
from superwsgi.config.errors import ConfigError
from superwsgi.config.links import as_spelled
from superwsgi.config.loading import from_options
from superwsgi.config.schema import Site
from superwsgi.control import APP_NOT_LOADED, CONFIGURATION
from superwsgi.master.release import Release
from superwsgi.master.serve import serve
from superwsgi.worker import forks, hazards
from superwsgi.worker.boot import mold
from superwsgi.worker.boot.exit import unfinished

_IN_THIS_PROCESS: Final = "__main__:app"
THREADS: Final = 8

_DEVELOPMENT: Final = frozenset(
    {
        *("debug", "load_dotenv", "use_reloader", "use_debugger", "use_evalex", "extra_files"),
        *("exclude_patterns", "reloader_interval", "reloader_type", "request_handler", "static_files"),
        *("passthrough_errors", "ssl_context"),
    }
)
"""Arguments of `app.run` and `run_simple` that are for development, or not our job."""


def run(
    app: WSGIApp,
    host: str | None = None,
    port: int | None = None,
    threaded: bool = True,
    processes: int = 1,
    *,
    threads: int = THREADS,
    name: str | None = None,
    **development: object,
) -> None:
    """Serve `app` until stopped, as `superwsgi run` does, with the same master and workers.

    A drop-in replacement for Flask's `app.run(host, port, threaded=…, processes=…)`, 127.0.0.1:5000 by
    default: `threaded=True` gives each of the `processes` workers `threads` threads, `threaded=False` one.
    `host` may be `unix:///path`. `name` is what `superwsgi status` calls the site: by default the script's
    name or, if that is `app.py` or the like, its folder's. Development options of `app.run` (`debug`,
    `use_reloader`, …) are accepted if they are off.

    The application object exists only in this process, so workers are forked from it. Hence HUP replaces the
    workers with fresh ones of the same object, without losing a request; it cannot load changed code or
    configuration. For that, start the site with `superwsgi run module:app` or from a site file.

    Call it from the main thread, at the end of the script: TERM, INT, HUP, USR1, TTIN and TTOU mean what they
    mean to a master, which also reaps the child processes that the script has started. Returns when stopped
    as requested. Raises SystemExit with the exit code of `superwsgi` if it cannot serve, TypeError for
    arguments that `app.run` does not have either, ValueError for development options that are on, and
    RuntimeError outside of the main thread and in a module that superwsgi imports.
    """
    _refuse_development(development)
    _require_servable(app)
    try:
        site = from_options(
            _IN_THIS_PROCESS,
            chdir=str(Path.cwd()),  # in the release that the script itself is of
            bind=[_address(host or "127.0.0.1", 5000 if port is None else port)],
            workers=processes,
            threads=threads if threaded else 1,
            name=name or _script_name(),
            prefix="",
        )
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(CONFIGURATION) from None
    code = serve(lambda: site, _ForkWith(app, _hazards()))
    if code:
        raise SystemExit(code)


def run_simple(
    hostname: str,
    port: int,
    application: WSGIApp,
    use_reloader: bool = False,
    use_debugger: bool = False,
    *,
    threaded: bool = False,
    processes: int = 1,
    threads: int = THREADS,
    name: str | None = None,
    **development: object,
) -> None:
    """`run` with the argument order and defaults of werkzeug's `run_simple`."""
    development |= {"use_reloader": use_reloader, "use_debugger": use_debugger}
    run(application, hostname, port, threaded, processes, threads=threads, name=name, **development)


@dataclass(frozen=True)
class _ForkWith:
    """A mold that is a fork of this process and serves its application object, whatever fork hazards were
    `found` beside it."""

    app: WSGIApp
    found: Sequence[str]

    def __call__(self, site: Site, _release: Release, theirs: socket.socket, private: Iterable[int]) -> int:
        pid = forks.fork()
        if pid == 0:
            mold.begin(Channel(theirs), self.app, self.found, private)
        return pid


def _hazards() -> list[str]:
    """The fork hazards of this process, which its workers will lack; flushes its own output first."""
    unfinished.write()
    return hazards.examine(hazards.inherited(), hazards.Places())


def _require_servable(app: object) -> None:
    """Raises the errors of `run` if this process cannot serve `app`."""
    if not callable(app):
        raise TypeError(f"app is {type(app).__name__}, not a WSGI application")
    if mold.is_program():
        raise RuntimeError(
            "superwsgi imports this module to serve it: call superwsgi.run below `if __name__ == '__main__':`"
        )
    reason = refusal()
    if reason is not None:
        print(f"superwsgi.run: {reason}", file=sys.stderr)
        raise SystemExit(APP_NOT_LOADED)
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("superwsgi.run takes over the process's signals: call it from the main thread")


def _refuse_development(options: dict[str, object]) -> None:
    unknown = options.keys() - _DEVELOPMENT
    if unknown:
        raise TypeError(f"run() has no argument {sorted(unknown)[0]!r}")
    for name, value in options.items():
        if value and name != "load_dotenv":  # on by default in Flask, where only its own command heeds it
            raise ValueError(
                f"{name}: superwsgi.run serves in production and has no debug mode; "
                "to develop, type superwsgi dev, or use app.run()"
            )


def _address(host: str, port: int) -> str:
    if host.startswith("unix://"):
        return "unix:" + host.removeprefix("unix://")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _script_name() -> str:
    """The site's name, from the script, which may have come from `-c` or standard input."""
    script = Path(sys.argv[0])
    if script.is_file():
        return naming.of_file(as_spelled(script))
    return naming.of_module("__main__", Path.cwd())
