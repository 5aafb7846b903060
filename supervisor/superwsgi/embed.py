"""Serving from a script, in the place of Flask's `app.run` and werkzeug's `run_simple`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Final

from superwsgi.apps.types import WSGIApp
from superwsgi.config import grammar
from superwsgi.config.errors import ConfigError
from superwsgi.config.loading import from_options
from superwsgi.master import launch
from superwsgi.master.serve import CONFIGURATION, serve

_IN_THIS_PROCESS: Final = "__main__:app"
THREADS: Final = 8


def run(
    app: WSGIApp,
    host: str = "127.0.0.1",
    port: int = 5000,
    threaded: bool = True,
    processes: int = 1,
    *,
    threads: int = THREADS,
    debug: bool | None = None,
) -> None:
    """Serve `app` until stopped, as `superwsgi run` does, with the same master and workers.

    The drop-in for `app.run(host, port, threaded=…, processes=…)` of Flask: `threaded=True` gives each of the
    `processes` workers `threads` threads, `threaded=False` one. `host` may be `unix:///path`.

    The application object exists only in this process, so workers are forked from it. Hence HUP replaces the
    workers by fresh ones of the same object, without losing a request; it cannot load changed code or
    configuration. For that, start the site by `superwsgi run module:app` or from a site file.

    Call it from the main thread, last in the script: TERM, INT, HUP, USR1, TTIN and TTOU mean what they
    mean to a master. Returns when stopped as asked. Raises SystemExit with the exit code of `superwsgi` where
    it cannot serve, ValueError for `debug=True`, RuntimeError in another thread than the main one.
    """
    if debug:
        raise ValueError(
            "superwsgi serves in production and has no debug mode; keep app.run(debug=True) for development"
        )
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("superwsgi.run takes over the process's signals: call it from the main thread")
    address = "unix:" + host.removeprefix("unix://") if host.startswith("unix://") else _address(host, port)
    try:
        site = from_options(
            _IN_THIS_PROCESS,
            chdir=".",
            bind=[address],
            workers=processes,
            threads=threads if threaded else 1,
            name=_script_name(),
            prefix="",
        )
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(CONFIGURATION) from None
    code = serve(site, lambda: site, launch.ForkWith(app))
    if code:
        raise SystemExit(code)


def run_simple(
    hostname: str,
    port: int,
    application: WSGIApp,
    *,
    threaded: bool = False,
    processes: int = 1,
    threads: int = THREADS,
) -> None:
    """`run` with the argument order and defaults of werkzeug's `run_simple`."""
    run(application, hostname, port, threaded, processes, threads=threads)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _script_name() -> str:
    """The script's name without its ending: what the site is called in process titles."""
    return grammar.name_from(Path(sys.argv[0]).stem or "python")
