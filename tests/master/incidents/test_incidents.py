"""What is kept of what has gone wrong, and in which words."""

import msgspec
import pytest

from superwsgi.board.layout import ID_BYTES
from superwsgi.cli.server.why import head, spell
from superwsgi.incidents import ID_KEPT, NAMED, Listed, MemorySample, RequestInHand
from superwsgi.master.incidents.incidents import EVENTS, KEPT, Incidents

WORKER = {"master": 1, "worker": 2, "gen": 3, "pid": 4711}
REPORT = RequestInHand("GET", "/report/7?x=1", "3f-1", 3.2, 0)


@pytest.fixture
def incidents():
    return Incidents()


def died(incidents, how="signal 11 (SIGSEGV)", **more):
    fields = {
        "how": how,
        "in_hand": Listed([REPORT]),
        "lost": "1 request",
        "next": "replaced at once",
        **more,
    }
    return incidents.add("error", WORKER, "died", fields, "")


def test_a_death(incidents):
    number = died(incidents, requests=17, memory=Listed([MemorySample(1.0, 400 << 20)]))
    incidents.misses(2, number)
    incidents.serves(2)
    (one,) = incidents.find(None, 9)
    assert (one.number, one.worker, one.gen, one.pid) == (1, 2, 3, 4711)
    assert one.then.startswith("replaced, served again after ")
    first = head(one, one.last + 130)
    assert (
        "worker 2 died: signal 11 (SIGSEGV); GET /report/7?x=1 3f-1 3.2s; 1 request lost; replaced" in first
    )
    assert first.startswith("#1 ")
    assert "(2m10s ago)" in first
    assert any("400M 1s before" in line for line in spell(one, one.last))


def test_why_workers_are_missing_is_that_there_is_no_mold_whatever_ended_them(incidents):
    lost = incidents.add(
        "error", {"master": 1, "gen": 3}, "mold lost", {"reason": "No module named 'db'"}, ""
    )
    incidents.misses(("mold", 3), lost)
    incidents.misses(2, died(incidents))
    assert incidents.why_missing() == "mold lost: No module named 'db'"
    incidents.serves(("mold", 3))
    assert incidents.why_missing() == "died: signal 11 (SIGSEGV)"


def test_a_companions_death(incidents):
    for label in ("mail:2", "mail:2", "beat"):
        incidents.add("error", {"companion": label, "pid": 9}, "companion died", {"how": "exit code 1"}, "")
    assert {one.companion: one.times for one in incidents.find(None, 9)} == {"mail:2": 2, "beat": 1}
    for word in ("mail", "mail:2", "9"):
        assert "mail:2" in {one.companion for one in incidents.find(word, 9)}
    assert incidents.find("mail:1", 9) == []
    (one,) = incidents.find("mail", 9)
    assert "companion mail:2 died: exit code 1; what it does waits" in head(one, one.last)


def test_what_happens_again_is_counted(incidents):
    for number in range(40):
        other = RequestInHand("GET", f"/report/{number}", f"3f-{number}", 3.2, 0)
        assert died(incidents, in_hand=Listed([other])) == 1, "another report, but the same page"
    (one,) = incidents.find(None, 9)
    assert one.times == 40
    assert len(one.requests) == NAMED
    assert incidents.find("3f-39", 9) == [one]


def test_a_request_of_which_more_is_told_is_named_once(incidents):
    for seconds in (5.0, 10.0, 20.0):
        slow = {"request": "3f-1", "method": "GET", "target": "/report", "seconds": seconds}
        incidents.add("warning", WORKER, "slow request", slow, "")
    (one,) = incidents.find(None, 9)
    assert (one.times, [str(each) for each in one.requests]) == (3, ["GET /report 3f-1 20s"])


def test_a_long_id_finds_what_the_scoreboard_has_cut(incidents):
    assert ID_KEPT == ID_BYTES
    whole = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8"
    died(incidents, in_hand=Listed([RequestInHand("GET", "/", whole[:48], 3.2)]))
    incidents.add("error", WORKER, "request stuck", {"request": whole, "method": "GET", "target": "/"}, "")
    assert [len(incidents.find(word, 9)) for word in (whole, whole[:48], whole[:47])] == [2, 2, 0]


def test_what_is_something_else_is_not(incidents):
    assert died(incidents) == 1
    assert died(incidents, how="signal 6 (SIGABRT)") == 2
    assert died(incidents, in_hand=Listed([RequestInHand("GET", "/other", "3f-2")])) == 3
    assert incidents.add("error", {**WORKER, "worker": 1}, "died", {"how": "exit code 1"}, "") == 4


@pytest.mark.parametrize("word", ["2", "4711", "3f-1", "#1"])
def test_who_asks_for_it_finds_it(incidents, word):
    died(incidents)
    assert [one.number for one in incidents.find(word, 9)] == [1]
    assert incidents.find("1", 9) == incidents.find("3f", 9) == incidents.find("", 9) == []


def test_only_so_many_are_kept(incidents):
    for number in range(2 * KEPT):
        incidents.add("warning", WORKER, f"event {chr(0x4E00 + number)}", {}, "")
    assert len(incidents) == KEPT
    assert incidents.find(None, 1)[0].number == 2 * KEPT
    assert len(incidents._numbers) <= KEPT


def test_whoever_has_many_displaces_only_its_own(incidents):
    died(incidents)
    for number in range(2 * KEPT):
        incidents.add("warning", {"worker": 1}, f"event {chr(0x4E00 + number)}", {}, "")
    assert [one.number for one in incidents.find("2", 9)] == [1]
    assert len(incidents) == KEPT


def test_refusals_are_counted_by_the_scoreboard(incidents):
    words = {"request": "3f-9", "status": 503, "reason": "too many requests wait"}
    number = incidents.add("warning", WORKER, "request refused", words, "")
    incidents.refused(WORKER, 503, 29)
    incidents.refused(WORKER, 503, 1)
    (one,) = incidents.find(None, 9)
    assert (one.number, one.times, one.cause) == (number, 30, "too many requests wait")
    assert one.consequence == "answered 503"


@pytest.mark.parametrize(("said", "times"), [("-9", 0), ("9" * 40, 1_000_000), ("nine", 1)])
def test_a_forged_number_of_times_is_not_believed(incidents, said, times):
    incidents.add("error", WORKER, "slow requests", {"times": said}, "")
    assert incidents.find(None, 9)[0].times == times


def test_what_an_ended_worker_had_in_hand_is_added(incidents):
    number = incidents.add("warning", WORKER, "killed", {"reason": "memory"}, "")
    incidents.lost(number, [REPORT], "1 request lost")
    incidents.explain(number, "its stacks")
    (one,) = incidents.find("3f-1", 9)
    assert (one.consequence, one.detail) == ("1 request lost", "its stacks")


def test_an_upgrade_goes_on_with_them(incidents):
    died(incidents)
    died(incidents, how="exit code 1")
    after = Incidents()
    after.adopt(incidents.hold(), incidents.events)
    assert [one.number for one in after.find(None, 9)] == [2, 1]
    assert died(after, how="exit code 2") == 3
    assert after.events == {"died": 3}


def test_each_time_is_counted_also_of_those_that_are_not_kept(incidents):
    for _ in range(3):
        incidents.add("warning", WORKER, "killed", {"reason": "memory"}, "")
    incidents.refused(WORKER, 503, 7)
    for number in range(2 * EVENTS):
        incidents.add("error", WORKER, f"made up {number}", {}, "")
    assert (incidents.events["killed"], incidents.events["request refused"]) == (3, 7)
    assert (len(incidents.events), incidents.events["other"]) == (EVENTS + 1, EVENTS + 2)
    assert incidents.events.total() == 10 + 2 * EVENTS
    incidents.add("error", {}, "reload failed", {}, "")
    assert incidents.events["reload failed"] == 1


def test_whatever_was_said_can_be_sent_to_whoever_asks(incidents):
    """Paths may be no text, as those of a site's files."""
    odd = "/srv/\udce9"
    stuck = {"request": odd, "method": odd, "target": odd, "reason": odd, "next": odd, "file": odd}
    incidents.add("error", WORKER, odd, stuck, odd)
    assert msgspec.json.encode(incidents.find(None, 9)).count(rb"/srv/\\udce9") == 8


@pytest.mark.parametrize(
    ("first", "shown"),
    [('  File "/srv/app.py", line 1, in view', "99"), ("Fatal Python error: Aborted", "1")],
    ids=["the end of a traceback", "the beginning of a dump"],
)
def test_a_list_has_the_lines_of_a_detail_that_say_the_most(incidents, first, shown):
    incidents.add("error", WORKER, "died", {}, "\n".join([first, *map(str, range(1, 100))]))
    (one,) = incidents.find(None, 9)
    brief, whole = [*spell(one, one.last, most=20)], [*spell(one, one.last)]
    assert (len(brief), len(whole)) == (len(whole) - 79, 103)
    assert f"      | {shown}" in brief
    assert sum("80 more lines: superwsgi why '#1'" in line for line in brief) == 1


def test_nothing_moves_the_terminals_cursor(incidents):
    incidents.add(
        "error",
        WORKER,
        "died",
        {"how": "\x1b[2J", "in_hand": Listed([RequestInHand("GET", "/\x1b")])},
        "\x1b",
    )
    (one,) = incidents.find(None, 9)
    assert "\x1b" not in "".join(spell(one, one.last))


def test_a_kill_for_want_of_memory_is_claimed_by_one_that_ends_later(incidents):
    incidents.note_kills(17)
    assert not incidents.claim_kill(17), "long ago"
    incidents.note_kills(18)
    assert incidents.claim_kill(18), "seen before it had ended"
    assert not incidents.claim_kill(18), "by somebody else"
    assert incidents.claim_kill(19)
