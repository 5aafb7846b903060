"""What a mold hands to a worker, across the fork."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from superwsgi.apps.types import WSGIApp
from superwsgi.board.scoreboard import WorkerWriter
from superwsgi.channel import Channel
from superwsgi.config.schema import Site
from superwsgi.tls.interface import Certificates
from superwsgi.worker.boot.exit.exit_handlers import Siblings
from superwsgi.worker.boot.loading.hooks import Hooks


@dataclass(frozen=True, slots=True)
class Start:
    """Everything a worker is given at its fork. `app` is None if the worker imports it."""

    site: Site
    master: int
    generation: int
    worker: int
    app: WSGIApp | None
    hooks: Hooks
    siblings: Siblings | None  # if its application came from a mold
    proven: bool  # a sibling has served
    quarantine: Mapping[str, float]  # as in the message
    growing: bool  # as in Boot
    channel: Channel
    board: WorkerWriter
    listeners: Sequence[socket.socket]
    secured: Set[socket.socket]
    for_checks: Set[socket.socket]
    certificates: Certificates | None
    error_fd: int | None
    stderr_fd: int | None  # a copy, for problems with the logs, and for applications whose error log is off
    stacks_fd: int
    access_fd: int | None
