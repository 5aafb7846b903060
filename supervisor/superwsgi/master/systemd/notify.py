"""Notifying systemd: the protocol of sd_notify(3), one datagram of `KEY=value` lines per message.

Without $NOTIFY_SOCKET nothing is sent. Sending never blocks and never raises: a service manager that does not
listen is not the site's problem.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from array import array
from collections.abc import MutableMapping, Sequence
from enum import Enum
from typing import Final

from superwsgi.log.spelling import printable

_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class UnitPhase(Enum):
    """Where the site is, as systemd distinguishes it."""

    STARTING = "starting"
    RUNNING = "running"
    RELOADING = "reloading"
    STOPPING = "stopping"


_SAID_ON_ENTRY: Final = {
    UnitPhase.RUNNING: "READY=1",
    UnitPhase.RELOADING: "RELOADING=1",
    UnitPhase.STOPPING: "STOPPING=1",
}


class Notifier:
    """`environ` loses the protocol's variables: an application that knew them could speak for us."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        said = {name: environ.pop(name) for name in _VARIABLES if name in environ}
        self.environ: Final = said
        """The variables found, for a program that replaces this one."""
        self._address = _address(said.get("NOTIFY_SOCKET", ""))
        self._phase = UnitPhase.STARTING
        self._status = ""
        meant_for_us = said.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = said.get("WATCHDOG_USEC", "")
        self.watchdog = int(usec) / 1e6 / 2 if meant_for_us and usec.isdecimal() and self else None
        """Seconds between two signs of life: half the time that systemd waits for one."""

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return self._address is not None

    def phase(self, phase: UnitPhase) -> None:
        """Report the site's phase, if it has changed."""
        if phase is not self._phase:
            self._phase = phase
            stamp = [f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"] if phase is UnitPhase.RELOADING else []
            self._send(_SAID_ON_ENTRY[phase], *stamp)

    def status(self, text: str) -> None:
        """Send a line for `systemctl status`, if it has changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={printable(text)}")  # quotes errors: none of their lines may be a command

    def alive(self) -> None:
        """Send a sign of life for the watchdog."""
        self._send("WATCHDOG=1")

    def takes(self, seconds: float) -> None:
        """Allow the current start or stop this many seconds, whatever the unit's time-out says."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def keep(self, name: str, fd: int) -> None:
        """Keep a descriptor for the next start, in the service's file descriptor store."""
        self._send("FDSTORE=1", f"FDNAME={name}", fds=[fd])

    def forget(self, name: str) -> None:
        """Drop it from the store."""
        self._send("FDSTOREREMOVE=1", f"FDNAME={name}")

    def _send(self, *lines: str, fds: Sequence[int] = ()) -> None:
        if self._address is None:
            return
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendmsg(["\n".join(lines).encode()], rights, 0, self._address)


def _address(text: str) -> str | None:
    """A path, or a name in the abstract namespace, which begins with @ (unix(7))."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None
