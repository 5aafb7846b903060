"""What a site file names and this machine lacks: users, folders, certificates, programs, files to write.

Each is looked for by itself, so that none that is missing hides another. A key that could not be read has its
default, and says nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from superwsgi import extras
from superwsgi.checking.flaws import Flaw
from superwsgi.config.listening import UnixAddress
from superwsgi.config.schema import Site
from superwsgi.config.sources import Source
from superwsgi.config.surprises import surprises
from superwsgi.files import folders
from superwsgi.log.files import LogTargetError, check_target, try_making, try_writing, write_error
from superwsgi.master.admin.user import user_of
from superwsgi.master.companions import starting
from superwsgi.master.control.paths import OFF
from superwsgi.master.pidfile import PidFileError, holder_of
from superwsgi.master.processes.launch import environ_of_commands
from superwsgi.master.release import Origin, Release
from superwsgi.system.privileges import PrivilegeError, account, group_id, identity
from superwsgi.tls.interface import SeenCertificate

_SHELL: Final = "/bin/sh"
_WHICH: Final = (_SHELL, "-c", 'command -v -- "$1" >&2', "sh")
_FIRST_WORD: Final = re.compile(r"\s*([\w./-]+)(?=\s|\Z)")
"""Of a command, unless the shell makes something else of it."""

_PATIENCE: Final = 10.0
"""Seconds for a shell that only looks at a command."""

Failed = Collection[str]
"""Keys that could not be read."""


def flaws(site: Site, failed: Failed) -> Iterator[Flaw]:
    """In the order of the reference file, as far as there is one."""
    yield from _surprises(site)
    yield from _accounts(site, failed)
    yield from _folder(site)
    yield from _extras(site)
    yield from _static(site)
    yield from _owners(site)
    yield from _admin(site)
    yield from _files(site)
    yield from _companions(site)
    yield from _before(site)


def known_user(site: Site) -> Site:
    """The site, without a user and group that are not to be had."""
    try:
        identity(site.user, site.group)
    except PrivilegeError:
        return msgspec.structs.replace(site, user=None, group=None)
    return site


def _surprises(site: Site) -> Iterator[Flaw]:
    for each in surprises(site):
        section, _, rest = each.partition(": ")
        yield Flaw(f"{section} {rest.partition(': ')[0]}", each, harmless=True)


# Users and groups.


def _accounts(site: Site, failed: Failed) -> Iterator[Flaw]:
    unknown = [
        *_unknown("user", site.user, account, "make it, as by useradd --system, or name another one"),
        *_unknown("group", site.group, group_id, "make it, as by groupadd --system, or name another one"),
    ]
    yield from unknown
    if not unknown and {"user", "group"}.isdisjoint(failed):
        try:
            identity(site.user, site.group)
        except PrivilegeError as error:
            yield Flaw("user" if site.user else "group", str(error))


def _unknown(key: str, name: str | None, look: Callable[[str], object], hint: str) -> Iterator[Flaw]:
    try:
        if name is not None:
            look(name)
    except PrivilegeError as error:
        missing = hint if "does not exist" in str(error) else ""
        yield Flaw(key, f"{key}: {error}" if "." in key else str(error), missing)


def _owners(site: Site) -> Iterator[Flaw]:
    for key, address in unix_addresses(site):
        owner, group = address.owner, address.group
        found = [
            *_unknown(f"{key}.owner", owner, account, "name a user of this machine"),
            *_unknown(f"{key}.group", group, group_id, "name a group of this machine"),
        ]
        yield from found
        if not found and os.geteuid() != 0 and not _may_give(owner, group):
            yield Flaw(
                key,
                f"{key}: {address}: only root can give it to owner {owner or '-'}, group {group or '-'}",
                "start superwsgi as root, or leave owner and group out",
                address,
            )


def _may_give(owner: str | None, group: str | None) -> bool:
    """Whether chown(2) lets this process: to itself, and to its groups."""
    ours = owner is None or account(owner).uid == os.geteuid()
    gid = group_id(group) if group else account(owner).gid if owner else os.getegid()
    return ours and gid in (os.getegid(), *os.getgroups())


def unix_addresses(site: Site) -> Iterator[tuple[str, UnixAddress]]:
    """Each with its key."""
    binds = {"bind": site.bind, "health.bind": site.health.bind, "admin.bind": site.admin.bind}
    for key, addresses in binds.items():
        yield from ((key, each) for each in addresses if isinstance(each, UnixAddress))


def _admin(site: Site) -> Iterator[Flaw]:
    if site.admin.bind:
        try:
            user_of(known_user(site))
        except PrivilegeError as error:
            yield Flaw("admin.user", str(error))


# Certificates.


def certificate_flaws(seen: Iterable[SeenCertificate], failed: Failed) -> Iterator[Flaw]:
    """A key that could not be read may be in another file than that of its certificate."""
    for each in seen:
        above = each.key.partition(" ")[0]
        unsure = f"{above}.key" in failed and each.entry.key is None
        for problem in each.problems:
            if not (unsure and "private key" in problem):
                yield _of_certificate(above, each, problem)
        for doubt in each.doubts:
            yield replace(_of_certificate(above, each, doubt), harmless=True)


def _of_certificate(above: str, seen: SeenCertificate, message: str) -> Flaw:
    """`tls.sni 2.key: /path …` is a key with several values."""
    name = message.partition(":")[0].rpartition(".")[2]
    if name == "client_ca":
        return Flaw("tls.client_ca", message)
    return Flaw(f"{above}.{name}", message, value=getattr(seen.entry, name, None))


# Folders and files.


def _folder(site: Site) -> Iterator[Flaw]:
    if not Path(site.chdir).is_dir():
        yield Flaw("chdir", f"chdir: {site.chdir} is not a folder", "make it, or name another one")


def _static(site: Site) -> Iterator[Flaw]:
    """The folders of `static` and `sendfile`; a command that runs before each generation may make them."""
    for problem in folders.unusable(site):
        key, _, rest = problem.message.partition(": ")
        place = f"{key} {rest.partition(': ')[0]}"
        made = site.rollout.before is not None
        hint = "unless rollout.before makes it" if made else problem.hint
        yield Flaw(place, problem.message, hint, harmless=made)


def _extras(site: Site) -> Iterator[Flaw]:
    for key, problem in extras.lacking(site):
        yield Flaw(key, problem.message, problem.hint)


def usable_static(site: Site) -> Site:
    """The site, without files that could not be sent."""
    if extras.STATIC.lacking(site) is None and not any(folders.unusable(site)):
        return site
    return msgspec.structs.replace(site, static={}, sendfile={})


def _files(site: Site) -> Iterator[Flaw]:
    for key, target in (("log.access", site.log.access), ("log.error", site.log.error)):
        try:
            check_target(target)
        except LogTargetError as error:
            yield Flaw(key, f"{key}: {error}")
    yield from _pid_file(site)
    sockets = [(key, address.path, address) for key, address in unix_addresses(site)]
    if site.control is not None and site.control != OFF:
        sockets.append(("control", site.control, UnixAddress(site.control)))
    for key, name, address in sockets:
        try:
            try_making(Path(name).parent)  # it may be there: the site may run
        except OSError as error:
            yield Flaw(key, f"{key}: {name}: {write_error(Path(name), error)}", value=address)


def _pid_file(site: Site) -> Iterator[Flaw]:
    if site.pidfile is None:
        return
    path = Path(site.pidfile)
    try:
        try_writing(path)
        holder_of(path)
    except OSError as error:
        yield Flaw("pidfile", f"pidfile: {path}: {write_error(path, error)}")
    except PidFileError as error:
        yield Flaw("pidfile", f"pidfile: {error}")


# Programs.


def _companions(site: Site) -> Iterator[Flaw]:
    for name, problem in missing_companions(site).items():
        then = "the site would serve, and try again and again"
        yield Flaw(f"companions {name}", f"companion {name}: {problem}; {then}", harmless=True)


def missing_companions(site: Site) -> dict[str, str]:
    """Those whose programs are not there, and what is not."""
    release, pinned = _release(site)
    looked = {name: starting.missing(each, pinned, release) for name, each in site.all_companions.items()}
    return {name: problem for name, problem in looked.items() if problem and site.all_companions[name].count}


def _release(site: Site) -> tuple[Release, Site]:
    release = Release.of(site, Origin.of_process(site.chdir), os.environ)
    return release, release.pinned(site)


def _before(site: Site) -> Iterator[Flaw]:
    """A shell says whether it understands a command, and a program is there, and executes neither."""
    command = site.rollout.before
    if command is None:
        return
    release, pinned = _release(site)
    path = environ_of_commands(pinned, release)["PATH"]
    wrong = _said([_SHELL, "-n", "-c", command], pinned.chdir, path)
    if wrong:
        hint = "" if site.sources.get("rollout.before", Source("")).expanded else f": {wrong}"
        yield Flaw("rollout.before", f"rollout.before: a shell does not understand it{hint}")
    program = _FIRST_WORD.match(command)
    if not wrong and program and _said([*_WHICH, program[1]], pinned.chdir, path) == "":
        yield Flaw(
            "rollout.before",
            f"rollout.before: {program[1]!r} is not found in PATH ({path})",
            "no generation would be loaded: name a program that is there",
        )


def _said(command: list[str], folder: str, path: str) -> str | None:
    """The last line that it writes to stderr; None where there is no shell to ask."""
    environ: Mapping[str, str] = {"PATH": path}
    here = folder if Path(folder).is_dir() else "/"
    try:
        done = subprocess.run(
            command, cwd=here, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
