"""Who a site's processes would be, what they may do, and where they write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from superwsgi.checking.explain.facts import PersonFacts, SiteFacts
from superwsgi.checking.explain.sections import Fact, Origins
from superwsgi.config.schema import Site

_RIGHTS: Final = {"r": "read", "w": "write", "x": "enter"}
_STANDARD: Final = {"log.error": "stderr", "log.access": "stdout"}


def users(site: Site, facts: SiteFacts, origins: Origins) -> Iterator[Fact]:
    yield Fact("master", _person(facts.master), _value(facts.master))
    workers = facts.workers
    if workers is None:
        yield origins.fact("user", "not to be had", None, called="workers")
    else:
        home = f"; HOME {workers.home}" if site.user is not None else ""
        text = "the same" if workers.uid == facts.master.uid and not site.user else _person(workers) + home
        yield Fact("workers", text, _value(workers), origins.source("user") if site.user else "")
    if site.admin.bind:
        yield origins.fact("admin.user", facts.admin or "the same as the master", facts.admin, called="admin")
    if site.companions:
        yield Fact("companions", "as the workers")
    yield from _folders(facts)
    if site.umask is not None:
        yield origins.fact("umask", f"{site.umask:04o}", site.umask)


def _person(who: PersonFacts) -> str:
    groups = ", ".join(map(str, who.groups))
    return f"{who.name} (uid {who.uid}, {'group' if len(who.groups) == 1 else 'groups'} {groups})"


def _value(who: PersonFacts) -> dict[str, object]:
    return {"name": who.name, "uid": who.uid, "groups": [*who.groups], "home": who.home}


def _folders(facts: SiteFacts) -> Iterator[Fact]:
    for name, (path, rights) in ({} if facts.tried is None else facts.tried.folders).items():
        lacks = [word for letter, word in _RIGHTS.items() if letter not in rights]
        may = "read and write" if not lacks else f"not {' or '.join(lacks)}"
        yield Fact(name, f"{path}: workers may {may} it", {"path": path, "rights": rights})


def logs(site: Site, facts: SiteFacts, origins: Origins) -> Iterator[Fact]:
    for key, target in (("log.error", site.log.error), ("log.access", site.log.access)):
        text = _STANDARD[key] if target == "-" else target
        if target != "off" and key == "log.error":
            text += f", from {site.log.level} on, as {site.log.style}"
        elif target != "off":
            text += f", as {origins.text('log.format')}"
        yield origins.fact(key, text, target)
    if site.log.shares:
        text = ", ".join(f"{path} {share:.0%}" for path, share in site.log.shares.items())
        yield Fact("lines for", text, dict(site.log.shares))
    if site.log.capture:
        yield origins.fact("log.capture", "what the application prints is in the error log", True)
    if site.pidfile is not None:
        yield origins.fact("pidfile", site.pidfile, site.pidfile)
