"""What of the master's answers is shown: everything but query strings, which may hold secrets of visitors."""

from __future__ import annotations

from msgspec.structs import replace

from superwsgi.control import AllStacks, ProcessStacks, Snapshot, ThreadStack, Why
from superwsgi.incidents import Incident, RequestInHand


def snapshot(whole: Snapshot) -> Snapshot:
    if whole.running is None:
        return whole
    return replace(whole, running=[replace(each, target=path(each.target)) for each in whole.running])


def why(whole: Why) -> Why:
    return replace(whole, incidents=[_incident(each) for each in whole.incidents])


def stacks(whole: AllStacks) -> AllStacks:
    return replace(whole, processes=[_process(each) for each in whole.processes])


def path(target: str) -> str:
    """A target without its query string: RFC 3986 section 3.4."""
    return target.partition("?")[0]


def _incident(whole: Incident) -> Incident:
    return replace(whole, requests=tuple(map(_request, whole.requests)))


def _request(whole: RequestInHand) -> RequestInHand:
    return replace(whole, target=path(whole.target))


def _process(whole: ProcessStacks) -> ProcessStacks:
    threads, in_hand = [*map(_thread, whole.threads)], [*map(_request, whole.in_hand)]
    return replace(whole, threads=threads, in_hand=in_hand)


def _thread(whole: ThreadStack) -> ThreadStack:
    return whole if whole.request is None else replace(whole, request=_request(whole.request))
