"""How many workers a generation is to have: what its site allows, what the load or an operator wants, and
which of them are still expected. Whoever changes it says so in the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class WorkerNumbers:
    """From `least` to `most` by its site, and `room` for so many; `wanted` are the numbers from 1 to that. It
    is `pinned` once an operator has said how many. `held_back` is why there are fewer than the load calls
    for; `expected` are numbers that were added, while no worker of theirs has served; one of them has
    `arrived`."""

    least: int
    most: int
    room: int
    wanted: int
    pinned: bool = False
    held_back: str = ""
    expected: set[int] = field(default_factory=set)
    arrived: bool = False

    @property
    def elastic(self) -> bool:
        """Whether workers come and go with the load."""
        return self.least < self.most and not self.pinned

    @property
    def bounds(self) -> tuple[int, int] | None:
        """None where the number is fixed."""
        return (self.least, self.most) if self.least < self.most else None

    def scale(self, wanted: int) -> int:
        """Change the number of workers; returns the new one."""
        before, self.wanted = self.wanted, min(max(wanted, 1), self.room)
        self.expected |= {*range(before + 1, self.wanted + 1)}
        self.expected = {number for number in self.expected if number <= self.wanted}
        self.held_back = ""
        return self.wanted

    def serves(self, number: int) -> None:
        """A worker of that number has begun to serve."""
        self.arrived |= number in self.expected
        self.expected.discard(number)

    def pin(self, wanted: int) -> int:
        """As an operator says, until the next generation or `unpin`."""
        self.pinned = True
        return self.scale(wanted)

    def unpin(self) -> int:
        """Back to what its site allows."""
        self.pinned = False
        return self.scale(min(max(self.wanted, self.least), self.most))

    def succeed(self, other: WorkerNumbers) -> None:
        """Begin with as many as another generation has, as far as the site allows: what is to replace them
        must not have less."""
        self.wanted = min(max(other.wanted, self.least), self.most)

    def resume(self, after: WorkerNumbers) -> None:
        """The generation that was to follow is given up, and may have had more by then."""
        if self.elastic:
            self.scale(max(self.wanted, min(after.wanted, self.most)))
