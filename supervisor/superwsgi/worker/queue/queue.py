"""Requests that wait for a thread, in a lane for each kind; and those that wait for others of their rule
(gates.py).

Called from any thread. Times are monotonic ns.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from superwsgi import unpatched
from superwsgi.http.errors import HttpError
from superwsgi.http.request.head import Request
from superwsgi.http.request.rules import Gate
from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.storage import Bulk
from superwsgi.worker.queue.expectations import LATELY, Expectations, Kind, kind_of
from superwsgi.worker.queue.fairness import Head, Turn, fair, fifo, is_slow
from superwsgi.worker.queue.gates import FULL, Gates, crowded, gates_of, narrowest, passed, recount, room
from superwsgi.worker.queue.shedding import ShedRule, WaitingLine

LONG: Final = SECOND // 1000
SAMPLE: Final = 64
"""Even if nobody waits, what to expect of a kind of request is learned from those that take longer than LONG,
in ns, and from one in SAMPLE of the others: it takes some 3 us."""


class Lane(Head):
    """Those of one name of a kind and with the same gates, in the order in which they came. What to expect of
    them may be known only together with others, as may be whether their `line` stands. `held`: when the first
    was last held back by something else than the want of a thread."""

    __slots__ = ("gates", "held", "kind", "line", "name", "waiting")

    def __init__(self, name: str, kind: Kind, line: WaitingLine, expected: int, now: int) -> None:
        super().__init__(expected, now)
        self.name = name
        self.kind = kind
        self.gates: Gates = ()
        self.line = line
        self.held = 0
        self.waiting: deque[tuple[int, Connection]] = deque()  # each with when it came


class RequestQueue:
    """Owns connections whose request waits for a thread, of which there are at most `threads`.

    `size` requests wait, the first since `since`. At `look_at` one may run that has had to wait for others.
    Until `tight_until` every request comes here, even if a thread is free: one has lacked lately, or
    requests are late. While some have to be refused (shedding.py), until `sheds_until` or later, those that
    were in the queue already are in `refused`, which owns them. `late`: the latest one that was run had
    waited for `age` ns or more; 0: that does not matter.
    Not among these, `gated` more wait for others of their rule, the first since `gated_since`, at the gate
    `gated_at`; `has_gates`: there is a rule with one.
    """

    def __init__(self, policy: str, threads: int, bulk: Bulk, age: int = 0) -> None:
        self.size = 0
        self.since = 0
        self.has_gates = False
        self.gated = 0
        self.gated_since = 0
        self.gated_at: Gate | None = None
        self.look_at = NEVER
        self.tight_until = 0
        self.sheds_until = 0
        self.refused: deque[Connection] = deque()
        self.late = False
        self._gates: set[Gate] = set()  # at which some have waited
        self._ungated = 0  # that have none
        self._unlearned = 0  # requests since one was learned from
        self._started = 0  # the latest one that is slow beside others
        self._expectations = Expectations()
        self._fair = policy == "fair"
        self._threads = threads
        self._bulk = bulk
        self._rule = ShedRule(age or NEVER, threads)
        self._age = age or NEVER
        self._all = WaitingLine()
        self._lanes: dict[tuple[str, Gates], Lane] = {}
        self._lock = unpatched.shared_lock()

    def may_grow(self, workers: bool) -> None:
        """Whether the master may start more of them for load: then nobody has to be refused."""
        self._rule.workers_may_grow = workers

    def put(self, connection: Connection, now: int) -> None:
        request = connection.parser.requests[0]
        name, gates = kind_of(request), gates_of(request)
        kind = self._expectations.kind(name, now)
        with self._lock:
            lane = self._lanes.get((name, gates))
            if lane is None:
                line = self._line(kind, gates)
                lane = Lane(name, kind, line, self._expectations.expected(kind), now)
                self._lanes[name, gates] = lane
                self._gate(lane, gates)
            late = not gates and now - lane.since >= self._age and not self._is_held_back(lane, now)
            lane.line.join(now)
            lane.waiting.append((now, connection))
            self._resize(1)
            if connection.ended:
                connection.sender.sound()
            if late:  # perhaps none is taken any more
                self._judge(lane.line, True, now)

    def take(self, last: bool, now: int) -> Connection | None:
        """The one that is next for a thread, the `last` free one or not; it has passed its gates. None: none
        is, before `look_at`."""
        with self._lock:
            while True:
                lane = self._next(last, now)
                if lane is None:
                    return None
                since, connection = lane.waiting.popleft()
                passed(lane.gates)
                self._advance(lane)
                self._resize(-1)
                if self._runs(lane, since, now):
                    if is_slow(lane, self._expectations.shortest_lately(now)):
                        self._started = now
                    return connection
                self.refused.append(connection)

    def refuses(self, request: Request, now: int) -> int:
        """Whether a request that comes while some are refused would have to wait too long: then the seconds
        after which its client may ask again, else 0."""
        if gates_of(request):
            return 0
        kind = self._expectations.kind(kind_of(request), now)
        with self._lock:
            line = self._line(kind, ())
            if not self._sheds(line, now) or line.wait(now, line.waiting) <= self._age or not line.waiting:
                return 0
            self._refuse(line, now)
            return line.advice(now)

    def refuses_late(self, now: int, others: bool) -> bool:
        """Whether a request is refused that is late although a thread was free: it has waited for others to
        be run one after another. Not if there are no `others` that could be run instead."""
        with self._lock:
            self._judge(self._all, True, now)
            if not (others and self._stands(self._all, now)):
                return False
            self._refuse(self._all, now)
            self.tight_until = now + LATELY
            return True

    def begins_in_time(self, now: int) -> None:
        """A request is run at once, after one was late."""
        with self._lock:
            self._judge(self._all, False, now)

    def advice(self, request: Request, now: int) -> int:
        """After how many seconds the client of a request that was refused may ask again."""
        return self._line(self._expectations.kind(kind_of(request), now), ()).advice(now)

    def sound(self, connection: Connection) -> None:
        """The client of one that may be in the queue has closed its side: find out whether it has gone. Under
        the lock nobody takes it out, and answers it."""
        with self._lock:
            waiting = [each for lane in self._lanes.values() for _, each in lane.waiting]
            if connection in waiting:
                connection.sender.sound()

    def remove(self, connection: Connection) -> bool:
        """Take it out; False if it is not there any more."""
        with self._lock:
            for lane in self._lanes.values():
                for place, (_, other) in enumerate(lane.waiting):
                    if other is connection:
                        del lane.waiting[place]
                        lane.line.leave()
                        if place == 0:
                            self._advance(lane)
                        self._resize(-1)
                        return True
            return False

    def enter(self, gates: Gates) -> bool:
        """A request passes its gates without waiting here, if there is room for it."""
        with self._lock:
            if not room(gates):
                return False
            self.has_gates = True
            passed(gates)
            self._resize(0)
            return True

    def leave(self, gates: Gates) -> bool:
        """One that passed these gates has left the application. Whether others wait for a thread now."""
        with self._lock:
            passed(gates, -1)
            self._resize(0)
            return self.size > 0

    def full(self, request: Request, limit: int) -> HttpError | None:
        """Why a request may not wait here, where `limit` may at each gate, and as many of all others: a rule
        that is crowded takes no place from these."""
        gates = gates_of(request)
        if gates:
            return crowded(gates, limit)
        return FULL if (self._ungated if self.has_gates else self.size) >= limit else None

    def lack(self, now: int) -> None:
        """There is no thread for one that waits, so there is nothing to look at before one comes back."""
        self.look_at = NEVER
        if self._fair:
            self.tight_until = now + LATELY

    def learn(self, request: Request, took: int, now: int) -> None:
        """The application was done with a request after so many ns."""
        if self._fair:
            self._expectations.learn(self._expectations.kind(kind_of(request), now), took)

    def saw(self, request: Request, took: int, now: int) -> None:
        """The same, but learn only from some."""
        self._unlearned += 1
        if took > LONG or self.size or self._unlearned >= SAMPLE:
            self._unlearned = 0
            self.learn(request, took, now)

    def _next(self, last: bool, now: int) -> Lane | None:
        """The lane whose first is next."""
        heads = [lane for lane in self._lanes.values() if not self._is_held_back(lane, now)]
        if not heads:
            self.look_at = NEVER
            return None
        turn = self._turn(heads, last, now)
        self.look_at = turn.until
        assert turn.head is None or isinstance(turn.head, Lane)
        return turn.head

    def _turn(self, heads: list[Lane], last: bool, now: int) -> Turn:
        if not self._fair:
            return fifo(heads)
        tight = now < self.tight_until
        short = self._expectations.shortest_lately(now) if tight else NEVER
        turn = fair(heads, now, self._threads, last, short, self._started)
        if tight:
            turn.until = min(turn.until, self.tight_until)
        return turn

    def _is_held_back(self, lane: Lane, now: int) -> bool:
        """While its gates are closed, or responses fill files and it is expected to do the same."""
        if lane.gates and not room(lane.gates):
            return True
        if not (self._bulk.crowded and self._bulk.expects(lane.name, now)):
            return False
        lane.held = now
        return True

    def _advance(self, lane: Lane) -> None:
        """Its first one has left the lane."""
        if lane.waiting:
            lane.since = lane.waiting[0][0]
            lane.expected = self._expectations.expected(lane.kind)
            lane.passed = NEVER
        else:
            del self._lanes[lane.name, lane.gates]

    def _resize(self, change: int) -> None:
        self.size += change
        self.since = min((lane.since for lane in self._lanes.values()), default=0)
        if self.has_gates:
            self._count_gated()

    # Those that wait for others of their rule.

    def _gate(self, lane: Lane, gates: Gates) -> None:
        lane.gates = gates
        self._gates.update(gates)
        self.has_gates |= bool(gates)

    def _count_gated(self) -> None:
        """A lane or a gate has changed. Of a lane with gates so many wait for a thread as may pass these."""
        lanes = list(self._lanes.values())
        recount(self._gates, [(lane.gates, len(lane.waiting)) for lane in lanes])
        self._ungated = sum([len(lane.waiting) for lane in lanes if not lane.gates])
        self.size = sum([min(len(lane.waiting), room(lane.gates)) for lane in lanes])
        self.since = min([lane.since for lane in lanes if room(lane.gates)], default=0)
        gated = [lane for lane in lanes if len(lane.waiting) > room(lane.gates)]
        self.gated = sum([len(lane.waiting) for lane in lanes]) - self.size
        self.gated_since, self.gated_at = 0, None
        if gated:
            first = min(gated, key=_since_when)
            self.gated_since, self.gated_at = first.since, narrowest(first.gates)

    # Who is refused.

    def _line(self, kind: Kind, gates: Gates) -> WaitingLine:
        """The one by which requests are refused, or let run; those of a rule with a gate have one that never
        stands."""
        if gates:
            return WaitingLine()
        return kind.line if self._fair else self._all

    def _runs(self, lane: Lane, since: int, now: int) -> bool:
        """Whether one is run that has waited `since`, or comes too late. A wait for its rule says nothing of
        threads."""
        if lane.gates:
            return True
        line, late = lane.line, now - since >= self._age and lane.held < since
        if late and (self.size if self._all.sheds else line.waiting > 1) and self._sheds(line, now):
            line.leave()
            self._refuse(line, now)
            return False
        line.take(self._rule, now)
        self._judge(line, late, now)
        if line is not self._all:
            self._judge(self._all, late, now)
        return True

    def _judge(self, line: WaitingLine, late: bool, now: int) -> None:
        line.judge(late, now)
        if line is self._all:
            self.late = late
        if late:
            self._stands(line, now)

    def _sheds(self, line: WaitingLine, now: int) -> bool:
        """Whether those of the line that would be late are refused."""
        return self._stands(line, now) or self._stands(self._all, now)

    def _stands(self, line: WaitingLine, now: int) -> bool:
        stood, stands = line.sheds, line.stands(self._rule, now)
        if stands and not stood:
            self._begin(line, now)
        return stands

    def _refuse(self, line: WaitingLine, now: int) -> None:
        line.refuse(now)
        self._all.refuse(now)
        self.sheds_until = now + self._age

    def _begin(self, line: WaitingLine, now: int) -> None:
        """It has turned out to stand: of those in it, refuse at once those that would be late."""
        self.sheds_until = now + self._age
        lanes = [lane for lane in self._lanes.values() if lane.line is line and lane.held < lane.since]
        waiting = sorted([each for lane in lanes for each in lane.waiting], key=_since)
        stay = line.kept([now - since for since, _ in waiting], self._rule, now)
        gone = [connection for (_, connection), stays in zip(waiting, stay, strict=True) if not stays]
        for lane in lanes:
            self._turn_out(lane, set(gone))
        self.refused.extend(gone)

    def _turn_out(self, lane: Lane, gone: set[Connection]) -> None:
        before = len(lane.waiting)
        lane.waiting = deque([each for each in lane.waiting if each[1] not in gone])
        if len(lane.waiting) == before:
            return
        for _ in range(before - len(lane.waiting)):
            lane.line.leave()
        self._advance(lane)
        self._resize(len(lane.waiting) - before)


def _since(waiting: tuple[int, Connection]) -> int:
    return waiting[0]


def _since_when(lane: Lane) -> int:
    return lane.since
