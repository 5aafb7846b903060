"""From a site and facts to sections, in the order in which somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from superwsgi.checking.explain import around, reach, running
from superwsgi.checking.explain.facts import SiteFacts
from superwsgi.checking.explain.sections import Fact, Origins, Section, section
from superwsgi.config.schema import Site

_SECTIONS: Final[dict[str, Callable[[Site, SiteFacts, Origins], Iterator[Fact]]]] = {
    "application": running.application,
    "processes": running.processes,
    "memory": running.memory,
    "sockets": reach.sockets,
    "certificates": reach.certificates,
    "clients": reach.clients,
    "users": around.users,
    "logs": around.logs,
}


def explain(site: Site, facts: SiteFacts) -> list[Section]:
    """All but the certificates of a site without any."""
    origins = Origins.of(site)
    titles = [title for title in _SECTIONS if title != "certificates" or facts.certificates]
    return [section(title, _SECTIONS[title](site, facts, origins)) for title in titles]
