"""A candidate that answers badly is given up, step by step, without a process: the test writes the workers'
tables."""

import re

import pytest

from superwsgi.board.counts import METHODS
from superwsgi.board.path_table import OTHER, Series
from superwsgi.config.sections import RollOutSettings
from superwsgi.control import Outcome
from superwsgi.master.answers.judge import AFTER, LOOK, REST, Judge
from superwsgi.master.states import GenerationState, WorkerState

GET = METHODS.index("GET")


class Site:
    """One that serves, and its judge."""

    def __init__(self, rooms, **rollout):
        self.rooms = rooms
        rooms.site = rooms.a_site(rollout=RollOutSettings(confirm=60.0, **rollout))
        self.judge = Judge(rooms.context, rooms.generations)
        self.tables = {}
        self.current = rooms.start_serving()

    def candidate(self):
        """Another generation, which is rolled out."""
        self.rooms.ask()
        candidate = self.rooms.generations.candidate
        self.rooms.load(candidate)
        self.rooms.serve(candidate)
        self.rooms.serve(candidate)
        self.end_draining()
        return candidate

    def end_draining(self):
        for _, worker in self.rooms.generations.workers():
            if worker.state is WorkerState.DRAINING:
                self.rooms.worker_ends(worker)

    def goes_back(self):
        """Workers of the current generation, whose mold has stayed, replace those of the candidate."""
        assert self.outcome() is Outcome.ROLLED_BACK
        self.rooms.molds.reverse()
        self.rooms.serve(self.current)
        self.rooms.serve(self.current)
        self.end_draining()
        self.look()

    def answer(self, generation, failed, of, group="/page", row=9):
        """Its first worker answers."""
        slot = min(generation.workers)
        worker = generation.workers[slot]
        if worker.key not in self.tables:
            self.tables[worker.key] = generation.board.writer(slot).kind_table()
        table = self.tables[worker.key]
        table.name(row, Series(GET, group))
        for _ in range(failed):
            table.fail(row, group.encode(), b"3f08-17")
        if of > failed:
            for _ in range(of - failed):
                table.succeed(row, 1)

    def look(self):
        self.rooms.now += LOOK
        self.judge.look(self.rooms.now)
        self.rooms.turn()

    def seconds(self, generation, failed, of, seconds=6, **more):
        for _ in range(seconds):
            self.answer(generation, failed, of, **more)
            self.look()

    def outcome(self):
        ended = self.rooms.record.find(self.rooms.record.newest).ended
        return None if ended is None else ended.outcome


@pytest.fixture
def site(rooms):
    """One that has answered a thousand requests, ten of them badly."""
    site = Site(rooms)
    site.rooms.now += REST
    site.answer(site.current, 10, 1000)
    return site


def test_it_goes_back_and_says_why(site):
    candidate = site.candidate()
    site.look()
    site.seconds(candidate, 20, 100)
    assert site.outcome() is Outcome.ROLLED_BACK
    assert site.rooms.generations.candidate is None
    why = r"GET /page: \d+ of \d+ answers were 5xx \(20 %\), 10 of 1000 before \(1 %\)"
    why += r" \(rollout.max_errors: 1%\)"
    assert re.search(
        f'reload failed gen=2 request=3f08-17 method=GET target=/page reason="{why}"', site.rooms.log
    )
    assert 'next="generation 1 goes on serving"' in site.rooms.log
    assert re.fullmatch(why, site.rooms.record.trouble)
    (incident,) = site.rooms.incidents.find("3f08-17", 9)
    assert "the last one was GET /page, request 3f08-17" in incident.detail


@pytest.mark.parametrize("failed", [0, 1])
def test_one_that_answers_as_before_stays(site, failed):
    candidate = site.candidate()
    site.look()
    site.seconds(candidate, failed, 100, seconds=20)
    assert site.outcome() is None
    site.rooms.now += 60
    site.look()
    assert site.outcome() is Outcome.COMPLETE
    assert "new errors" not in site.rooms.log


def test_off_is_off(rooms):
    site = Site(rooms, max_errors=1.0)
    site.answer(site.current, 0, 1000)
    site.seconds(site.candidate(), 100, 100)
    assert site.outcome() is None


def test_there_is_nothing_to_go_back_to_from_the_first_generation(site):
    site.seconds(site.current, 100, 100)
    assert site.outcome() is Outcome.COMPLETE
    assert site.rooms.generations.current is site.current


def test_the_first_second_of_a_worker_does_not_count(site):
    candidate = site.candidate()
    for worker in candidate.workers.values():
        worker.ready_at = site.rooms.now + 0.9
    site.seconds(candidate, 500, 500, seconds=2)  # seen a second later, when it has served for as long
    site.seconds(candidate, 1, 100, seconds=10)
    assert site.outcome() is None


def test_pages_that_are_not_told_apart_prove_nothing_unless_most_of_them_fail(site):
    site.answer(site.current, 0, 5000, group=OTHER, row=GET)
    candidate = site.candidate()
    site.look()
    site.seconds(candidate, 20, 100, group=OTHER, row=GET)
    assert site.outcome() is None
    site.seconds(candidate, 1000, 1000, group=OTHER, row=GET)
    assert site.outcome() is Outcome.ROLLED_BACK
    assert "GET of pages that are not told apart: " in site.rooms.log


def test_what_both_generations_fail_with_is_not_the_candidates(site):
    """A database dies while they serve beside each other."""
    site.rooms.ask()
    candidate = site.rooms.generations.candidate
    site.rooms.load(candidate)
    (worker,) = site.rooms.begin_workers(candidate)
    worker.ready(site.rooms.now - 10)
    candidate.state = GenerationState.SERVING
    for _ in range(6):
        site.answer(site.current, 100, 100)
        site.answer(candidate, 100, 100)
        site.rooms.now += LOOK
        site.judge.look(site.rooms.now)
    assert candidate.fault is None


def test_a_candidate_that_has_become_current_is_the_past_of_the_next(site):
    second = site.candidate()
    site.look()
    site.seconds(second, 30, 3000, seconds=6, group="/new", row=11)
    site.rooms.now += 60
    site.look()
    assert site.outcome() is Outcome.COMPLETE
    third = site.candidate()
    site.look()
    site.seconds(third, 4, 400, group="/new")
    assert site.outcome() is None
    site.seconds(third, 200, 400, group="/new")
    assert site.outcome() is Outcome.ROLLED_BACK
    assert "of 18000 before" in site.rooms.log


def test_too_little_to_go_back_for_is_told(site):
    candidate = site.candidate()
    site.look()
    site.answer(candidate, 2, 3, group="/page")
    site.look()
    site.rooms.now += 60
    site.look()
    assert site.outcome() is Outcome.COMPLETE
    site.look()
    assert re.search(
        r"warning .*new errors gen=2 request=3f08-17 method=GET target=/page "
        r'reason="GET /page: 2 of 3 answers were 5xx \(67 %\), 10 of 1000 before \(1 %\)" '
        r'next="it stays: that is too little to go back for"',
        site.rooms.log,
    )


def test_if_going_back_has_mended_nothing_that_is_told(site):
    candidate = site.candidate()
    site.look()
    site.seconds(candidate, 100, 100)
    site.goes_back()
    for _ in range(3):
        site.answer(site.current, 50, 50)
        site.look()
    assert len(re.findall("rolled back in vain", site.rooms.log)) == 1
    assert 'reason="GET /page fails there as well: 50 of 50 answers"' in site.rooms.log
    assert "gen=1" in site.rooms.log[site.rooms.log.index("rolled back in vain") :]


def test_if_it_has_mended_it_nothing_is_told(site):
    candidate = site.candidate()
    site.look()
    site.seconds(candidate, 100, 100)
    site.goes_back()
    for _ in range(round(AFTER) + 2):
        site.answer(site.current, 1, 50)
        site.look()
    assert "in vain" not in site.rooms.log


def test_what_is_remembered_outlives_the_program(site):
    candidate = site.candidate()
    site.look()
    held = site.judge.hold(site.rooms.now)
    site.judge = Judge(site.rooms.context, site.rooms.generations)
    site.judge.begin(site.rooms.now, held)
    site.seconds(candidate, 20, 100)
    assert "10 of 1000 before" in site.rooms.log


def test_that_it_fails_as_it_always_did_is_not_told(site):
    site.answer(site.current, 2990, 99_000)
    candidate = site.candidate()
    site.look()
    site.seconds(candidate, 58, 1000, seconds=20)
    site.goes_back()
    for _ in range(round(AFTER) + 2):
        site.answer(site.current, 30, 1000)
        site.look()
    assert "in vain" not in site.rooms.log
