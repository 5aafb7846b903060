"""Settings that are possible, but perhaps not meant: an operator is told of them, and they are done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from superwsgi.config.grammar.import_strings import AppKind, parse
from superwsgi.config.parts.paths import PathRule
from superwsgi.config.schema import Site
from superwsgi.config.shown.reference import spell
from superwsgi.config.text.paste import sections, servers
from superwsgi.config.text.variables import UnusableFile


def surprises(site: Site) -> list[str]:
    """A line for each."""
    return [
        *_hidden_pages(site),
        *_below_root_twice(site),
        *_cut_off(site),
        *_not_taken_over(site),
        *_never_shed(site),
        *_without_connections(site),
        *_other_servers(site),
    ]


def _without_connections(site: Site) -> Iterator[str]:
    if site.green > site.limits.connections:
        then = (
            f"a worker has no more connections than that: raise limits.connections, to {site.green} at least"
        )
        yield f"green: {site.green} is above limits.connections ({site.limits.connections}): {then}"


def _hidden_pages(site: Site) -> Iterator[str]:
    paths = {"health.live": site.health.live, "health.ready": site.health.ready}
    for mount in site.apps:
        for key, path in paths.items():
            if path is not None and "/" + mount.partition("/")[2] == path.rstrip("/"):
                then = "answers this path on every host, the application only those below it"
                yield f"apps: {mount}: {key} {then}"


def _below_root_twice(site: Site) -> Iterator[str]:
    """Paths that are perhaps meant as clients ask for them, although those of all keys begin below root."""
    if site.root == "/":
        return
    named: dict[str, Iterable[str]] = {
        "apps": site.apps,
        "paths": site.paths,
        "log.skip": site.log.skip,
        "log.sample": site.log.samples,
        "health": [path for path in (site.health.live, site.health.ready) if path is not None],
        "warmup": site.warmup,
    }
    for key, paths in named.items():
        for path in paths:
            inner = "/" + path.partition("/")[2]
            if f"{inner}/".startswith(f"{site.root}/"):
                yield f"{key}: {path}: is below root, so clients find it at {site.root}{inner}"


def _cut_off(site: Site) -> Iterator[str]:
    """Rules with more time than a worker has to drain; that of the whole site usually has, too."""
    graceful = site.timeouts.graceful
    then = f"but a reload or stop cuts it off after {spell(graceful, 'duration')} (timeouts.graceful)"
    for path, rule in site.paths.items():
        if rule.request is not None and rule.request > max(graceful, site.timeouts.request):
            yield f"paths: {path}: a request may be silent for {spell(rule.request, 'duration')}, {then}"


def _other_servers(site: Site) -> Iterator[str]:
    """What Paste files say of the server that would run them."""
    for app in site.apps.values():
        said = parse(app)
        if said.kind is AppKind.PASTE:
            for section in servers(_sections(said.source)):
                yield f"app: [{section}] in {said.source} is not used: bind and threads are keys of the site"


def _sections(path: str) -> list[str]:
    """Of a file that whoever loads it may complain of."""
    try:
        return [*sections(Path(path))]
    except (FileNotFoundError, UnusableFile):
        return []


def _never_shed(site: Site) -> Iterator[str]:
    """Where somebody has asked for it: the default does no harm."""
    age, longest = site.limits.queue_age, site.timeouts.queue
    if "limits.queue_age" in site.sources and 0 < age >= longest:
        yield (
            f"limits.queue_age: no request waits for {spell(age, 'duration')}, since it is refused after "
            f"{spell(longest, 'duration')} (timeouts.queue): nothing is shed"
        )


def _not_taken_over(site: Site) -> Iterator[str]:
    """What a rule would have, if it took over what it leaves out."""
    for path, rule in site.paths.items():
        others = [other for other in site.paths if path != other and _takes_from(path, other)]
        others.sort(key=len, reverse=True)
        for key in PathRule.__struct_fields__:
            has = next((other for other in others if getattr(site.paths[other], key) is not None), None)
            if has is not None and getattr(rule, key) is None:
                yield f"paths: {path}: {key} is as for the whole site there, not as in {has}"


def _takes_from(path: str, other: str) -> bool:
    """Whether some requests that would have the rule of the other path have that of this one."""
    host, inner = _split(path)
    other_host, other_inner = _split(other)
    if host == other_host:
        return inner.startswith(other_inner)
    return not other_host and (inner.startswith(other_inner) or other_inner.startswith(inner))


def _split(path: str) -> tuple[str, str]:
    """Host and prefix, with slashes at both ends."""
    host, _, prefix = path.partition("/")
    return host, f"/{prefix}/" if prefix else "/"
