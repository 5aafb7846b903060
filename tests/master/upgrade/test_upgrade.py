"""Upgrades up to the program that is tried, and what one program leaves for the next; no program runs."""

import os
import sys
import time

import pytest
from msgspec.structs import replace

from superwsgi.board.counts import Counts
from superwsgi.board.path_table import Series
from superwsgi.config.parts.companions import CompanionSettings
from superwsgi.control import Outcome
from superwsgi.incidents import Incident, RequestInHand
from superwsgi.master import handover
from superwsgi.master.answers.evidence import Answered
from superwsgi.master.answers.past import Hour, KindsHour
from superwsgi.master.companions.states import CompanionState
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.held import hold
from superwsgi.master.handover import (
    VERSION,
    Handover,
    HandoverError,
    HeldCompanion,
    HeldCompanionProcess,
    HeldSuspects,
    HeldTotals,
)
from superwsgi.master.memory.series import Figures, MemorySeries
from superwsgi.master.outage.judging import Outage
from superwsgi.master.policy.causes import Cause
from superwsgi.master.policy.last_minute import Sample
from superwsgi.master.policy.shortage import Shortage
from superwsgi.master.processes.handles import MoldHandle
from superwsgi.master.release import Origin
from superwsgi.master.sockets.inherited import Inherited
from superwsgi.master.states import GenerationState, WorkerState
from superwsgi.master.suspects.chance import Crash
from superwsgi.master.suspects.crashes import Suspect
from superwsgi.master.suspects.looks import BoardLook, Shares
from superwsgi.master.upgrade.takeover import Taken, rehearse
from superwsgi.master.upgrade.upgrade import Upgrades, UpgradeStep
from superwsgi.messages import LoadFailed
from superwsgi.snapshot import LeakStatus


def test_why_a_mold_has_not_loaded_is_known_afterwards(rooms):
    first = rooms.start()
    rooms.turn()
    rooms.mold_says(first, LoadFailed("No module named 'db'", "Traceback"))
    again = MoldHandle.restore(replace(first.mold.hold(), channel=None))
    assert (again.failure, again.detail) == (first.mold.failure, "Traceback")


@pytest.fixture
def held(rooms):
    """What there is to hand over: a generation of two workers that serve."""
    first = rooms.start()
    rooms.load(first)
    rooms.serve(first)
    return Handover(
        version=VERSION,
        current=1,
        last_number=1,
        generations=[hold(first)],
        given=[],
        environ={},
        totals=HeldTotals(
            Counts(answers=(7, *(0,) * 30, 1)), [Sample(5.0, Counts())], cpu=2.5, restarts={Cause.CRASH: 2}
        ),
        events={"died": 2},
        past=[Hour(5.0, [KindsHour(Series(0, "/"), Answered(1, 2, 4), [Answered(1)])])],
        reloads={Outcome.ROLLED_BACK: 1},
        shortage=Shortage(since=12.5, last=15.5, queued=2, oldest=3.0, said=True),
    )


@pytest.fixture
def upgrade(rooms, held):
    """One to an interpreter that is not there."""
    return an_upgrade(rooms, held, Origin("/", "/nowhere/python"))


def an_upgrade(rooms, held, origin):
    return Upgrades(rooms.context, lambda: held, rooms.children.watch, origin)


class TestAsking:
    def test_a_script_cannot_be_started_anew(self, rooms, held):
        upgrade = an_upgrade(rooms, held, None)
        upgrade.ask()
        assert upgrade.step is UpgradeStep.IDLE
        assert "a script that calls superwsgi.run" in upgrade.refusal[0]

    def test_begins_when_it_is_its_turn(self, upgrade):
        upgrade.ask()
        assert upgrade.step is UpgradeStep.ASKED
        assert upgrade.refusal is None

    def test_a_program_that_cannot_be_executed_is_refused(self, rooms, upgrade):
        upgrade.ask()
        upgrade.go_on(rooms.now, 10.0)
        assert upgrade.step is UpgradeStep.IDLE
        assert upgrade.refusal == ("/nowhere/python cannot be executed: No such file or directory", "")
        assert 'upgrade refused reason="/nowhere/python cannot be executed' in rooms.log

    def test_nothing_is_done_that_nobody_has_asked_for(self, rooms, upgrade):
        upgrade.go_on(rooms.now, 10.0)
        assert rooms.log.count("upgrade") == 0

    def test_none_begins_while_the_site_stops(self, rooms, upgrade):
        upgrade.ask()
        upgrade.call_off()
        upgrade.go_on(rooms.now, 10.0)
        assert upgrade.refusal == ("the site is being stopped", "")
        upgrade.ask()
        assert upgrade.step is UpgradeStep.ENDED


class TestHandingOver:
    def test_what_is_written_is_what_is_read(self, held):
        assert handover.handed_over(handover.announce(held.write())) == held

    def test_each_part_of_it_is(self, held):
        """A field that is added is filled here, too."""
        full = _with_everything(held)
        read = handover.handed_over(handover.announce(full.write()))
        assert read == full
        empty = [name for name in read.__struct_fields__ if not getattr(read, name)]
        assert empty == ["given", "environ", "control", "pidfile", "admin", "metrics"], "tested in e2e/"

    def test_it_is_read_once(self, held):
        environ = handover.announce(held.write())
        handover.handed_over(environ)
        assert handover.handed_over(environ) is None

    def test_another_version_is_refused(self, held):
        fd = os.memfd_create("later")
        os.write(fd, b'{"version": 99}')
        with pytest.raises(HandoverError, match="has version 99, but this one reads 1"):
            handover.handed_over(handover.announce(fd))

    def test_so_is_a_scoreboard_that_is_not_readable(self, held):
        rehearse(held)
        (generation,) = held.generations
        empty = os.memfd_create("empty")
        try:
            broken = replace(held, generations=[replace(generation, board=empty)])
            with pytest.raises(HandoverError, match="generation 1: "):
                rehearse(broken)
        finally:
            os.close(empty)

    def test_the_next_program_goes_on_with_the_same_processes(self, rooms, held):
        """The descriptors are copied, as an exec would leave them to somebody else."""
        (of_workers,) = held.generations
        held = replace(held, generations=[replace(of_workers, pinned=True, wanted=5)])
        taken = Taken.open(_copied(held))
        generations = Generations()
        origin = Origin("/", sys.executable)
        generations.adopt(taken.generations(origin, rooms.launch, rooms.loop), 1, 1)
        (restored,) = generations
        try:
            assert generations.current is restored
            assert restored.state is GenerationState.SERVING
            assert restored.can_fork()
            assert (restored.wanted, restored.numbers.pinned) == (5, True)
            assert restored.workers[0].may_grow is False
            workers = restored.workers.values()
            assert [(w.number, w.pid, w.state) for w in workers] == [
                (number, os.getpid(), WorkerState.SERVING) for number in (1, 2)
            ]
            assert [str(listener) for listener in restored.listeners] == [
                str(listener) for listener in rooms.first_listeners
            ]
            restored.drain(restored.workers[0], "one worker fewer", time.monotonic() + 3600)
            assert rooms.workers[rooms.generations.current.workers[0].key].receive()
        finally:
            for handle in restored.handles():
                handle.channel.close()
            for worker in restored.workers.values():
                worker.stacks.close()
            for listener in restored.listeners:
                listener.sock.close()
            restored.close()

    def test_a_socket_may_be_for_different_things_in_two_generations(self, rooms, held):
        (first,) = held.generations
        for_checks = [replace(each, checks=True) for each in first.listeners]
        second = replace(first, number=2, listeners=for_checks)
        listeners = {each.sock.fileno(): each for each in rooms.first_listeners}
        for current, checks in ((1, False), (2, True)):
            both = replace(held, generations=[first, second], current=current)
            taken = Taken(both, Inherited(), listeners, None)
            assert [each.checks for each in taken.shared.listeners] == [checks]


def _with_everything(held):
    """With what is known of trouble, and of memory, and with a companion."""
    (generation,) = held.generations
    first, *others = generation.workers
    series = MemorySeries([Figures(5.0, 7 << 20, 6 << 20, 5 << 20)], 2.0, Figures(6.0, 8 << 20))
    leaks = [LeakStatus("GET /report", 1.4e6, 212, 1e9)]
    first = replace(first, series=series, leaks=leaks, leaves_first=True, quarantines=True, may_grow=True)
    asked = {"GET /crash": RequestInHand("GET", "/crash", seconds=0.5)}
    crash = Crash(5.0, 1, asked, Shares({"GET /crash": 0.01}, 0.02))
    suspect = Suspect("GET /crash", ["GET /"], 3, 3, 0.004, 5.0, [7], True, 5.0, 305.0, 1)
    process = HeldCompanionProcess(7, 1, 5.0, CompanionSettings(command="beat"), 30.0, told="a reload")
    return replace(
        held,
        generations=[replace(generation, workers=[first, *others], pinned=True)],
        incidents=[Incident(number=3, event="site down", level="error", when=1e9, last=1e9)],
        suspects=HeldSuspects([crash], [suspect], [BoardLook(4.0, frozenset({"GET /crash"}))]),
        companions=[HeldCompanion("beat", 1, "beat", CompanionState.ENDING, process, deadline=9.0)],
        outage=Outage(5.0, said=True, incident=3, reason="it does not load"),
    )


def _copied(held):
    (generation,) = held.generations
    return replace(
        held,
        generations=[
            replace(
                generation,
                board=os.dup(generation.board),
                error_log=os.dup(generation.error_log),
                stacks=tuple(map(os.dup, generation.stacks)),
                listeners=[replace(each, fd=os.dup(each.fd)) for each in generation.listeners],
                mold=replace(generation.mold, channel=os.dup(generation.mold.channel)),
                workers=[
                    replace(each, channel=os.dup(each.channel), stacks=os.dup(each.stacks))
                    for each in generation.workers
                ],
            )
        ],
    )
