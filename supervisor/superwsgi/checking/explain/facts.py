"""What is asked of this machine before a site can be explained. All that is decided of it is elsewhere."""

from __future__ import annotations

import os
import pwd
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from superwsgi import build
from superwsgi.checking import limits
from superwsgi.checking.addresses import first_free_port
from superwsgi.checking.checked import Checked
from superwsgi.checking.surroundings import missing_companions
from superwsgi.config.schema import Site
from superwsgi.master.admin.user import user_of
from superwsgi.master.control.paths import OFF, folders
from superwsgi.messages import Tried
from superwsgi.system import machine
from superwsgi.system.privileges import Identity, PrivilegeError, identity
from superwsgi.tls.interface import SeenCertificate

_SOMAXCONN: Final = Path("/proc/sys/net/core/somaxconn")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """CPUs that may be used, and how many of them a control group may keep busy (None: all); bytes of memory
    that there are, and whose limit that is; connections that listen(2) lets wait at most, and files that a
    process may open, None where that is not known or there is no limit; the first port that needs no right.
    """

    cpus: int
    quota: float | None = None
    memory: int
    memory_of: str = "the machine"
    somaxconn: int | None = None
    files: int | None = None
    first_port: int = 1024
    python: str = ""
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """A user of this machine, by name or number."""

    name: str
    uid: int
    groups: tuple[int, ...] = ()
    home: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFacts:
    """What would come of a site here. `least` and `most` workers; `connections` that each may have; who
    master, workers and admin process are (None: not to be had); `tried` is None where the application was
    not loaded, `running` the process of a master that runs already."""

    machine: MachineFacts
    least: int
    most: int
    connections: int
    master: PersonFacts
    workers: PersonFacts | None
    admin: str | None = None
    control: str | None = None
    tried: Tried | None = None
    certificates: Sequence[SeenCertificate] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    running: int | None = None
    now: float = 0.0


def gather(checked: Checked, now: float) -> SiteFacts:
    """`now` is wall time in seconds."""
    site = checked.reading.site
    least, most = machine.workers(*site.worker_bounds)
    return SiteFacts(
        machine=_machine(),
        least=least,
        most=most,
        connections=limits.connections(site),
        master=_person(Identity(None, os.geteuid(), os.getegid())),
        workers=_workers(site),
        admin=_admin(site),
        control=_control(site),
        tried=checked.tried,
        certificates=checked.certificates,
        missing=missing_companions(site),
        running=None if checked.running is None else checked.running.pid,
        now=now,
    )


def _machine() -> MachineFacts:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    memory = machine.memory()
    limit = next((room.name for room in machine.rooms() if room.limit == memory), "the machine")
    return MachineFacts(
        cpus=len(os.sched_getaffinity(0)),
        quota=machine.cpu_quota(Path("/")),
        memory=memory,
        memory_of=limit,
        somaxconn=_somaxconn(),
        files=None if hard == resource.RLIM_INFINITY else hard,
        first_port=first_free_port(),
        python=build.python(),
        compiled=build.is_compiled(),
    )


def _somaxconn() -> int | None:
    try:
        return int(_SOMAXCONN.read_text())
    except (OSError, ValueError):
        return None


def _person(who: Identity) -> PersonFacts:
    try:
        entry = pwd.getpwuid(who.uid)
    except KeyError:
        return PersonFacts(str(who.uid), who.uid, (who.gid,), "/")
    named = Identity(entry.pw_name, who.uid, who.gid)
    return PersonFacts(entry.pw_name, who.uid, tuple(sorted(named.groups())), entry.pw_dir)


def _workers(site: Site) -> PersonFacts | None:
    try:
        who = identity(site.user, site.group)
    except PrivilegeError:
        return None
    return _person(who or Identity(None, os.geteuid(), os.getegid()))


def _admin(site: Site) -> str | None:
    try:
        return user_of(site) if site.admin.bind else None
    except PrivilegeError:
        return None


def _control(site: Site) -> str | None:
    if site.control == OFF:
        return None
    return site.control or str(folders(site.name, os.environ)[0].socket())
