"""What everything in a worker's request path reads and nothing there changes: settings, logs, the clock, the
scoreboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from superwsgi.board.scoreboard import WorkerWriter
from superwsgi.config.schema import Site
from superwsgi.http.client.peers import Trusted
from superwsgi.http.request.front import Front, front_of
from superwsgi.http.request.rules import Rules
from superwsgi.http.response.exchange import App, Gateway
from superwsgi.log.access import AccessLog
from superwsgi.log.error import ErrorLog
from superwsgi.log.sampling import Sampling
from superwsgi.worker.by_kind import ByKind
from superwsgi.worker.by_path import ByPath
from superwsgi.worker.connection.alarm import Alarm, deadline_after
from superwsgi.worker.connection.states import State, waits
from superwsgi.worker.queue.rules import rules_of


@dataclass(frozen=True, slots=True)
class Context:
    """`waits` is how long a connection may stay in a state, ns; `access` is None if the log is off,
    `sampling` if it has a line for each request, `by_path` if nobody wants to know, and `rules` if all is as
    for the whole site."""

    site: Site
    gateway: Gateway
    errors: ErrorLog
    access: AccessLog | None
    board: WorkerWriter
    epoll: Any  # select.epoll: compiled, its name is looked up at import, and gevent has removed it
    alarm: Alarm
    waits: dict[State, int]
    trusted: Trusted
    by_kind: ByKind
    sampling: Sampling | None = None
    by_path: ByPath | None = None
    rules: Rules | None = None
    front: Front | None = None


def context_of(
    site: Site, app: App, board: WorkerWriter, errors: ErrorLog, access: AccessLog | None, epoll: Any
) -> Context:
    return Context(
        site=site,
        gateway=Gateway(app, errors, closing=site.timeouts.keepalive == 0),
        errors=errors,
        access=access if access is not None and access.enabled else None,
        sampling=_sampling(site),
        board=board,
        epoll=epoll,
        alarm=Alarm(),
        waits=waits(site.timeouts),
        trusted=Trusted(site.proxy.trusted),
        by_kind=ByKind(board.kind_table(), _static_folders(site)),
        by_path=_by_path(board, site),
        rules=rules_of(site),
        front=front_of(site),
    )


def _by_path(board: WorkerWriter, site: Site) -> ByPath | None:
    table = board.path_table()
    return None if table is None else ByPath(table, _static_folders(site))


def _static_folders(site: Site) -> tuple[str, ...]:
    """Paths of targets below which there are files; not the root, where pages are, too."""
    root = quote(site.root.rstrip("/"))
    prefixes = (mount.partition("/")[2] for mount in site.static)
    return tuple(f"{root}/{quote(prefix)}/" for prefix in prefixes if prefix)


def _sampling(site: Site) -> Sampling | None:
    """None if each request has a line in the access log."""
    unlogged = [path for path, rule in site.paths.items() if rule.log is False]
    if not site.log.shares and not unlogged:
        return None
    return Sampling(site.log.shares, deadline_after(site.log.slow))
