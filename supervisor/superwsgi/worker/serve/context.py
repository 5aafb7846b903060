"""What everything in a worker's request path reads and nothing there changes: settings, logs, the clock, the
scoreboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from superwsgi.board.scoreboard import WorkerWriter
from superwsgi.config.schema import Site
from superwsgi.http.client.peers import Trusted
from superwsgi.http.response.exchange import Gateway
from superwsgi.log.access import AccessLog
from superwsgi.log.error import ErrorLog
from superwsgi.log.sampling import Sampling
from superwsgi.worker.by_path import ByPath
from superwsgi.worker.connection.alarm import Alarm
from superwsgi.worker.connection.states import State


@dataclass(frozen=True, slots=True)
class Context:
    """`waits` is how long a connection may stay in a state, ns; `access` is None if the log is off,
    `sampling` if it has a line for each request, and `by_path` if nobody wants to know."""

    site: Site
    gateway: Gateway
    errors: ErrorLog
    access: AccessLog | None
    board: WorkerWriter
    epoll: Any  # select.epoll: compiled, its name is looked up at import, and gevent has removed it
    alarm: Alarm
    waits: dict[State, int]
    trusted: Trusted
    sampling: Sampling | None = None
    by_path: ByPath | None = None
