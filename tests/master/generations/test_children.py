"""What molds and workers say, and how they end: the facts that are noted, and what is put on the agenda."""

import os
import signal
import subprocess
import sys

import pytest

from superwsgi.master.policy.actions import DismissMold, EndMold, KillBroken, RemindWorker, StartMold
from superwsgi.master.states import GenerationState, WorkerState
from superwsgi.messages import (
    BootFailed,
    ForkFailed,
    Loaded,
    LoadFailed,
    Ready,
    Recycle,
    Started,
    Stuck,
    Unforkable,
)
from tests.tools import readable

BEGINS = """
import os, socket
from superwsgi.messages import Started, encode
channel = socket.socket(fileno=0)
channel.send(encode(Started(os.getpid())))
channel.recv(1)
"""


@pytest.fixture
def loading(rooms):
    """A generation with a mold that has said nothing yet."""
    generation = rooms.start()
    rooms.turn()
    return generation


@pytest.fixture
def worker(rooms, loading):
    """Its first worker, which serves."""
    rooms.mold_says(loading, Loaded(0.1))
    rooms.turn()
    worker, _ = rooms.begin_workers(loading)
    rooms.worker_says(worker, Ready(0.1))
    rooms.turn()
    return worker


class TestAMold:
    def test_that_has_loaded_can_be_forked(self, rooms, loading):
        rooms.mold_says(loading, Loaded(0.1))
        assert loading.can_fork()
        assert loading.mold.harmless

    def test_with_hazards_is_forked_all_the_same_and_the_log_says_so(self, rooms, loading):
        rooms.mold_says(loading, Loaded(0.1, ["thread Timer"]))
        assert loading.can_fork()
        assert not loading.mold.harmless
        assert 'fork hazards found="thread Timer"' in rooms.log

    def test_that_must_become_a_worker_is_replaced_by_one_that_imports_nothing(self, rooms, loading):
        rooms.mold_says(loading, Unforkable(["thread Timer"], 0.1))
        assert not loading.forkable
        mold = loading.mold
        loading.fork(1, rooms.now)
        assert loading.mold is None
        (worker,) = loading.workers.values()
        assert worker.pid == mold.pid

    def test_that_comes_too_late_to_become_one_is_dismissed(self, rooms, loading, worker):
        """The one before it was lost after it had forked them all."""
        rooms.mold_ends(loading)
        rooms.agenda.clear()
        rooms.deeds.do(StartMold(1), rooms.now)
        rooms.mold_says(loading, Unforkable(["thread Timer"], 0.1))
        assert rooms.agenda == [DismissMold(1, os.getpid())]

    def test_that_ends_before_it_became_one_is_started_anew(self, rooms, loading):
        rooms.mold_says(loading, Unforkable(["thread Timer"], 0.1))
        rooms.mold_ends(loading)
        assert rooms.agenda == [StartMold(1)]

    def test_that_ends_with_its_reason_is_believed(self, rooms, loading):
        rooms.molds[-1].send(LoadFailed("no module named shop"))
        rooms.mold_ends(loading)
        assert loading.fault.reason == "no module named shop", "its last word is read first"

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (3, "mold ended with exit code 3"),
            (-signal.SIGKILL, "mold ended with signal 9 (SIGKILL)"),
            (0, "mold ended with exit code 0, by the application"),
        ],
    )
    def test_that_ends_without_a_word(self, rooms, loading, code, reason):
        rooms.mold_ends(loading, code)
        assert loading.fault.reason.startswith(reason)

    def test_that_asks_for_it_because_of_a_request_is_an_incident(self, rooms, worker):
        rooms.worker_says(worker, Recycle("a stuck thread", Stuck("GET", "/loop", "3f-17", 62.0)))
        assert "warning worker=1" in rooms.log
        (incident,) = rooms.incidents.find("3f-17", 20)
        assert incident.cause == "a stuck thread"
        assert worker.incident == incident.number

    def test_that_says_what_it_cannot_say_is_to_be_ended(self, rooms, loading):
        rooms.mold_says(loading, Ready(0.1))
        (action,) = rooms.agenda
        assert action == EndMold(1, os.getpid(), loading.mold.failure)
        assert not loading.can_fork()
        assert "impossible message" in rooms.log

    def test_is_forgiven_three_packets_that_are_no_messages(self, rooms, loading):
        for _ in range(3):
            rooms.molds[-1]._sock.send(b"READY=1")
        rooms.children.hear_mold(loading, loading.mold, rooms.now)
        assert rooms.agenda == []
        rooms.molds[-1]._sock.send(b"READY=1")
        rooms.children.hear_mold(loading, loading.mold, rooms.now)
        assert [type(action) for action in rooms.agenda] == [EndMold]

    def test_a_fork_that_fails_is_a_worker_that_never_was(self, rooms, loading):
        rooms.mold_says(loading, Loaded(0.1))
        rooms.turn()
        slot, worker = next(iter(loading.workers.items()))
        rooms.mold_says(loading, ForkFailed(slot, "no memory"))
        assert worker.state is WorkerState.GONE
        assert slot not in loading.workers
        assert loading.fault.reason == f"worker {worker.number}: no memory"


class TestAWorker:
    def test_that_serves_proves_its_generation(self, loading, worker):
        assert worker.state is WorkerState.SERVING
        assert worker.deadline is None
        assert loading.state is GenerationState.SERVING

    def test_that_asks_for_it_is_recycled(self, rooms, worker):
        rooms.worker_says(worker, Recycle("requests.max: 1000"))
        assert worker.recycle == "requests.max: 1000"
        assert 'to be recycled reason="requests.max: 1000"' in rooms.log

    def test_that_says_what_it_cannot_say_is_to_be_killed_and_heard_no_more(self, rooms, worker):
        rooms.worker_says(worker, BootFailed("no"))
        assert rooms.agenda == [KillBroken(1, worker.key)]
        rooms.worker_says(worker, BootFailed("no"))
        assert rooms.agenda == [KillBroken(1, worker.key)]
        assert worker.failure == "impossible message: BootFailed after ready"

    def test_of_which_somebody_else_speaks_gets_no_process(self, rooms, loading):
        """We are no child of our own."""
        rooms.mold_says(loading, Loaded(0.1))
        rooms.turn()
        worker = next(iter(loading.workers.values()))
        _, fd = rooms.asked()
        rooms.adopt(worker, fd)
        rooms.worker_says(worker, Started(os.getpid()))
        assert worker.pid is None
        assert rooms.agenda == [KillBroken(1, worker.key)]

    def test_that_begins_after_it_was_told_to_go_is_reminded(self, rooms, loading):
        rooms.mold_says(loading, Loaded(0.1))
        rooms.turn()
        worker = loading.workers[0]
        loading.drain(worker, "one worker fewer", rooms.now)
        _, fd = rooms.asked()
        with subprocess.Popen([sys.executable, "-c", BEGINS], stdin=fd) as process:
            os.close(fd)
            try:
                assert readable(worker.channel, 60)
                rooms.children.hear_worker(loading, worker, rooms.now)
            finally:
                process.kill()
        assert worker.pid == process.pid
        assert rooms.agenda == [RemindWorker(1, worker.key)]

    def test_whose_channel_ends_is_given_a_moment(self, rooms, worker):
        rooms.workers[worker.key].close()
        generation = rooms.generations.current
        rooms.children.hear_worker(generation, worker, rooms.now)
        assert worker.cut_off
        assert worker.deadline == rooms.now + 2.0

    def test_that_never_began_is_gone_when_its_channel_ends(self, rooms, loading):
        rooms.mold_says(loading, Loaded(0.1))
        rooms.turn()
        _, fd = rooms.asked()
        os.close(fd)
        worker = loading.workers[0]
        rooms.children.hear_worker(loading, worker, rooms.now)
        assert worker.state is WorkerState.GONE
        assert loading.fault.reason == "worker 1: never started"


class TestADeath:
    def test_is_counted_and_the_log_says_what_follows(self, rooms, worker):
        rooms.worker_ends(worker, 3)
        assert rooms.generations.current.crashes.early == 1
        said = 'died how="exit code 3" requests=0 reason="the application has called os._exit" next="replaced'
        assert said in rooms.log

    def test_is_remembered(self, rooms, worker):
        rooms.worker_ends(worker, -signal.SIGKILL)
        assert rooms.record.deaths == {1: (rooms.now, "signal 9 (SIGKILL): not by the master", 1)}

    def test_of_an_ordinary_end_may_be_somebody_s_signal(self, rooms, worker):
        rooms.worker_ends(worker, 0)
        assert "somebody has sent it SIGTERM or SIGQUIT" in rooms.record.deaths[1][1]

    def test_after_too_many_the_next_waits(self, rooms, worker):
        generation = rooms.generations.current
        for _ in range(5):
            generation.crashes.count(0.0, rooms.now, failed=False)
        rooms.worker_ends(worker, 3)
        assert generation.crashes.fork_at > rooms.now
        assert "state=crash-loop" in rooms.log

    def test_that_was_asked_for_is_no_death(self, rooms, worker):
        generation = rooms.generations.current
        generation.drain(worker, "one worker fewer", rooms.now)
        rooms.worker_ends(worker, 0)
        assert generation.crashes.early == 0
        assert rooms.record.deaths == {}
        assert 'ended reason="one worker fewer"' in rooms.log
