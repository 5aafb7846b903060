"""The part of the WSGI environ (PEP 3333) that is known before any request: worker, listener, connection."""

from __future__ import annotations

from collections.abc import Callable
from io import TextIOBase
from typing import Any

from superwsgi import __version__
from superwsgi.apps.types import Environ
from superwsgi.http.files import FileWrapper

SOFTWARE = f"superwsgi/{__version__}"

Address = tuple[str, int]
"""Host and port of one end of a connection."""


def no_early_hints(fields: object) -> None:
    """For requests that have no client."""


def base_environ(
    errors: TextIOBase,
    *,
    multithread: bool,
    multiprocess: bool,
    early_hints: Callable[[Any], None] = no_early_hints,
) -> Environ:
    """What all requests of a worker share; `multithread`, `multiprocess`: another thread or process may run
    the application at the same time. `early_hints` knows by the thread whose request it is.

    Keys that every request sets again are already here: copying a dict with room for them is cheaper than
    growing one.
    """
    return {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": errors,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.early_hints": early_hints,
        "wsgi.input": None,
        "wsgi.input_terminated": True,
        "superwsgi.queue_time": 0.0,
        "SERVER_SOFTWARE": SOFTWARE,
        "SERVER_NAME": "",
        "SERVER_PORT": "",
        "REMOTE_ADDR": "",
        "REMOTE_PORT": "",
        "REQUEST_METHOD": "",
        "SERVER_PROTOCOL": "",
        "SCRIPT_NAME": "",
        "RAW_URI": "",
        "REQUEST_URI": "",
        "PATH_INFO": "",
        "QUERY_STRING": "",
    }


def connection_environ(base: Environ, server: Address | None, client: Address | None) -> Environ:
    """`base` for one connection between these ends."""
    environ = base.copy()
    set_ends(environ, server, client)
    return environ


def set_ends(environ: Environ, server: Address | None, client: Address | None) -> None:
    """Set both ends of a connection; None for a unix socket, which has no useful address."""
    set_server(environ, server)
    set_client(environ, client)


def set_server(environ: Environ, server: Address | None) -> None:
    name, port = server or ("localhost", 80)  # PEP 3333: neither may ever be empty
    environ["SERVER_NAME"], environ["SERVER_PORT"] = name, str(port)


def set_client(environ: Environ, client: Address | None) -> None:
    if client is None:
        environ["REMOTE_ADDR"] = environ["REMOTE_PORT"] = ""
    else:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
