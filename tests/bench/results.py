"""What a run found: every sample, and its medians; written as JSON and read back."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.bench import Sample
from tests.bench.servers import BEFORE, OURS


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

    def everywhere(self, figure: str) -> list[float]:
        """The figure in every sample that has it."""
        rounds = [samples for servers in self.samples.values() for samples in servers.values()]
        return [sample[figure] for samples in rounds for sample in samples if figure in sample]

    def peers(self, scenario: str) -> list[str]:
        return [server for server in self.samples.get(scenario, {}) if server not in (OURS, BEFORE)]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        return cls(**json.loads(path.read_text()))
