"""What this process had before the import: everything of ours, and what it was executed with."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from superwsgi.worker.hazards.memory import shared
from superwsgi.worker.hazards.reading import Open, all_open


@dataclass(frozen=True)
class Before:
    """Descriptors and shared memory that are not hazards."""

    descriptors: Sequence[Open]
    mappings: Set[tuple[str, str]]


def now() -> Before:
    """Everything that there is now."""
    return Before(all_open(), frozenset(each.identity for each in shared()))


def inherited() -> Before:
    """What this program was executed with: descriptors that Python opens are not inheritable (PEP 446)."""
    return Before([each for each in all_open() if each.is_inheritable], frozenset())
