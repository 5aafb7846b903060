"""Quick pages, some of which wait 10 ms: /slow by its path, /?slow by what only the application knows of."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.bench.apps import hello

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    if environ["PATH_INFO"] == "/slow" or environ["QUERY_STRING"]:
        time.sleep(0.010)
    return hello(environ, start_response)
