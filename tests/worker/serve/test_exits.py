"""However a request comes to its end: it gives back its permit and its place at each gate, once, and only
what the application has answered counts as its answer."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from superwsgi.board.kind_table import more
from superwsgi.config.sections import Limits
from superwsgi.http.request.rules import Gate, RequestRule
from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.memory.watch import EACH
from superwsgi.worker.queue.gates import gates_of
from superwsgi.worker.serve.connections import Step
from tests.worker.parts import GET, Parts, hello

AGE = 0.05


class Gated(Parts):
    """A worker of which two threads may run requests, all of one rule, which allows one at a time."""

    def __init__(self, app=hello):
        super().__init__(app, limits=Limits(queue_age=AGE))
        self.gate = Gate("paths./.threads", 1, 1)
        self.rule = RequestRule(
            request=(60 * SECOND, "timeouts.request"),
            slow=NEVER,
            body=(sys.maxsize, "limits.body"),
            gates=(self.gate,),
        )

    def ask(self):
        """A client whose request is complete."""
        peer = self.peer()
        peer.connection.parser.feed(GET)
        peer.connection.parser.requests[0].rule = self.rule
        peer.connection.arrived = self.connections.now = time.monotonic_ns()
        return peer

    def run(self, peer):
        self.service.attend(peer.connection, self.me, Step.RUN)

    def queued_one(self):
        """A client whose request waits at the gate, which another request has passed."""
        assert self.connections.queue.enter(self.rule.gates)
        peer = self.ask()
        self.run(peer)
        assert self.queued() == [peer.connection]
        return peer

    def open_gate(self):
        self.connections.queue.leave(self.rule.gates)

    def run_queued(self):
        self.open_gate()
        assert self.service.run_queued(self.me)

    def answers(self, peer):
        return [
            int(line.split()[1]) for line in peer.received().splitlines() if line.startswith(b"HTTP/1.1 ")
        ]


@pytest.fixture(params=["at once", "from the queue"])
def queued(request):
    return request.param == "from the queue"


def served(parts, queued, *, before=lambda peer: None):
    """A request runs, at once or after it has waited; what its client is answered."""
    peer = parts.queued_one() if queued else parts.ask()
    before(peer)
    if queued:
        parts.run_queued()
    else:
        parts.run(peer)
    return parts.answers(peer)


def check(parts, failed=0, good=0):
    """Nobody is in the application, and nobody waits; it has answered so many."""
    queue = parts.connections.queue
    assert (len(parts.pool.permits), parts.gate.running, parts.me.gates) == (parts.pool.size, 0, ())
    assert (queue.size, queue.gated, parts.queued()) == (0, 0, [])
    rows = list(more(b"", parts.board.kind_table(0)))
    assert (sum(row.failed for row in rows), sum(row.good for row in rows)) == (failed, good)


def test_an_answer(queued):
    with Gated() as parts:
        assert served(parts, queued) == [200]
        check(parts, good=1)


def test_an_error_of_the_application(queued):
    def fails(environ, start_response):
        raise ValueError

    with Gated(fails) as parts:
        assert served(parts, queued) == [500]
        check(parts, failed=1)


def test_a_client_that_leaves_while_the_application_runs(queued):
    clients = []

    def app(environ, start_response):
        clients[0].client.shutdown(socket.SHUT_RDWR)
        start_response("200 OK", [])
        yield b"x"
        yield b"y" * 100

    with Gated(app) as parts:
        assert served(parts, queued, before=clients.append) == []
        check(parts, good=1)


def test_a_client_that_has_left_before(queued):
    with Gated() as parts:
        assert served(parts, queued, before=lambda peer: peer.connection.sender.cut()) == []
        check(parts, good=0 if queued else 1)


def test_quarantine(queued):
    with Gated() as parts:
        later = time.monotonic() + 60
        assert served(parts, queued, before=lambda _: parts.service.quarantine.put({"GET /": later})) == [503]
        check(parts)
        assert parts.board.read(0).counts.quarantined == 1


def test_one_that_comes_too_late_after_others_were_run_one_after_another():
    with Gated() as parts:
        peer, other = parts.ask(), parts.ask()
        long_ago = time.monotonic_ns() - 10 * SECOND
        parts.connections.queue.refuses_late(long_ago, others=True)
        peer.connection.arrived = long_ago
        parts.connections.complete.append(other.connection)
        parts.run(peer)
        assert parts.answers(peer) == [503]
        check(parts)
        assert parts.board.read(0).counts.shed == 1


def test_one_that_is_given_up_holds_its_gate_until_its_thread_is_back(queued):
    """But not its permit: another thread has that."""
    seen = []

    def stuck(environ, start_response):
        parts.deadlines.look(time.monotonic_ns() + 3600 * SECOND)
        seen.append((parts.gate.running, len(parts.pool.permits), parts.pool.size))
        return hello(environ, start_response)

    with Gated(stuck) as parts:
        assert served(parts, queued) == [504]
        assert seen == [(1, 2, 2)]
        check(parts, failed=1)


def test_an_error_of_the_server():
    with Gated() as parts:
        peer = parts.ask()
        assert parts.connections.queue.enter(gates_of(peer.connection.parser.requests[0]))
        thread = super(Gated, parts).run(peer.connection, time.monotonic_ns(), NEVER)
        thread.gates = parts.rule.gates
        thread.attended = peer.connection
        parts.service.recover(thread)
        check(parts, failed=1)
        assert thread.gates == ()


def test_an_error_of_the_server_once_the_application_is_done(queued):
    with Gated() as parts:
        parts.service.memory.counts = True
        parts.service.memory._lock = None  # what makes something of the request fails
        with pytest.raises((AttributeError, TypeError)):
            served(parts, queued)
        parts.service.recover(parts.me)
        check(parts)
        assert not parts.me.written_off
        assert not parts.connections.open


def test_what_counts_as_ended_is_not_in_hand():
    """Else the memory that it has kept would be taken for what requests have for as long as they run."""
    with Gated() as parts:
        parts.service.memory.look(1)
        parts.service.memory.counts = True
        for _ in range(5 * EACH):
            parts.run(parts.ask())
        looks = parts.service.memory.looks()
        assert looks
        assert [look.in_hand for look in looks] == [{}] * len(looks)


def test_one_that_waits_and_is_dropped_holds_nothing():
    with Gated() as parts:
        peer = parts.queued_one()
        parts.service.drop_queued(peer.connection)
        parts.open_gate()
        check(parts)


def test_one_that_waits_in_vain_holds_nothing():
    with Gated() as parts:
        peer = parts.queued_one()
        parts.deadlines.look(time.monotonic_ns() + 3600 * SECOND)
        assert parts.answers(peer) == [503]
        parts.open_gate()
        check(parts)


def test_without_a_thread_the_gate_is_free_again():
    with Gated() as parts:
        permits = [parts.pool.permits.pop() for _ in range(2)]
        peer = parts.ask()
        parts.run(peer)
        assert (parts.queued(), parts.gate.running) == ([peer.connection], 0)
        parts.pool.permits.extend(permits)
        assert parts.service.run_queued(parts.me)
        assert parts.answers(peer) == [200]
        check(parts, good=1)
