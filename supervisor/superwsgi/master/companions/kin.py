"""The processes that a companion has started: what is below it while it runs, and what is left once it has
ended. It leads a session of its own, and its variables (MARKS) say who it is, so that neither an orphan nor a
process that has put itself into the background is lost.

Process ids of others are used again: whatever is signalled is held by a pidfd, and looked at once more.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from superwsgi.system import procfs

NAME: Final = "SUPERWSGI_COMPANION"
NUMBER: Final = "SUPERWSGI_COMPANION_NUMBER"
_SITE: Final = "SUPERWSGI_COMPANION_SITE"
_MASTER: Final = "SUPERWSGI_COMPANION_OF"
"""A master may itself be a companion: all that it runs has the variables of that, too."""

_ENDED: Final = ("Z", "X")  # proc_pid_stat(5)


def marks(name: str, number: int) -> dict[str, str]:
    """Variables by which a companion's processes know, and are known."""
    return {NAME: name, NUMBER: str(number), _MASTER: str(os.getpid())}


def marks_of_site(site: str) -> dict[str, str]:
    """What they have besides, for a master that comes after this one."""
    return {_SITE: site}


def below(pid: int) -> list[int]:
    """A process and all below it, as far as they can be seen."""
    found = [pid]
    for each in found:
        found.extend(procfs.children_of(each))
    return found


def left_by(session: int, marked: Mapping[str, str]) -> list[int]:
    """What still runs of a companion that has led this session, and has ended, and all below that. Nothing is
    left if three looks find nothing: one may miss what is forked while it looks (getdents(2))."""
    return _look(session, marked) or _look(session, marked) or _look(session, marked)


def _look(session: int, marked: Mapping[str, str]) -> list[int]:
    """All that is below this process is looked at, and not only its children: one that is ending shows no
    variables any more, while it is still the parent of what it has put into the background."""
    parents = {stat.pid: stat.parent for stat in procfs.stats()}
    above = {pid: _above(pid, parents) for pid in parents}
    ours = [pid for pid in parents if os.getpid() in above[pid]]
    belonging = {pid for pid in ours if belongs(pid, session, marked)}
    return [pid for pid in ours if pid in belonging or not belonging.isdisjoint(above[pid])]


def _above(pid: int, parents: Mapping[int, int]) -> list[int]:
    """The parent of a process, the parent of that, and so on; each once, as they were not all looked at at
    once, and numbers are used again."""
    found: list[int] = []
    while (pid := parents.get(pid, 0)) and pid not in found:
        found.append(pid)
    return found


def belongs(pid: int, session: int, marked: Mapping[str, str]) -> bool:
    """Whether a process that runs is of this companion, without being the leader of its session."""
    stat = procfs.stat_of(pid)
    if stat is None or stat.state in _ENDED or pid == session:
        return False
    return stat.session == session or _carries(pid, marked)


def _carries(pid: int, marked: Mapping[str, str]) -> bool:
    """Whether a process was executed with these variables; False where its environment cannot be read."""
    return marked.items() <= _environ(pid).items()


def _environ(pid: int) -> dict[str, str]:
    """Those with which it was executed; empty where they cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    pairs = [os.fsdecode(line).partition("=") for line in lines]
    return {name: value for name, _, value in pairs}


def orphans(site: str, name: str, number: int) -> list[int]:
    """What still runs of the same place of the same site's companion, and of a master that is gone."""
    marked = {_SITE: site, NAME: name, NUMBER: str(number)}
    return [
        stat.pid
        for stat in procfs.stats()
        if stat.state not in _ENDED and _carries(stat.pid, marked) and not _has_master(stat.pid)
    ]


def kill_orphans(pids: Iterable[int], site: str, name: str, number: int) -> list[int]:
    """Those that are still what they were found to be. Returns those that have other rights."""
    with contextlib.ExitStack() as stack:
        held = {pid: fd for pid in pids if (fd := _hold(pid, stack)) is not None}
        still = held.keys() & set(orphans(site, name, number))
        return _signal({pid: held[pid] for pid in still}, signal.SIGKILL)


def _has_master(pid: int) -> bool:
    """Whether the master that has started it lives; its number may have become that of any other program."""
    master = _environ(pid).get(_MASTER, "")
    try:
        return b"superwsgi" in Path(f"/proc/{int(master)}/cmdline").read_bytes()
    except (OSError, ValueError):
        return False


def send(number: int, pids: Iterable[int], session: int, marked: Mapping[str, str]) -> list[int]:
    """Signal those that are still what they were found to be. Returns those that have other rights."""
    with contextlib.ExitStack() as stack:
        held = {pid: fd for pid in pids if (fd := _hold(pid, stack)) is not None}
        still = held.keys() & set(left_by(session, marked))
        return _signal({pid: held[pid] for pid in still}, number)


def _signal(held: Mapping[int, int], number: int) -> list[int]:
    """Processes by their pidfds. Returns those that have other rights."""
    beyond = []
    for pid, fd in held.items():
        try:
            signal.pidfd_send_signal(fd, number)
        except PermissionError:
            beyond.append(pid)
        except ProcessLookupError:
            pass
    return sorted(beyond)


def _hold(pid: int, stack: contextlib.ExitStack) -> int | None:
    """A pidfd, closed with the stack; None for a process that has ended."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    stack.callback(os.close, fd)
    return fd
