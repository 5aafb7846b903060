"""What the master does with requests on the control socket. server.py decides who may ask."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from superwsgi.control import (
    Acting,
    Answer,
    ConfigRequest,
    Configuration,
    Ended,
    Outcome,
    ProfileRequest,
    Progress,
    Refused,
    ReloadRequest,
    Request,
    Snapshot,
    StacksRequest,
    Stage,
    StatusRequest,
    UpgradeRequest,
    WatchRequest,
    Why,
    WhyRequest,
)
from superwsgi.master.context import MasterContext
from superwsgi.master.control import status
from superwsgi.master.control.acting import Acts
from superwsgi.master.control.server import Follow
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.record import Record
from superwsgi.master.generations.reload import Reloads
from superwsgi.master.inquiries.profiles import Profiles
from superwsgi.master.inquiries.stacks import Inquiries
from superwsgi.master.upgrade.upgrade import Upgrades


class Commanded(Protocol):
    """The part of the master that takes commands."""

    @property
    def stopping(self) -> bool: ...

    @property
    def name(self) -> str: ...

    @property
    def upgrade(self) -> Upgrades: ...

    def snapshot(self, now: float, *, requests: bool, pss: bool) -> Snapshot: ...

    def configuration(self, *, compare: bool) -> Configuration: ...

    def reload(self, now: float) -> int:
        """The number of the attempt that will answer the request."""

    def stop(self, now: float, reason: str, *, fast: bool) -> None: ...


class Commands:
    """`answer` is what control/server.py needs."""

    def __init__(
        self,
        master: Commanded,
        generations: Generations,
        record: Record,
        reloads: Reloads,
        inquiries: Inquiries,
        acts: Acts,
        context: MasterContext,
    ) -> None:
        self._master = master
        self._generations = generations
        self._record = record
        self._reloads = reloads
        self._inquiries = inquiries
        self._acts = acts
        self._profiles = Profiles(context, generations)
        self._errors = context.errors
        self._incidents = context.incidents

    def answer(self, request: Request, who: str, now: float) -> tuple[Answer | None, Follow | None]:
        """Do as `who` asked; returns the first answer, if there is one yet, and how to go on if more is
        wanted."""
        if isinstance(request, StatusRequest):
            return self._master.snapshot(now, requests=request.requests, pss=request.pss), None
        if isinstance(request, WhyRequest):
            return self._why(request), None
        if isinstance(request, StacksRequest):
            begun = self._inquiries.begin(request.of, now)
            return (begun, None) if isinstance(begun, Refused) else (None, begun)
        if isinstance(request, ConfigRequest):
            return self._master.configuration(compare=request.compare), None
        if isinstance(request, Acting):
            return self._acts.do(request, who, now)
        if isinstance(request, ProfileRequest):
            started = self._profiles.begin(request, self._master.name, now)
            return (started, None) if isinstance(started, Refused) else (started(now), started)
        if isinstance(request, ReloadRequest):
            self._errors.info("asked to reload", by=who)
            return self._follow(self._master.reload(now), now, go_on=request.follow)
        if isinstance(request, WatchRequest):
            return self._follow(self._record.newest, now, go_on=True)
        if isinstance(request, UpgradeRequest):
            self._errors.info("asked to upgrade", by=who)
            self._master.upgrade.ask()
            follow = partial(_upgrading, self._master)
            return follow(now), follow if request.follow else None
        self._master.stop(now, f"control socket, {who}", fast=request.fast)
        return self._stopping(now), self._stopping if request.follow else None

    def _why(self, request: WhyRequest) -> Why:
        found = self._incidents.find(request.concerning, request.most)
        return Why(site=self._master.name, kept=len(self._incidents), incidents=found)

    def _follow(self, number: int, now: float, *, go_on: bool) -> tuple[Answer, Follow | None]:
        follow = _Following(self._master, self._generations, self._record, self._reloads, number)
        first = follow(now)
        return first, follow if go_on and not isinstance(first, Ended) else None

    def _stopping(self, _now: float) -> Progress:
        return self._acts.stopping()


def _upgrading(master: Commanded, _now: float) -> Answer:
    """An upgrade that takes place ends with the connection."""
    if master.upgrade.refusal is not None:
        reason, detail = master.upgrade.refusal
        return Ended(outcome=Outcome.REFUSED, seconds=0.0, reason=reason, detail=detail)
    return Progress(stage=Stage.REHEARSING)


class _Following:
    """Follows one attempt, and any other that replaces it."""

    def __init__(
        self, master: Commanded, generations: Generations, record: Record, reloads: Reloads, number: int
    ) -> None:
        self._master = master
        self._generations = generations
        self._record = record
        self._reloads = reloads
        self._number = number

    def __call__(self, now: float) -> Answer:
        attempt = self._record.find(self._number)
        if attempt is not None and attempt.ended is not None:
            if attempt.ended.outcome is not Outcome.SUPERSEDED:
                return attempt.ended
            self._number += 1
            return self(now)
        if attempt is not None:
            return status.reloading(self._generations, rolled_out=self._reloads.rolled_out)
        if self._master.stopping:
            return Ended(outcome=Outcome.STOPPED, seconds=0.0, reason="the site is being stopped")
        return Progress(stage=Stage.NOTED)
