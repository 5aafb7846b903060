"""Whether the site is down, look by look."""

from superwsgi.master.outage.judging import PATIENCE, Outage, Over, judge
from superwsgi.master.policy.death import EARLY


class Looks:
    """One every second; `served` is for how long a worker has served."""

    def __init__(self):
        self.now, self.outage = 100.0, None

    def see(self, served, *, looping=False, after=1.0):
        """What is said then."""
        self.now += after
        self.outage, said = judge(self.outage, served, looping=looping, now=self.now)
        return said


def test_all_is_well():
    looks = Looks()
    assert [looks.see(served) for served in (1.0, 60.0)] == [None, None]
    assert looks.outage is None


def test_a_replacement_is_no_outage():
    looks = Looks()
    assert looks.see(None) is None
    assert looks.see(0.5) is None
    assert looks.outage is None
    assert looks.see(None, after=PATIENCE) is None, "it counts anew"


def test_said_once_and_that_it_is_over():
    looks = Looks()
    looks.see(None)
    began = looks.now
    assert looks.see(None, after=PATIENCE) == Outage(began)
    assert [looks.see(None) for _ in range(3)] == [None] * 3
    assert looks.see(1.0) is None, "it may end again"
    over = looks.see(EARLY, after=EARLY)
    assert isinstance(over, Over)
    assert over.lasted == looks.now - EARLY - began
    assert looks.see(EARLY + 1) is None


def test_workers_that_end_right_away_do_not_end_it():
    looks = Looks()
    looks.see(None)
    assert looks.see(None, after=PATIENCE) is not None
    for _ in range(20):
        assert looks.see(0.1, looping=True) is looks.see(None, looping=True) is None
    assert looks.outage.said


def test_workers_that_end_right_away_do_not_put_it_off():
    looks = Looks()
    said = [looks.see(served, looping=True) for served in [None, 0.1] * 3]
    assert sum(isinstance(each, Outage) for each in said) == 1
