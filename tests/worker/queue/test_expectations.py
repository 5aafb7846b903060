"""What requests are expected to take, and how much is kept of that."""

from __future__ import annotations

import threading

import pytest

from superwsgi.worker.connection.alarm import NEVER, SECOND
from superwsgi.worker.queue.expectations import KINDS, OTHER, Expectations, Kind, kind_of
from tests.worker.queue.waiting import request

MS = SECOND // 1000
NOW = 1000 * SECOND
MINUTE = 60 * SECOND


def taught(*samples: tuple[str, int], now: int = NOW) -> Expectations:
    """One that has learned what each path took."""
    expectations = Expectations()
    for path, took in samples:
        expectations.learn(kind(expectations, path, now), took)
    return expectations


def kind(expectations: Expectations, path: str, now: int = NOW) -> Kind:
    return expectations.kind(kind_of(request(path)), now)


def word(number: int) -> str:
    """A path that looks like one of its own."""
    return "/" + "".join("abcdefghij"[int(digit)] for digit in str(number))


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/", "GET /"),
        ("/orders/7?page=2", "GET /orders/*"),
        ("/orders?id=7?/x", "GET /orders"),
        ("?", "GET "),
        ("/caf\xe9", "GET /caf\xe9"),
    ],
)
def test_a_kind_is_a_method_and_a_group_of_paths(target, kind):
    assert kind_of(request(target)) == kind


def test_methods_are_kinds_of_their_own():
    assert kind_of(request("/", "POST")) == "POST /"


class TestWhatIsExpected:
    def test_is_what_the_first_took(self):
        expectations = taught(("/a", 5 * MS))
        assert expectations.expected(kind(expectations, "/a")) == 5 * MS

    def test_follows_the_last_ones(self):
        expectations = taught(*[("/a", 5 * MS)] * 50, *[("/a", 50 * MS)] * 16)
        assert 40 * MS < expectations.expected(kind(expectations, "/a")) < 50 * MS

    def test_is_not_that_of_a_single_long_one(self):
        expectations = taught(*[("/a", 8 * MS)] * 50, ("/a", 80 * MS))
        assert expectations.expected(kind(expectations, "/a")) == 17 * MS

    def test_stays_above_nothing(self):
        expectations = taught(*[("/a", MS)] * 3, *[("/a", 1)] * 300)
        assert expectations.expected(kind(expectations, "/a")) >= 1

    def test_of_an_unknown_kind_is_between_quick_and_slow_ones(self):
        expectations = taught(*[("/slow", 100 * MS), ("/quick", MS // 5)] * 200)
        unknown = expectations.expected(kind(expectations, "/new"))
        assert 4 * MS // 5 < unknown < 25 * MS

    def test_of_all_is_nothing_as_long_as_nothing_is_known(self):
        expectations = Expectations()
        assert expectations.expected(kind(expectations, "/new")) == 0


class TestTheShortestLately:
    def test_is_none_at_first(self):
        assert Expectations().shortest_lately(NOW) == NEVER

    def test_is_that_of_a_request_that_came_within_a_second(self):
        expectations = taught(("/slow", 100 * MS), ("/quick", MS))
        kind(expectations, "/quick")
        kind(expectations, "/slow", NOW + SECOND // 2)
        assert expectations.shortest_lately(NOW + SECOND - 1) == MS
        assert expectations.shortest_lately(NOW + SECOND) == NEVER

    def test_is_another_ones_later(self):
        expectations = taught(("/slow", 100 * MS), ("/quick", MS))
        kind(expectations, "/quick")
        kind(expectations, "/slow", NOW + SECOND)
        assert expectations.shortest_lately(NOW + SECOND) == 100 * MS

    def test_lasts_while_they_come(self):
        expectations = taught(("/quick", MS))
        for tenth in range(50):
            kind(expectations, "/quick", NOW + tenth * SECOND // 10)
        assert expectations.shortest_lately(NOW + 5 * SECOND) == MS

    def test_is_nothing_to_do_with_what_is_unknown(self):
        expectations = Expectations()
        kind(expectations, "/new")
        assert expectations.shortest_lately(NOW) == NEVER


class TestAFloodOfPaths:
    def names(self, expectations: Expectations, count: int, now: int) -> list[Kind]:
        return [kind(expectations, word(number), now) for number in range(count)]

    def test_has_a_bounded_number_of_places(self):
        expectations = Expectations()
        kinds = self.names(expectations, 10 * KINDS, NOW)
        assert len({kind.name for kind in kinds}) == KINDS + 1
        assert {kind.name for kind in kinds[KINDS:]} == {OTHER}
        assert kinds[-1] is kinds[-2]

    def test_does_not_push_out_kinds_in_use(self):
        expectations = taught(("/shop", 5 * MS))
        for minute in range(5):
            now = NOW + minute * MINUTE * 3 // 4
            assert expectations.expected(kind(expectations, "/shop", now)) == 5 * MS
            self.names(expectations, 3 * KINDS, now + 1)

    def test_leaves_its_places_when_it_is_over(self):
        expectations = Expectations()
        self.names(expectations, 2 * KINDS, NOW)
        assert kind(expectations, "/shop", NOW + MINUTE - 1).name == OTHER
        assert kind(expectations, "/shop", NOW + MINUTE).name == "GET /shop"

    def test_of_quick_answers_leaves_its_places_to_others(self):
        """As those for pages that are not found, even if they came first."""
        expectations = taught(*[(word(number), MS // 2) for number in range(KINDS)])
        expectations.learn(kind(expectations, "/slow"), 100 * MS)
        for number in range(3 * KINDS):
            expectations.learn(kind(expectations, word(number)), MS // 2)
        assert expectations.expected(kind(expectations, "/slow")) == 100 * MS

    def test_is_one_kind_which_is_learned_too(self):
        expectations = Expectations()
        other = self.names(expectations, KINDS + 1, NOW)[-1]
        expectations.learn(other, 7 * MS)
        assert expectations.expected(kind(expectations, "/another")) == 7 * MS

    def test_of_ids_takes_one_place(self):
        expectations = taught(("/shop", MS))
        for number in range(10 * KINDS):
            kind(expectations, f"/orders/{number}")
        assert kind(expectations, "/new").name == "GET /new"


def test_from_any_thread():
    expectations = Expectations()

    def ask(start: int) -> None:
        for number in range(start, start + 500):
            expectations.learn(kind(expectations, word(number)), 2 * MS)

    threads = [threading.Thread(target=ask, args=(start,)) for start in (0, 100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = [kind(expectations, word(number)) for number in range(800)]
    assert sum(kind.name != OTHER for kind in kinds) == KINDS
    assert {expectations.expected(kind) for kind in kinds} == {2 * MS}
