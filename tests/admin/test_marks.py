"""The time line: what is found between two looks at a site."""

import dataclasses

import pytest
from msgspec.structs import replace

from superwsgi.admin.charts.history import Areas, History, LastLook
from superwsgi.admin.charts.marks import Marks
from superwsgi.control import Why
from superwsgi.incidents import Incident
from superwsgi.snapshot import DeathStatus, WorkerStatus
from tests.admin.test_history import memory, shown, snapshot  # noqa: F401

DEATH = Incident(number=1, event="died", level="error", when=5.0, last=5.0, worker=2, cause="SIGSEGV")
SLOW = Incident(number=2, event="slow request", level="warning", when=4.0, last=9.0, worker=1)
DUE = Incident(number=3, event="to be recycled", level="warning", when=6.0, last=6.0, worker=1)


@dataclasses.dataclass
class Site:
    """What a master would say."""

    incidents: list = dataclasses.field(default_factory=list)
    asked: int = 0

    def why(self, most):
        self.asked += 1
        return Why(site="shop", kept=0, incidents=self.incidents[:most])

    def now(self, *, workers=(), generation=1):
        said = snapshot(workers=workers, generation=generation)
        counted = {str(one.number): one.times for one in self.incidents}
        return replace(said, totals=replace(said.totals, incidents=counted))


@pytest.fixture
def site():
    return Site()


def test_incidents_are_asked_for_once(site):
    marks, seen = Marks(site.why), LastLook()
    assert marks(site.now(), seen, 1.0) == []
    assert site.asked == 0
    site.incidents = [SLOW, DEATH, DUE]
    found = marks(site.now(), seen, 10.0)
    assert [(mark.t, mark.kind, mark.text, mark.incident) for mark in found] == [
        (4.0, "incident", "worker 1 slow request", 2),
        (5.0, "death", "worker 2 died: SIGSEGV", 1),
        (6.0, "recycle", "worker 1 to be recycled", 3),
    ]
    assert marks(site.now(), seen, 11.0) == []
    assert site.asked == 1


def test_what_happens_again_is_no_other_mark(site):
    marks, seen = Marks(site.why), LastLook()
    site.incidents = [SLOW]
    assert len(marks(site.now(), seen, 1.0)) == 1
    site.incidents = [replace(SLOW, times=5)]
    assert marks(site.now(), seen, 2.0) == []


def test_a_reload(site):
    marks, seen = Marks(site.why), LastLook()
    assert marks(site.now(generation=None), seen, 1.0) == []
    assert marks(site.now(generation=1), seen, 2.0) == []
    (mark,) = marks(site.now(generation=2), seen, 3.0)
    assert (mark.t, mark.kind, mark.text) == (3.0, "reload", "generation 2 has taken over")


def test_a_recycle(site):
    marks, seen = Marks(site.why), LastLook()
    worker = WorkerStatus(1, 1, "serving", pid=7)
    assert marks(site.now(workers=[worker]), seen, 1.0) == []
    due = replace(worker, recycle="requests")
    (mark,) = marks(site.now(workers=[due]), seen, 2.0)
    assert (mark.kind, mark.text) == ("recycle", "worker 1 is recycled: requests")
    assert marks(site.now(workers=[due]), seen, 3.0) == []
    assert marks(site.now(workers=[replace(worker, pid=8)]), seen, 4.0) == []


def test_a_recycle_that_is_an_incident_is_told_once(site):
    marks, seen = Marks(site.why), LastLook()
    site.incidents = [DUE]
    due = WorkerStatus(1, 1, "serving", pid=7, recycle="memory.soft")
    (mark,) = marks(site.now(workers=[due]), seen, 6.0)
    assert (mark.kind, mark.incident) == ("recycle", 3)
    assert marks(site.now(workers=[due]), seen, 7.0) == []


def test_a_recycle_that_is_over_before_anybody_looked(site):
    marks, seen = Marks(site.why), LastLook()
    marks(site.now(), seen, 1.0)
    worker = WorkerStatus(1, 1, "serving", pid=8, last_death=DeathStatus("recycled: asked for", 0.25))
    (mark,) = marks(site.now(workers=[worker]), seen, 2.0)
    assert (mark.t, mark.kind, mark.text) == (1.75, "recycle", "worker 1 was recycled: asked for")
    later = replace(worker, last_death=DeathStatus("recycled: asked for", 1.25))
    assert marks(site.now(workers=[later]), seen, 3.0) == []


def test_the_next_process_does_not_tell_them_again(site, memory):  # noqa: F811
    site.incidents = [DEATH]
    History(Areas(memory), Marks(site.why)).note(site.now(), 1.0)
    again = History(Areas(memory), Marks(site.why))
    again.note(site.now(), 2.0)
    assert [mark["incident"] for mark in shown(again)[0]["marks"]] == [1]
