"""Workers under a load, look by look: what they would have in hand, what they would compute, and the number
of them that scaling/demand.py decides. An hour takes a second.

A request computes for so many CPU seconds and waits for something else for so long. Workers share the
requests evenly, and the CPUs; within a worker one request computes at a time, and at most `threads` are there
at once.
"""

import itertools
import math
import random
from dataclasses import dataclass, field

from superwsgi.master.scaling import demand
from superwsgi.master.scaling.demand import LOOK, Course, Load, SiteLoad, WorkerRoom
from superwsgi.master.scaling.memory import UNKNOWN


@dataclass
class Site:
    """`rate(second)` is in requests a second; `course` is the number of workers at each look."""

    rate: object
    computes: float = 0.05
    waits: float = 0.0
    threads: int = 32
    least: int = 1
    most: int = 8
    cpus: int = 8
    boots: float = 0.5
    room: object = lambda self: UNKNOWN
    seed: int = 1
    now: float = 1000.0
    wanted: int = 0
    backlog: float = 0.0
    waiting: float = 0.0
    serving_at: list = field(default_factory=list)
    numbers: list = field(default_factory=list)
    said: list = field(default_factory=list)

    def run(self, seconds):
        chance = random.Random(self.seed)
        self.wanted = self.wanted or self.least
        self.serving_at = [self.now] * self.wanted
        course, begun = Course(self.now, self.now), self.now
        while self.now < begun + seconds:
            self.now += LOOK
            look = self.look(self.arrivals(chance, self.now - begun))
            course = demand.observe(course, look, self.now)
            decision = demand.decide(course, look, self.room(self), self.now)
            course = demand.stepped(course, decision, look, self.now)
            if decision.limit is not None:
                self.said.append(decision.limit.of)
            self.change(decision.wanted)
            self.numbers.append(self.wanted)
        return self

    def arrivals(self, chance, second):
        """As many as come at random at that rate."""
        mean = self.rate(second) * LOOK
        return max(0, round(chance.gauss(mean, math.sqrt(mean)))) if mean > 0 else 0

    def change(self, wanted):
        self.serving_at = self.serving_at[:wanted]
        self.serving_at += [self.now + self.boots] * (wanted - len(self.serving_at))
        self.wanted = wanted

    def look(self, arrived):
        serving = sum(at <= self.now for at in self.serving_at)
        offered = self.backlog + arrived
        done = min(offered, self.capacity(serving))
        self.backlog = min(offered - done, 500.0 * serving)
        took = done * self.computes / LOOK / serving
        waiting = done / LOOK * self.waits - self.waiting
        self.waiting += waiting * min(1.0, LOOK / self.waits) if self.waits else 0.0
        inside = self.backlog + self.waiting + done * self.computes / LOOK
        loads = [self.load(number + 1, took, inside / serving) for number in range(serving)]
        return SiteLoad(
            self.wanted,
            self.least,
            self.most,
            self.cpus,
            tuple(loads),
            settled=serving == self.wanted,
        )

    def capacity(self, serving):
        """Requests that so many workers can do until the next look."""
        by_cpu = min(serving, self.cpus) * LOOK / self.computes if self.computes else math.inf
        by_threads = serving * self.threads * LOOK / (self.waits + self.computes)
        return min(by_cpu, by_threads)

    def load(self, number, cpu, inside):
        """Threads are not started while requests only wait for the CPU (worker/threads/pool.py)."""
        hesitates = cpu > 0.95 and inside > 4 and self.threads > 4
        threads = 4 if hesitates else self.threads
        busy = min(round(inside), threads)
        queued = max(0, round(inside) - threads)
        free = 0 if hesitates else threads - busy
        return Load(number, busy, self.threads, free, queued, hesitates=hesitates, cpu=cpu)

    # What is to be seen.

    def reached(self, wanted, since=0.0):
        """Seconds after that until there were so many, and they served."""
        first = int(since / LOOK)
        place = next(at for at, each in enumerate(self.numbers) if at >= first and each == wanted)
        return (place - first) * LOOK + self.boots

    @property
    def turns(self):
        """How often it went up after having gone down, and seconds between each change and the next one in
        the other direction."""
        changes = [
            (at * LOOK, after - before)
            for at, (before, after) in enumerate(itertools.pairwise(self.numbers))
            if after != before
        ]
        return [
            later - at
            for (at, change), (later, next_change) in itertools.pairwise(changes)
            if (change > 0) != (next_change > 0)
        ]


def room_for(count):
    return lambda site: WorkerRoom(count, "memory", "memory: little left")
