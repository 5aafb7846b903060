"""What commands do, and how reloads, upgrades and stops are followed."""

import signal

import pytest

from superwsgi import build, control
from superwsgi.board.counts import NUMBERS, OTHER_METHOD
from superwsgi.config.sections import RollOutSettings
from superwsgi.control import Ended, Outcome, Progress, Snapshot, Stage
from superwsgi.master.control import status
from superwsgi.master.control.acting import Acts
from superwsgi.master.control.commands import Commands
from superwsgi.master.control.configuration import configuration
from superwsgi.master.control.signs import condition
from superwsgi.master.inquiries.stacks import Inquiries
from superwsgi.master.policy.actions import RecycleWorker
from superwsgi.master.policy.causes import Cause
from superwsgi.master.reopening import Reopening
from superwsgi.master.sockets import sockets
from superwsgi.master.upgrade.upgrade import Upgrades
from superwsgi.messages import LoadFailed
from superwsgi.snapshot import ThreadsStatus


class Operated:
    """As much of a master as takes commands."""

    def __init__(self, rooms):
        self.rooms = rooms
        self.name = "x"
        self.stopping = False
        self.upgrade = Upgrades(rooms.context, lambda: None, rooms.children.watch, None)

    def snapshot(self, now, *, requests, pss):
        known, incidents = (self.rooms.generations, self.rooms.record), self.rooms.incidents
        how = condition(*known, None, stopping=self.stopping, now=now)
        site = {"name": "x", "file": None, "began": now - 60}
        return status.snapshot(*known, incidents, how, **site, requests=requests, now=now)

    def configuration(self, *, compare):
        return configuration(self.rooms.generations, self.rooms.startup, compare=compare)

    def reload(self, now):
        return self.rooms.record.next if self.stopping else self.rooms.ask()

    def stop(self, now, reason, *, fast):
        self.stopping = True
        for generation in self.rooms.generations:
            self.rooms.deeds.stop(generation, reason, now, fast=fast)


@pytest.fixture
def serving(rooms):
    first = rooms.start_serving()
    rooms.site = rooms.a_site(workers=1, rollout=RollOutSettings(confirm=10.0))
    return first


@pytest.fixture
def ask(rooms, serving):
    master = Operated(rooms)
    inquiries = Inquiries(rooms.context, rooms.generations, rooms.children.dumps)
    known = rooms.generations, rooms.record
    reopening = Reopening(rooms.context, rooms.generations, lambda: None)
    acts = Acts(rooms.context, *known, reopening, rooms.companions, rooms.agenda, lambda: master.stopping)
    commands = Commands(master, *known, rooms.reload, inquiries, acts, rooms.context)
    return lambda request: commands.answer(request, "uid 0 pid 1", rooms.now)


def test_status_of_a_number_that_follows_the_load(serving, ask):
    serving.numbers.most = 8
    serving.numbers.held_back = "memory: little left"
    snapshot, _ = ask(control.StatusRequest())
    told = (snapshot.least, snapshot.most, snapshot.pinned, snapshot.held_back)
    assert told == (2, 8, False, "memory: little left")
    serving.numbers.scale(4)
    assert ask(control.StatusRequest())[0].reasons == [], "two are on their way, and not missing"
    serving.crashes.count(None, 1e9, failed=True)
    assert "2 workers are missing" in str(ask(control.StatusRequest())[0].reasons)


@pytest.mark.parametrize(
    ("most", "change", "said"),
    [
        (2, lambda numbers: None, ""),
        (2, lambda numbers: numbers.pin(3), ", 3 until the next reload"),
        (8, lambda numbers: numbers.scale(5), ", 5 now"),
        (8, lambda numbers: numbers.pin(2), ", 2 until the next reload"),
    ],
)
def test_the_number_of_workers_beside_the_configuration(serving, ask, most, change, said):
    serving.numbers.most = most
    change(serving.numbers)
    answer, _ = ask(control.ConfigRequest())
    (source,) = [key.source for key in answer.keys if key.key == "workers"]
    assert source == f"not known{said}"


def test_status(rooms, ask):
    snapshot, follow = ask(control.StatusRequest())
    assert isinstance(snapshot, Snapshot)
    assert follow is None
    assert (snapshot.phase, snapshot.generation, snapshot.wanted, snapshot.uptime) == ("running", 1, 2, 60.0)
    assert [worker.state for worker in snapshot.workers] == ["serving", "serving"]


def test_status_has_a_worker_that_is_missing_and_how_the_last_one_died(rooms, serving, ask):
    rooms.worker_ends(serving.workers[0], 3)
    snapshot, _ = ask(control.StatusRequest())
    missing = snapshot.workers[0]
    assert (missing.state, missing.pid, missing.last_death.how) == (
        "missing",
        None,
        "exit code 3: the application has called os._exit",
    )


def test_status_has_the_threads_of_each_worker_and_of_those_that_serve(rooms, serving, ask):
    for slot, (size, queued, since) in enumerate([(8, 3, rooms.now - 1.5), (8, 1, rooms.now - 0.5)]):
        writer = serving.board.writer(slot)
        for name, value in (("threads", size), ("queued", queued), ("waiting_since", int(since * 1e9))):
            writer.set(name, value)
        writer.thread(0).begin(1, "GET", b"/", "")
    snapshot, _ = ask(control.StatusRequest())
    assert [(w.threads.busy, w.threads.total, w.threads.queued) for w in snapshot.workers] == [
        (1, 8, 3),
        (1, 8, 1),
    ]
    most = serving.site.most_threads
    assert snapshot.threads == ThreadsStatus(2, 16, 2 * most, 4, pytest.approx(1.5))
    serving.drain(serving.workers[0], "one worker fewer", rooms.now)
    snapshot, _ = ask(control.StatusRequest())
    assert snapshot.threads == ThreadsStatus(1, 8, most, 1, pytest.approx(0.5))


def test_status_has_what_was_counted_also_by_workers_that_are_gone(rooms, serving, ask):
    for slot, answer in (0, 200), (1, 404):
        thread = serving.board.writer(slot).thread(0)
        thread.count(answer, NUMBERS["GET"], 100, 1_000_000, 2_000_000)
        thread.show()
    serving.board.writer(1).refuse(503, OTHER_METHOD, 50, 3_000_000)
    rooms.worker_ends(serving.workers[1])
    snapshot, _ = ask(control.StatusRequest())
    totals = snapshot.totals
    assert totals.answers == {"2xx": 1, "3xx": 0, "4xx": 1, "5xx": 1}
    assert totals.methods == {
        "GET": {"2xx": 1, "3xx": 0, "4xx": 1, "5xx": 0},
        "other": {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 1},
    }
    assert (totals.requests, totals.refused, totals.sent) == (3, {"503": 1}, 250)
    assert (sum(totals.latency), sum(totals.app_latency), totals.time) == (3, 2, pytest.approx(0.007))
    assert [worker.requests for worker in snapshot.workers] == [1, 0]


def test_status_has_why_workers_were_replaced_and_how_reloads_ended(rooms, serving, ask):
    rooms.deeds.do(
        RecycleWorker(1, serving.workers[0].key, "memory.soft: rss 2M", Cause.MEMORY_SOFT), rooms.now
    )
    rooms.turn()
    rooms.serve(serving)
    rooms.worker_ends(serving.workers[0])
    rooms.worker_ends(serving.workers[1], -signal.SIGSEGV)
    rooms.site = ValueError("no such key")
    with pytest.raises(ValueError, match="no such key"):
        ask(control.ReloadRequest())
    totals = ask(control.StatusRequest())[0].totals
    assert counted(totals.restarts) == {"memory.soft": 1, "crash": 1}
    assert counted(totals.reloads) == {"refused": 1}
    assert totals.incidents == {"to be recycled": 1, "died": 1, "reload refused": 1}


def test_what_never_happened_is_counted_as_none(ask):
    """Prometheus' increase() does not see the first number of a series."""
    totals = ask(control.StatusRequest())[0].totals
    assert totals.restarts == dict.fromkeys([cause.value for cause in Cause], 0)
    assert totals.reloads == dict.fromkeys([outcome.value for outcome in Outcome], 0)


def counted(counts):
    return {name: count for name, count in counts.items() if count}


def test_status_says_what_runs(ask):
    snapshot, _ = ask(control.StatusRequest())
    assert (snapshot.python, snapshot.compiled) == (build.python(), build.is_compiled())


def test_status_has_the_health_and_why(rooms, serving, ask):
    rooms.generations.totals.look(rooms.generations.living(), rooms.now)
    snapshot, _ = ask(control.StatusRequest())
    assert (snapshot.health, snapshot.reasons, snapshot.serving) == ("healthy", [], 2)
    serving.board.writer(0).refuse(503, OTHER_METHOD, 50, 3_000_000)
    serving.board.writer(1).set("abandoned", 1)
    rooms.now += 12
    snapshot, _ = ask(control.StatusRequest())
    assert (snapshot.health, snapshot.minute.seconds, snapshot.minute.rate) == ("degraded", 12.0, 1 / 12)
    assert snapshot.reasons == [
        "1 of 1 requests answered 503 in the last 12s: none of their threads was free in time",
        "worker 2: 1 thread is still in the application after a 504",
    ]


def test_a_worker_in_which_something_holds_the_gil_does_not_serve(rooms, serving, ask):
    serving.board.writer(0).thread(0).begin(1, "GET", b"/", "")
    rooms.now += 10
    snapshot, _ = ask(control.StatusRequest())
    assert (snapshot.health, snapshot.serving) == ("degraded", 1)
    assert snapshot.reasons[0].startswith("worker 1 hangs: no sign of life for 1")


def test_what_runs_is_told_only_if_it_is_asked_for(rooms, serving, ask):
    for slot, ago in (0, 1), (1, 4):
        began = int((rooms.now - ago) * 1e9)
        serving.board.writer(slot).thread(2).begin(began, "GET", b"/report", f"c0ffee-{slot}")
    assert ask(control.StatusRequest())[0].running is None
    first, second = ask(control.StatusRequest(requests=True))[0].running
    assert (first.worker, first.thread, first.method, first.target) == (2, 2, "GET", "/report")
    assert (first.id, second.id, first.seconds) == ("c0ffee-1", "c0ffee-0", pytest.approx(4.0))


def test_a_reload_is_followed_through_its_stages(rooms, ask):
    progress, follow = ask(control.ReloadRequest(follow=True))
    assert progress == Progress(stage=Stage.LOADING, generation=2, done=0, total=1)
    second = rooms.generations.candidate
    rooms.load(second)
    begins = "worker 1 is being forked"
    assert follow(rooms.now) == Progress(
        stage=Stage.ROLLING_OUT, generation=2, done=0, total=1, waits_for=begins
    )
    rooms.serve(second)
    lasts = "watched for 10s (rollout.confirm)"
    assert follow(rooms.now) == Progress(
        stage=Stage.CONFIRMING, generation=2, done=1, total=1, waits_for=lasts
    )
    rooms.now += 11
    rooms.turn()
    assert follow(rooms.now).outcome is Outcome.COMPLETE


def test_so_is_the_one_that_takes_its_place(rooms, ask):
    _, follow = ask(control.ReloadRequest(follow=True))
    ask(control.ReloadRequest())
    assert follow(rooms.now).generation == 3


def test_and_one_that_has_to_wait(rooms, ask):
    ask(control.ReloadRequest())
    rooms.load(rooms.generations.candidate)
    noted, follow = ask(control.ReloadRequest(follow=True))
    assert noted == Progress(stage=Stage.NOTED)
    assert follow(rooms.now) == noted


def test_how_a_reload_failed(rooms, ask):
    _, follow = ask(control.ReloadRequest(follow=True))
    rooms.turn()
    second = rooms.generations.candidate
    rooms.mold_says(second, LoadFailed("no module named shop", "Traceback"))
    rooms.mold_ends(second)
    rooms.turn()
    ended = follow(rooms.now)
    assert (ended.outcome, ended.reason, ended.detail) == (
        Outcome.FAILED,
        "no module named shop",
        "Traceback",
    )


def test_who_watches_hears_of_the_last_one(rooms, ask):
    ended, follow = ask(control.WatchRequest())
    assert ended.outcome is Outcome.COMPLETE
    assert follow is None


def test_an_upgrade_that_is_not_possible(ask):
    ended, _ = ask(control.UpgradeRequest(follow=True))
    assert isinstance(ended, Ended)
    assert ended.outcome is Outcome.REFUSED
    assert "a script that calls superwsgi.run" in ended.reason


def test_a_stop_says_how_many_are_left(rooms, serving, ask):
    progress, follow = ask(control.StopRequest(follow=True))
    drains = f"worker 1 (pid {serving.workers[0].pid}) drains"
    assert progress == Progress(stage=Stage.STOPPING, done=2, total=2, waits_for=drains)
    rooms.worker_ends(serving.workers[0])
    assert follow(rooms.now).done == 1


def test_status_of_a_site_that_stops_and_listens_no_more(serving, ask):
    ask(control.StopRequest())
    sockets.close(serving.listeners)
    snapshot, _ = ask(control.StatusRequest())
    assert (snapshot.phase, snapshot.addresses) == ("stopping", [])


def test_a_reload_of_a_site_that_stops(rooms, ask):
    ask(control.StopRequest())
    ended, follow = ask(control.ReloadRequest(follow=True))
    assert ended.outcome is Outcome.STOPPED
    assert follow is None
