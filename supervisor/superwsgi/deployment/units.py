"""The units of systemd for a site: which there are, and what stands in each. Nothing is written or asked
here.

The hardening is that of systemd/superwsgi@.service, which is made of the same template: what differs from
site to site is who it is, which folders it sees, and what its numbers ask for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from superwsgi.config.listening import InheritedAddress, TcpAddress
from superwsgi.config.schema import Site
from superwsgi.deployment import folders
from superwsgi.deployment.installation import DYNAMIC, ROOT, Installation
from superwsgi.deployment.text import escaping
from superwsgi.deployment.text.filling import Value, filled

SYSTEM: Final = "/etc/systemd/system"
TMPFILES: Final = "/etc/tmpfiles.d"
VARIABLES: Final = "/etc/default"
HEAD: Final = "# superwsgi unit: "

_PRIVILEGED: Final = 1024
"""Ports below it take root, or CAP_NET_BIND_SERVICE (ip(7))."""

_RELOAD: Final = 600.0
"""Seconds that a reload gets at least: an operator who waits for it may look at the log meanwhile."""
MARGIN: Final = 15.0
"""Seconds for the master itself, beside what the site file allows the others."""

_FILES: Final = 65536
"""Descriptors for each process, where limits.connections does not take more."""

_TASKS: Final = 4000
"""Less than what systemd lets a unit have unless told otherwise, DefaultTasksMax= of
systemd-system.conf(5)."""
_OTHERS: Final = 256 << 20
"""Bytes for master, admin process and what stands in the page cache."""

_PROVIDED: Final = ("/var/lib/superwsgi", "/run/superwsgi", "/var/log/superwsgi")


@dataclass(frozen=True, slots=True)
class UnitFile:
    path: str
    text: str


def files(place: Installation, listen: dict[str, str], writable: tuple[str, ...] = ()) -> list[UnitFile]:
    """All that `superwsgi unit` installs. `listen` has the address of each socket unit by its name in `bind`,
    `writable` more folders that the site writes to. Raises Unspeakable."""
    sockets = [_socket(place, name, address) for name, address in listen.items()]
    names = " ".join(PurePosixPath(each.path).name for each in sockets)
    text = filled("service", values(place, names, writable))
    made = _tmpfiles(place)
    return [
        UnitFile(f"{SYSTEM}/{place.unit}.service", text),
        *sockets,
        *([UnitFile(f"{TMPFILES}/{place.unit}.conf", made)] if made else []),
    ]


def head(place: Installation) -> str:
    """The first line of each of these files, by which another run knows them again."""
    return f"{HEAD}{escaping.line(place.file).replace('%%', '%')}"


def socket_names(site: Site) -> list[str]:
    """The names of socket units in `bind` and its like; the empty one stands for any."""
    addresses = (*site.bind, *site.health.bind, *site.admin.bind)
    named = (each for each in addresses if isinstance(each, InheritedAddress) and each.fd is None)
    return list(dict.fromkeys(each.name for each in named))


def values(place: Installation, sockets: str = "", writable: tuple[str, ...] = ()) -> dict[str, Value]:
    """What the template of the service wants."""
    site, shared = place.site, folders.in_shared(place, writable)
    file = escaping.argument(place.file)
    return {
        "head": f"{head(place)}\n{_CHANGES.format(unit=place.unit)}",
        "name": site.name,
        "documentation": escaping.url(place.file),
        "sockets": sockets,
        "command": _command(place.command),
        "arguments": f"-c {file}",
        "reload": f"reload --wait -c {file}",
        "start_seconds": f"{math.ceil(max(_RELOAD, reload_time(place)))}s",
        "stop_seconds": f"{math.ceil(stop_time(site))}s",
        "environment": _environment(place),
        "who": _who(place),
        "is_home": " (its home)" if place.user == DYNAMIC else "",
        "tmp": ", and a /tmp of its own." if not shared else ", and /tmp, where this site has something.",
        "folders": _folders(place, writable, bool(shared)),
        "makes": " ".join(escaping.argument(path) for path in made_by_user(place)),
        "memory": memory_max(site, place.workers),
        "tasks": tasks_max(place),
        "rights": _rights(place),
        "refused_calls": "@privileged @resources" if place.user != ROOT else "@resources",
        "protect_home": "tmpfs" if folders.seen(place, writable) else "yes",
        "private_tmp": "no" if shared else "yes",
        "descriptors": max(_FILES, 2 * site.limits.connections + 1024),
    }


_CHANGES: Final = """\
# Made anew by it whenever that is run; changes of your own: systemctl edit {unit}.service"""


def _command(words: tuple[str, ...]) -> str:
    """The program itself is no place for variables: `$` is as it is there (systemd.service(5))."""
    program, *arguments = words
    return " ".join([escaping.word(program), *map(escaping.argument, arguments)])


def reload_time(place: Installation) -> float:
    """Seconds that a reload may take where each step takes all that the site file gives it: the command
    before it, the first worker and batch after batch, and the confirmation."""
    timeouts, rollout = place.site.timeouts, place.site.rollout
    batches = math.ceil(place.workers / rollout.batch)
    drain = timeouts.graceful + timeouts.lame_duck if not rollout.overlap else 0.0
    return (3 + batches) * timeouts.boot + drain + rollout.confirm + MARGIN


def stop_time(site: Site) -> float:
    """Seconds that a stop may take: workers drain, then companions end."""
    timeouts = site.timeouts
    companions = (
        timeouts.graceful if each.graceful is None else each.graceful for each in site.all_companions.values()
    )
    return timeouts.lame_duck + timeouts.graceful + max(companions, default=0.0) + MARGIN


def memory_max(site: Site, workers: int) -> int | None:
    """Bytes; None where the site file sets no limit in bytes for all that it runs. The site keeps its workers
    below theirs one by one; this is for what it cannot see, and must never be reached before that."""
    hard = site.memory.hard
    companions = [(each.memory.hard, each.count) for each in site.all_companions.values() if each.count]
    if not isinstance(hard, int) or not hard or not all(isinstance(each, int) for each, _ in companions):
        return None
    others = sum(int(each or 0) * count for each, count in companions)
    return hard * (2 * workers + 2) + others + _OTHERS


def tasks_max(place: Installation) -> int | None:
    """None where systemd's own is enough."""
    each = place.site.native_threads + place.site.upgraded_threads + 16
    needed = 2 * place.workers * each + 512
    return needed if needed > _TASKS else None


def _environment(place: Installation) -> str:
    file = f"{VARIABLES}/{place.unit}"
    named = f", such as {', '.join(place.variables)}" if place.variables else ""
    return f"# Variables that the site file refers to{named}: lines of NAME=value.\nEnvironmentFile=-{file}"


def _who(place: Installation) -> str:
    if place.user == DYNAMIC:
        return _DYNAMIC
    named = "as the site file has it" if place.user == place.site.user else "as asked for"
    who = "the user that the project belongs to" if place.owner and place.user != ROOT else named
    group = [f"Group={place.site.group}"] if place.site.group and place.user != ROOT else []
    return "\n".join([f"# Who: {who}.", f"User={place.user}", *group])


_DYNAMIC: Final = """\
# Who: a user of its own, made when the site starts. For files that belong to somebody, name that user:
#   [Service]
#   DynamicUser=no
#   User=www-data
DynamicUser=yes"""


def _folders(place: Installation, writable: tuple[str, ...], shared: bool) -> str:
    """What is both mounted and written is mounted to be: two settings for one path are not joined."""
    may_write = _may_write(place, writable, shared)
    mounted = folders.seen(place, writable)
    lists = {
        "BindReadOnlyPaths": _list([path for path in mounted if path not in may_write]),
        "BindPaths": _list([path for path in mounted if path in may_write]),
        "InaccessiblePaths": _list(folders.keys_in(mounted), "-"),
        "ReadWritePaths": _list([path for path in may_write if path not in mounted], "-"),
        "ReadOnlyPaths": _list(_protected(place, may_write), "-"),
    }
    lines = [_HIDDEN] if mounted else []
    return "\n".join([*lines, *(f"{name}={value}" for name, value in lists.items() if value)])


_HIDDEN: Final = """\
# Homes are hidden but for the folders above what it needs: deploys rename and switch links."""


def _protected(place: Installation, may_write: list[str]) -> list[str]:
    """Its virtual environment."""
    return [path for path in place.folders[:1] if folders.below(path, may_write) and path not in may_write]


def _may_write(place: Installation, writable: tuple[str, ...], shared: bool) -> list[str]:
    """The project of a user of its own keeps databases and uploads beside its code, and the next release of
    it as well: a link is followed as the service starts, and not at its reloads."""
    own = [place.site.chdir, *folders.releases(place)] if place.owner else []
    wanted = [*own, *folders.written(place), *writable, *(folders.SHARED if shared else ())]
    return [path for path in folders.plain(wanted) if not folders.below(path, provided(place))]


def provided(place: Installation) -> list[str]:
    """The folders that systemd makes for the site."""
    return [f"{folder}/{place.site.name}" for folder in _PROVIDED]


def _list(paths: list[str], prefix: str = "") -> str:
    return " ".join(escaping.word(prefix + path) for path in paths)


def _rights(place: Installation) -> str:
    ports = ["CAP_NET_BIND_SERVICE"] if privileged_ports(place.site) else []
    if place.user == ROOT:
        reason = "# What a master needs that is root, and makes its workers another user."
        return f"{reason}\nCapabilityBoundingSet={' '.join([*ports, *_AS_ROOT])}"
    if not ports:
        return "# Nothing that only root may do.\nAmbientCapabilities=\nCapabilityBoundingSet="
    return (
        "# Ports below 1024, and nothing else that only root may do.\n"
        "AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE"
    )


_AS_ROOT: Final = (
    *("CAP_SETUID", "CAP_SETGID"),  # to become the user of the site file
    "CAP_KILL",  # its workers, which are that user
    *("CAP_CHOWN", "CAP_FOWNER"),  # sockets and pipes that it gives them
    "CAP_DAC_OVERRIDE",  # the folders of that user, in which it reads code and writes logs
)


def privileged_ports(site: Site) -> list[int]:
    addresses = (*site.bind, *site.health.bind, *site.admin.bind)
    return [each.port for each in addresses if isinstance(each, TcpAddress) and 0 < each.port < _PRIVILEGED]


def _socket(place: Installation, name: str, address: str) -> UnitFile:
    unit = f"{place.unit}-{name}" if name else place.unit
    return UnitFile(f"{SYSTEM}/{unit}.socket", filled("socket", socket_values(place, name, address)))


def socket_values(place: Installation, name: str, address: str) -> dict[str, Value]:
    """What the template of a socket unit wants; its name in `bind` may be empty."""
    return {
        "head": head(place),
        "name": place.site.name,
        "address": escaping.line(address),
        "any": address.isdecimal(),
        "tcp": not address.startswith("/"),
        "backlog": place.site.limits.backlog,
        "called": name or "web",
        "service": f"{place.unit}.service" if name else "",
    }


def _tmpfiles(place: Installation) -> str:
    """Folders that are there before the site starts, such as those of /run after the machine has. Below what
    is a user's, root makes none (tmpfiles.d(5)). One that is there and somebody else's is left alone: `d`
    would make it the site's."""
    wanted = [path for path in folders.written(place) if path not in place.others]
    made = [path for path in wanted if not folders.below(path, [*_elsewhere(place), place.site.chdir])]
    if place.user == DYNAMIC or not made:
        return ""
    group = place.site.group or "-"
    lines = [f"d {escaping.word(path)} 0755 {place.user} {group} -" for path in made]
    return "\n".join([head(place), *lines]) + "\n"


def made_by_user(place: Installation) -> list[str]:
    """Folders of its files that the site's user makes before it starts: in a project of its own, whose next
    release may lack them, and below what systemd provides."""
    there = [*_elsewhere(place), *([place.site.chdir] if place.owner else [])]
    return [path for path in folders.written(place) if folders.below(path, there) and path not in there]


def _elsewhere(place: Installation) -> list[str]:
    return [*folders.HIDDEN, *folders.SHARED, *provided(place)]
