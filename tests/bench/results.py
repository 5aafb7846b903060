"""What a run found: every sample, and its medians; written as JSON and read back."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.bench import Sample
from tests.bench.servers import OWN

MERGED = {"Servers"}
"""Facts of which each run names those that it had."""


@dataclass
class Results:
    """`samples`: scenario → server → one sample a round. `failures`: why a server is not in a table."""

    machine: dict[str, str]
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, scenario: str, server: str, sample: Sample) -> None:
        self.samples.setdefault(scenario, {}).setdefault(server, []).append(sample)

    def values(self, scenario: str, server: str, figure: str) -> list[float]:
        """Of all rounds; empty where it was not measured."""
        return [sample[figure] for sample in self.samples.get(scenario, {}).get(server, [])]

    def median(self, scenario: str, server: str, figure: str) -> float | None:
        values = self.values(scenario, server, figure)
        return statistics.median(values) if values else None

    def medians(self, scenario: str, servers: Iterable[str], figure: str) -> list[float]:
        """Of those servers that were measured."""
        found = (self.median(scenario, server, figure) for server in servers)
        return [value for value in found if value is not None]

    def everywhere(self, figure: str) -> list[float]:
        """The figure in every sample that has it."""
        rounds = [samples for servers in self.samples.values() for samples in servers.values()]
        return [sample[figure] for samples in rounds for sample in samples if figure in sample]

    def peers(self, scenario: str) -> list[str]:
        return [server for server in self.samples.get(scenario, {}) if server not in OWN]

    def of(self, scenarios: Iterable[str]) -> Results:
        """Without all other scenarios, and without what is said to have failed in those."""
        kept = set(scenarios)
        samples = {name: servers for name, servers in self.samples.items() if name in kept}
        left = [name for name in self.samples if name not in kept]
        said = [
            failure for failure in self.failures if not any(f" {name}: " in f" {failure}" for name in left)
        ]
        return Results(dict(self.machine), samples, said)

    def join(self, other: Results) -> None:
        """Take over what another run on the same Python has found."""
        self.samples |= other.samples
        self.failures += [failure for failure in other.failures if failure not in self.failures]
        for fact in MERGED & self.machine.keys() | MERGED & other.machine.keys():
            both = [self.machine.get(fact, ""), other.machine.get(fact, "")]
            self.machine[fact] = ", ".join(dict.fromkeys(", ".join(filter(None, both)).split(", ")))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        return cls(**json.loads(path.read_text()))
