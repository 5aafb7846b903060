"""What `superwsgi init --for …` makes, by what it is for: the text, and what an operator has to know.
Files are looked at here, for the pure functions of the modules beside this one.
"""

from __future__ import annotations

import grp
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from superwsgi.deployment.around import containers, fronts
from superwsgi.deployment.around.rotation import logrotate
from superwsgi.deployment.installation import DYNAMIC, Installation
from superwsgi.system.privileges import account


@dataclass(frozen=True, slots=True)
class Made:
    """`beside` are files that belong into the same folder, by name."""

    text: str
    notes: tuple[str, ...] = ()
    beside: dict[str, str] = field(default_factory=dict)


def _nginx(place: Installation) -> Made:
    text = fronts.nginx(place.site, place.file)
    return Made(text, tuple(_of_front(place, f"/etc/nginx/conf.d/{place.site.name}.conf", "nginx -t")))


def _haproxy(place: Installation) -> Made:
    text = fronts.haproxy(place.site, place.file)
    check = "haproxy -c -f /etc/haproxy/haproxy.cfg"
    return Made(text, tuple(_of_front(place, "/etc/haproxy/haproxy.cfg, at its end", check)))


def _of_front(place: Installation, to: str, check: str) -> Iterator[str]:
    yield f"it goes into {to}; then {check}"
    missing = fronts.untrusted(place.site)
    if missing is not None:
        yield f"the site does not believe this proxy about its clients: {missing}"


def _docker(place: Installation) -> Made:
    raw = _raw(place)
    files = frozenset(path.name for path in Path(place.file).parent.iterdir())
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = containers.docker(place.site, place.file, raw, files, version)
    notes = [] if containers.reachable(place.site, raw) else [_UNREACHABLE]
    notes += [f"{each}: {_UNWRITABLE}" for each in containers.unwritable(place.site, raw)]
    return Made(text, tuple(notes), {".dockerignore": containers.IGNORED})


_UNREACHABLE: Final = (
    "nobody outside of the container reaches it: write bind: ${BIND:-127.0.0.1:8000} into the site file"
)

_UNWRITABLE: Final = (
    "the image's user may not write there, and it would be lost with the container; leave logs out "
    "(docker logs has stdout), and have the rest in /tmp"
)


def _kubernetes(place: Installation) -> Made:
    return Made(containers.kubernetes(place, _raw(place)))


def _raw(place: Installation) -> dict[str, object]:
    return containers.written(Path(place.file).read_text("utf-8"))


def _logrotate(place: Installation) -> Made:
    group = None if place.user == DYNAMIC else grp.getgrgid(account(place.user).gid).gr_name
    return Made(
        logrotate(place, group), (f"it goes into /etc/logrotate.d/{place.unit}; then logrotate -d on it",)
    )


KINDS: Final[dict[str, Callable[[Installation], Made]]] = {
    "logrotate": _logrotate,
    "docker": _docker,
    "kubernetes": _kubernetes,
    "nginx": _nginx,
    "haproxy": _haproxy,
}
