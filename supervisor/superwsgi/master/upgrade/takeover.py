"""The other end of an upgrade: a program that was executed in place of a master, and continues with its
sockets, logs, molds and workers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from superwsgi.config.schema import Site
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.held import restore
from superwsgi.master.generations.resources import LogFiles, Shared
from superwsgi.master.handover import Handover, HandoverError, HeldGeneration
from superwsgi.master.processes.launch import Launch
from superwsgi.master.release import Origin, Release
from superwsgi.master.sockets.inherited import Inherited, reopened
from superwsgi.master.sockets.listener import Listener


@dataclass(frozen=True)
class Taken:
    """What was handed over, with each socket opened once, however many generations share it."""

    handover: Handover
    inherited: Inherited
    listeners: dict[int, Listener]
    control: Listener | None

    @classmethod
    def open(cls, handover: Handover) -> Taken:
        for fd in handover.descriptors():  # they had to survive one execve(2)
            os.set_inheritable(fd, False)
        inherited = Inherited.restore(handover.given)
        sockets = {sock.fileno(): sock for _, sock in inherited.given}
        listeners: dict[int, Listener] = {}
        for held in (each for generation in handover.generations for each in generation.listeners):
            if held.fd not in listeners:
                sock = sockets.get(held.fd) or reopened(held.fd)
                listeners[held.fd] = Listener.restore(held, sock)
        held_control = handover.control
        control = None if held_control is None else Listener.restore(held_control, reopened(held_control.fd))
        return cls(handover, inherited, listeners, control)

    @property
    def site(self) -> Site:
        return self._current.site

    @property
    def shared(self) -> Shared:
        """What the current generation shares with its master."""
        current = self._current
        logs = LogFiles(current.site.log, current.error_log, current.access_log)
        return Shared(self._listeners(current), logs)

    def generations(self, origin: Origin, launch: Launch, loop: EventLoop) -> Iterator[Generation]:
        for held in self.handover.generations:
            release = held.release or Release.of(held.site, origin, os.environ)
            yield restore(held, release, self._listeners(held), launch, loop)

    @property
    def _current(self) -> HeldGeneration:
        return next(each for each in self.handover.generations if each.number == self.handover.current)

    def _listeners(self, generation: HeldGeneration) -> list[Listener]:
        """As that generation uses them: one socket may speak TLS, or be for health checks, in one alone."""
        held = generation.listeners
        return [replace(self.listeners[each.fd], address=each.address, checks=each.checks) for each in held]


def rehearse(handover: Handover) -> None:
    """Find out whether this program could continue from there. Raises HandoverError."""
    for generation in handover.generations:
        try:
            generation.attach()
        except ValueError as error:
            raise HandoverError(f"generation {generation.number}: {error}") from None
