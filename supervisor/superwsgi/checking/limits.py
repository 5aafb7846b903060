"""Limits of this machine that a site would meet: open files, processes, memory for what it would start."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import Final

from superwsgi.checking.flaws import Flaw
from superwsgi.config.schema import Site
from superwsgi.log.spelling import size
from superwsgi.master.policy.limits.memory import in_bytes
from superwsgi.messages import Tried
from superwsgi.system import descriptors, machine

OPEN_AT_FIRST: Final = 32
"""Descriptors of a worker that has no client."""


def flaws(site: Site, tried: Tried | None) -> Iterator[Flaw]:
    """`tried`: what loading the application took, if it could be loaded."""
    yield from _of_files(site)
    yield from _of_tasks(site)
    if tried is not None and tried.after is not None:
        yield from _of_workers(site, tried)
        yield from _of_memory_limits(site, tried)


def connections(site: Site) -> int:
    """How many a worker can have open here, with the limit raised as far as it goes."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = site.limits.connections
    if hard == resource.RLIM_INFINITY:
        return wanted
    return descriptors.reachable(wanted, hard, OPEN_AT_FIRST)


def _of_files(site: Site) -> Iterator[Flaw]:
    possible = connections(site)
    if possible < site.limits.connections:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        yield Flaw(
            "limits.connections",
            f"limits.connections: a worker may open {hard} files (ulimit -Hn): that is room for {possible} "
            f"of {site.limits.connections} connections",
            "raise it, as by LimitNOFILE= in the unit, or lower limits.connections",
            harmless=True,
        )


def _of_tasks(site: Site) -> Iterator[Flaw]:
    """A thread is a process to the kernel."""
    most = machine.workers(*site.worker_bounds)[1]
    needed, limit = most * (site.native_threads + 2), machine.tasks()
    if limit is not None and needed > limit:
        yield Flaw(
            "threads",
            f"threads: {most} workers with {site.most_threads} threads are {needed} tasks, and this control "
            f"group may have {limit} (pids.max)",
            "raise it, as by TasksMax= in the unit, or have fewer",
            harmless=True,
        )
    elif limit is not None and needed + (more := most * site.upgraded_threads) > limit:
        yield Flaw(
            "limits.upgraded",
            f"limits.upgraded: {most} workers with {site.most_threads} threads, and one for each of "
            f"{site.limits.upgraded} upgraded connections, are {needed + more} tasks, and this control group "
            f"may have {limit} (pids.max)",
            "raise it, as by TasksMax= in the unit, or lower limits.upgraded (off: none)",
            harmless=True,
        )


def each_worker(site: Site, tried: Tried) -> int:
    """Bytes that each further worker takes for itself as soon as it is started."""
    assert tried.after is not None
    shares = bool(site.preload) and tried.forked is not None
    return tried.forked if shares and tried.forked is not None else tried.after.private


def _of_workers(site: Site, tried: Tried) -> Iterator[Flaw]:
    assert tried.after is not None
    most, there = machine.workers(*site.worker_bounds)[1], machine.memory()
    each = each_worker(site, tried)
    needed = tried.after.rss + (most - 1) * each
    if needed > there:
        yield Flaw(
            "workers",
            f"workers: {most} take {size(needed)} before their first request, and there are {size(there)}",
            f"have fewer: each takes {size(each)}",
            harmless=True,
        )


def _of_memory_limits(site: Site, tried: Tried) -> Iterator[Flaw]:
    """A worker that is above its limit when it begins is replaced again and again."""
    assert tried.after is not None
    has = getattr(tried.after, "private" if site.memory.measure == "uss" else site.memory.measure)
    shared = site.preload is not False and not tried.hazards
    if shared and site.memory.measure != "rss":
        return  # how much of it is a worker's own, its siblings decide
    for key, then in (("hard", "killed as soon as it is looked at"), ("soft", "replaced again and again")):
        limit = in_bytes(getattr(site.memory, key), machine.memory())
        if limit is not None and has > limit:
            yield Flaw(
                f"memory.{key}",
                f"memory.{key}: {size(limit)} is less than the {size(has)} ({site.memory.measure}) that the "
                f"application takes before its first request: each worker would be {then}",
                "raise it",
                harmless=key == "soft",
            )
            return
