"""What is put on the agenda after a look at the processes from outside. They are all ourselves."""

import os
import signal
import subprocess

import pytest
from msgspec.structs import replace

from superwsgi.board.counts import OTHER_METHOD
from superwsgi.config.sections import Memory
from superwsgi.master.generations.monitor import PSS_WANTED, Monitor, count_refusals
from superwsgi.master.policy import shortage
from superwsgi.master.policy.actions import DumpWorker, KillWorker, RecycleWorker
from superwsgi.master.policy.limits import heartbeat, stopped
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.processes.usage import memory_used, switches_when_stopped
from tests.e2e.daemon import wait_for


@pytest.fixture
def monitor(rooms):
    return Monitor(rooms.context, rooms.generations, rooms.agenda)


def serving(rooms, **more):
    """A generation with one worker, which serves; and that worker."""
    rooms.site = rooms.sitewide.site = rooms.a_site(workers=1, **more)
    generation = rooms.start_serving()
    return generation, generation.workers[0]


def test_nothing_is_wrong(rooms, monitor):
    serving(rooms)
    monitor.look(rooms.now)
    assert rooms.agenda == []


@pytest.mark.parametrize(
    ("limits", "action"), [(Memory(soft=1), RecycleWorker), (Memory(soft=1, hard=2), KillWorker)]
)
def test_too_much_memory(rooms, monitor, limits, action):
    _, worker = serving(rooms, memory=limits)
    monitor.look(rooms.now)
    (decided,) = rooms.agenda
    assert type(decided) is action
    assert (decided.generation, decided.worker) == (1, worker.key)


def test_of_a_worker_that_is_ended_already_nothing_more_is_wanted(rooms, monitor):
    generation, worker = serving(rooms, memory=Memory(soft=1))
    generation.end(worker, "SIGINT", rooms.now)
    monitor.look(rooms.now)
    assert rooms.agenda == []


def test_refusals_are_counted_up_to_the_end_of_a_worker(rooms, monitor):
    generation, worker = serving(rooms)
    writer = generation.board.writer(worker.slot)
    for look in range(3):
        writer.refuse(413, OTHER_METHOD, 0, 0)
        if look == 1:
            monitor.look(rooms.now)
    rooms.worker_ends(worker, -signal.SIGKILL)
    assert rooms.context.incidents.events["request refused"] == 3


def test_refusals_are_counted_once_by_one_program_and_the_next(rooms, monitor):
    generation, worker = serving(rooms)
    writer = generation.board.writer(worker.slot)
    writer.refuse(413, OTHER_METHOD, 0, 0)
    monitor.look(rooms.now)
    writer.refuse(413, OTHER_METHOD, 0, 0)
    held = replace(worker.hold(), channel=None, stacks=None)
    restored = WorkerHandle.restore(held, generation.number)
    count_refusals(rooms.context.incidents, generation, restored)
    assert rooms.context.incidents.events["request refused"] == 2


def test_a_silent_worker_is_asked_for_its_stacks_then_killed(rooms, monitor):
    generation, worker = serving(rooms)
    rooms.now += generation.site.timeouts.request + 1
    monitor.look(rooms.now)
    (dump,) = rooms.agenda
    assert type(dump) is DumpWorker
    worker.hangs(rooms.now)
    rooms.agenda.clear()
    monitor.look(rooms.now + heartbeat.SECOND_LOOK / 2)
    assert rooms.agenda == []
    monitor.look(rooms.now + heartbeat.SECOND_LOOK)
    assert [type(action) for action in rooms.agenda] == [KillWorker]


def test_one_that_goes_on_is_not(rooms, monitor):
    _, worker = serving(rooms)
    worker.hangs(rooms.now)
    monitor.look(rooms.now)
    assert rooms.agenda == []
    assert worker.dumped_at is None


def test_what_a_signal_has_stopped_is_given_up(rooms, monitor):
    _generation, worker = serving(rooms)
    with subprocess.Popen(["sleep", "60"]) as process:
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: switches_when_stopped(process.pid))
        worker.take_over(process.pid)
        monitor.begin(rooms.now)
        assert rooms.agenda == []
        monitor.begin(rooms.now + stopped.PATIENCE)
        process.kill()
    assert [(type(action), action.worker) for action in rooms.agenda] == [(KillWorker, worker.key)]


def test_what_a_signal_has_stopped_does_not_hold_the_gil(rooms, monitor):
    generation, worker = serving(rooms)
    worker.seen(rooms.now, 7)
    monitor.look(rooms.now + generation.site.timeouts.request + 1)
    assert rooms.agenda == []


def test_what_workers_spend_and_count_is_noted(rooms, monitor):
    generation, worker = serving(rooms)
    monitor.begin(rooms.now)
    assert worker.cpu is None
    thread = generation.board.writer(0).thread(0)
    thread.count(200, 0, 10, 1000, 2000)
    thread.show()
    monitor.begin(rooms.now + 10)
    assert worker.cpu >= 0
    assert worker.counts.requests == 1


def test_shared_memory_is_measured_while_somebody_asks(rooms, monitor):
    _, worker = serving(rooms)
    monitor.begin(rooms.now)
    assert worker.pss is None
    monitor.want_pss(rooms.now)
    monitor.begin(rooms.now + 1)
    assert 0 < worker.pss <= memory_used(os.getpid(), "rss")
    monitor.begin(rooms.now + PSS_WANTED)
    assert worker.pss is None


def take_all(generation, queued=0):
    """All threads of its worker have a request in hand."""
    most = generation.site.most_threads
    writer = generation.board.writer(0)
    for name, value in (("threads", most), ("free", 0), ("queued", queued)):
        writer.set(name, value)
    for number in range(most):
        writer.thread(number).begin(1, "GET", b"/reports/%d" % number, "")


def look_for(rooms, monitor, seconds):
    for _ in range(int(seconds) + 1):
        monitor.look(rooms.now)
        rooms.now += 1


def test_threads_that_are_short_are_logged_and_so_is_the_end(rooms, monitor):
    generation, _ = serving(rooms, threads=2)
    take_all(generation, queued=3)
    look_for(rooms, monitor, 10)
    said = 'workers="1 of 1" threads="2 of 2" queued=3 oldest=3s taken_by="GET /reports/* 100 %" next='
    assert rooms.log.count(f"out of threads {said}") == rooms.log.count("out of threads") == 1
    generation.board.clear(0)
    look_for(rooms, monitor, 10)
    assert rooms.log.count("threads free again lasted=10s most_queued=3 longest_wait=10s") == 1
    assert rooms.agenda == []


def test_threads_are_short_now_only_if_the_last_look_has_found_it(rooms, monitor):
    generation, _ = serving(rooms, threads=2)
    take_all(generation)
    monitor.look(rooms.now)
    assert monitor.short_now() is None, "a burst is what a queue is for"
    look_for(rooms, monitor, 5)
    assert monitor.short_now() is not None
    generation.board.clear(0)
    monitor.look(rooms.now)
    assert monitor.shortage is not None, "it is not over before it has not come back for a while"
    assert monitor.short_now() is None


def test_of_workers_that_drain_or_are_stopped_nothing_is_said(rooms, monitor):
    generation, worker = serving(rooms, threads=2)
    take_all(generation, queued=3)
    worker.seen(rooms.now, 1)
    look_for(rooms, monitor, 10)
    worker.seen(rooms.now, None)
    generation.drain(worker, "one worker fewer", rooms.now)
    look_for(rooms, monitor, 10)
    assert "out of threads" not in rooms.log


def test_the_next_program_does_not_repeat_it(rooms, monitor):
    generation, _ = serving(rooms, threads=2)
    take_all(generation)
    look_for(rooms, monitor, 10)
    following = Monitor(rooms.context, rooms.generations, rooms.agenda)
    following.begin(rooms.now, monitor.shortage)
    look_for(rooms, following, 10)
    assert rooms.log.count("out of threads") == 1
    generation.board.clear(0)
    look_for(rooms, following, shortage.CALM + 1)
    assert "threads free again lasted=21s" in rooms.log


@pytest.mark.parametrize("byte", [b"\xff", b"\x01", b"\x1b"])
def test_whatever_an_application_writes_on_the_scoreboard(rooms, monitor, byte):
    generation, _ = serving(rooms, threads=2)
    generation.board.bytes[:] = byte * len(generation.board.bytes)
    for number in range(2):
        generation.board.writer(0).thread(number).begin(1, '"\n' * 8, byte * 112, "")
    look_for(rooms, monitor, 60)
    assert rooms.log.count("out of threads") == 1
    assert "\x1b" not in rooms.log
    assert "threads free again" not in rooms.log
