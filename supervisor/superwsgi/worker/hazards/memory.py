"""Memory that a fork does not copy, by proc(5): maps, smaps and status.

Shared mappings are the same memory for all workers: a lock in it that a killed worker held would hang the
others. Only what each worker would otherwise have for itself counts: not a file that is on the disk under its
name, device memory, or memory that is only read, which are the same without preloading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from superwsgi.worker.hazards import finding
from superwsgi.worker.hazards.finding import Hazard
from superwsgi.worker.hazards.reading import all_open

_SELF: Final = Path("/proc/self")
_DELETED: Final = " (deleted)"
_SEMAPHORE: Final = "/dev/shm/sem."
_MAPPING: Final = re.compile(r"([0-9a-f]+-[0-9a-f]+) (....) \S+ (\S+) (\d+) *(.*)")
_KEPT_FROM_CHILDREN: Final = re.compile(r"^VmFlags:.* dc ", re.MULTILINE)
_LOCKED: Final = re.compile(r"^VmLck:\s*[1-9]", re.MULTILINE)


@dataclass(frozen=True)
class Mapping:
    """The parts of a line of /proc/self/maps that matter here."""

    span: str  # `7f04f51e1000-7f04f51e2000`
    rights: str  # `rw-s`
    device: str
    inode: str
    path: str

    @property
    def identity(self) -> tuple[str, str]:
        return self.device, self.inode

    @property
    def addresses(self) -> range:
        return range(*(int(each, 16) for each in self.span.split("-")))

    @property
    def is_nameless(self) -> bool:
        return self.path.endswith(_DELETED) or self.path.startswith("/SYSV")


def find(harmless: Set[tuple[str, str]]) -> Iterator[Hazard]:
    """Mappings not in `harmless` and without a descriptor, which would tell more."""
    described = {each.target for each in all_open()}
    for each in shared():
        if each.is_nameless and each.identity not in harmless and each.path not in described:
            yield Hazard(_say(each), (finding.mapping(*each.identity),), addresses=each.addresses)
    if _KEPT_FROM_CHILDREN.search(_read("smaps")):
        yield Hazard("memory that children do not inherit (MADV_DONTFORK)")
    if _LOCKED.search(_read("status")):
        yield Hazard("memory locked against swapping (mlock)")


def shared() -> list[Mapping]:
    """Shared, writable mappings, each one once."""
    return list(dict.fromkeys(each for each in mapped() if each.rights[1] == "w" and each.rights[3] == "s"))


def mapped() -> Iterator[Mapping]:
    for line in _read("maps").splitlines():
        found = _MAPPING.fullmatch(line)
        if found:
            yield Mapping(*found.groups())


def _say(each: Mapping) -> str:
    if each.path.startswith(_SEMAPHORE):
        return "a lock shared between processes (semaphore)"
    if each.path.startswith("/[aio]"):
        return "asynchronous I/O (io_setup)"
    return "memory shared between processes"


def _read(name: str) -> str:
    """Empty if there is no /proc."""
    try:
        return (_SELF / name).read_text(errors="backslashreplace")
    except OSError:
        return ""
