"""What would run: the application, its processes, and the memory that they take."""

from __future__ import annotations

from collections.abc import Iterator

from superwsgi.checking.explain.facts import SiteFacts
from superwsgi.checking.explain.sections import Fact, Origins
from superwsgi.config.grammar import import_strings
from superwsgi.config.schema import Site
from superwsgi.config.sections import Elastic, ElasticWorkers
from superwsgi.log.spelling import duration, printable, size
from superwsgi.master.policy.limits.memory import in_bytes
from superwsgi.messages import Footprint, Tried


def application(site: Site, facts: SiteFacts, origins: Origins) -> Iterator[Fact]:
    for mount, spec in site.apps.items():
        alone = list(site.apps) == ["/"]
        key = "app" if "app" in origins.keys else f"apps.{mount}"
        name = import_strings.parse(spec).label
        yield origins.fact(key, name if alone else f"{mount}  {name}", {mount: name}, called="app")
    kind = "compiled" if facts.machine.compiled else "pure Python"
    yield Fact("python", f"{facts.machine.python}, superwsgi {kind}", facts.machine.python)
    yield origins.fact("chdir", site.chdir, site.chdir)
    if site.root != "/":
        yield origins.fact("root", f"{site.root}: all of it is below that path", site.root)
    for key, folders in (("static", site.static), ("sendfile", site.sendfile)):
        for prefix, folder in folders.items():
            yield origins.fact(f"{key}.{prefix}", f"{prefix}  {folder}", {prefix: folder}, called=key)
    names = sorted(site.env)
    if names:
        yield Fact("env", ", ".join(names), names, _first_sources(origins, names))
    if facts.tried is not None and not facts.tried.troubles:
        took = facts.tried.seconds
        yield Fact("loads", f"in {duration(took)}", took)
    yield _preload(site, facts, origins)
    if site.warmup:
        yield origins.fact("warmup", f"{origins.text('warmup')} before any client may", len(site.warmup))
    for name in ("before_fork", "after_fork", "worker_exit"):
        if getattr(site.hooks, name) is not None:
            yield origins.fact(f"hooks.{name}", getattr(site.hooks, name), getattr(site.hooks, name))
    if site.rollout.before is not None:
        text = f"{origins.text('rollout.before')} has to succeed first"
        yield origins.fact("rollout.before", text, True)


def _first_sources(origins: Origins, names: list[str]) -> str:
    found = dict.fromkeys(filter(None, (origins.source(f"env.{name}").split(",")[0] for name in names)))
    return next(iter(found), "") if len(found) == 1 else ""


def _preload(site: Site, facts: SiteFacts, origins: Origins) -> Fact:
    tried = facts.tried
    hazards = [] if tried is None else tried.hazards
    shared = site.preload is not False and not (hazards and site.preload == "auto")
    value = None if tried is None else {"shared": shared, "hazards": hazards}
    return origins.fact("preload", printable(_preload_text(site, tried)), value)


def _preload_text(site: Site, tried: Tried | None) -> str:
    if site.preload is False:
        return "no: each worker imports the application itself"
    if tried is None or tried.troubles:
        return "not known, as the application was not loaded"
    found = ", ".join(tried.hazards)
    if not found:
        return "yes: imported once, and the workers are forked from that"
    if site.preload is True:
        return f"yes, but the workers will be without what a fork does not keep: {found}"
    return f"no, each worker imports the application itself: a fork would not keep {found}"


# Processes.


def processes(site: Site, facts: SiteFacts, origins: Origins) -> Iterator[Fact]:
    yield Fact("cpus", _cpus(facts), {"usable": facts.machine.cpus, "quota": facts.machine.quota})
    value = {"min": facts.least, "max": facts.most}
    yield origins.fact("workers", _workers(site, facts), value)
    elastic = site.elastic
    each = f"{elastic.min} to {elastic.max}" if isinstance(site.threads, Elastic) else str(elastic.max)
    if site.green:
        each = _many(site.green, "greenlet")
    at_once = facts.most * elastic.max
    text = f"{each} in each worker, so at most {_many(at_once, 'request')} at once"
    yield origins.fact(site.model, text, {"min": elastic.min, "max": elastic.max, "requests": at_once})
    if site.admin.bind:
        yield Fact("admin", "one more process, for the page and the metrics", True)
    for name, settings in site.all_companions.items():
        key = f"companions.{name}"
        command = origins.text(key) or origins.text(f"{key}.command")
        gone = facts.missing.get(name)
        text = f"{_many(settings.count, 'process', 'es')}: {command}"
        text += ", which is not there" if gone else ""
        source = origins.source(key) or origins.source(f"{key}.command")
        yield Fact(f"companion {name}", text, {"count": settings.count, "missing": gone}, source)
    if facts.running is not None:
        yield Fact("now", f"runs already, its master is process {facts.running}", facts.running)


def _cpus(facts: SiteFacts) -> str:
    usable = f"{facts.machine.cpus} that may be used"
    quota = facts.machine.quota
    return usable if quota is None else f"{usable}, with time for {quota:g} (quota of the control group)"


def _workers(site: Site, facts: SiteFacts) -> str:
    if isinstance(site.workers, ElasticWorkers):
        return f"{facts.least} to {facts.most}, as the load calls for and memory allows"
    if site.workers != "auto":
        return str(facts.most)
    return f"{facts.most}, one for each CPU" + (" that the quota keeps busy" if facts.machine.quota else "")


def _many(count: int, what: str, more: str = "s") -> str:
    return f"{count} {what}{'' if count == 1 else more}"


# Memory.


def memory(site: Site, facts: SiteFacts, origins: Origins) -> Iterator[Fact]:
    tried = facts.tried
    if tried is not None and tried.after is not None and not tried.troubles:
        yield from _taken(site, facts, tried, tried.after)
    else:
        yield Fact("application", "not known, as it was not loaded")
    there = facts.machine.memory
    yield Fact("there is", f"{size(there)} ({facts.machine.memory_of})", there)
    for key, then in (("soft", "is replaced"), ("hard", "is killed at once")):
        limit = in_bytes(getattr(site.memory, key), there)
        text = "no limit" if limit is None else f"a worker above {size(limit)} ({site.memory.measure}) {then}"
        yield origins.fact(f"memory.{key}", text, limit)


def _taken(site: Site, facts: SiteFacts, tried: Tried, after: Footprint) -> Iterator[Fact]:
    if tried.before is not None:
        own = max(0, after.rss - tried.before.rss)
        text = f"{size(own)} by its import, beside {size(tried.before.rss)} of Python and superwsgi"
        figures = {"rss": after.rss, "pss": after.pss, "private": after.private, "before": tried.before.rss}
        yield Fact("application", text, figures)
    shared = site.preload is not False and tried.forked is not None
    first = tried.forked if shared and tried.forked is not None else after.private
    text = f"{size(first)} of its own; nothing of the application is shared"
    if shared:
        more = f"up to {size(after.rss)} as requests change what is shared"
        text = f"{size(first)} of its own as it is forked, {more}"
    yield Fact("each worker", text, {"first": first, "most": after.rss})
    total = after.rss + (facts.most - 1) * first
    text = (
        f"{size(total)} for {_many(facts.most, 'worker')} before the first request; the master comes on top"
    )
    yield Fact("altogether", text, total)
    yield _room(facts.machine.memory, after.rss, first)


def _room(there: int, whole: int, each: int) -> Fact:
    """How many fit, at first and when each has all of it for itself."""
    at_first = max(0, 1 + (there - whole) // max(each, 1)) if there >= whole else 0
    apart = there // max(whole, 1)
    text = f"for {_many(apart, 'worker')}"
    if at_first != apart:
        text += f" that share nothing any more, {at_first} that share all"
    return Fact("room", text, {"sharing": at_first, "apart": apart})
