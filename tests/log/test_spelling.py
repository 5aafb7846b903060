import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.log.spelling import below, duration, ending, event_line, size, spell_fields, spell_value

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error) +[^\n]*", re.ASCII)


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_line_says_who_what_and_what_now() -> None:
    who = spell_fields({"worker": 2, "gen": 3, "pid": 812})
    fields = {"reason": "memory", "rss": "612M", "limit": "600M", "next": "replaced"}
    assert event_line(1795368001.123, "info", who, "killed", fields) == (
        "2026-11-22T17:20:01.123Z info    worker=2 gen=3 pid=812 "
        "killed reason=memory rss=612M limit=600M next=replaced"
    )


def test_a_line_without_who_and_fields() -> None:
    assert event_line(0.0, "warning", "", "stopped", {}) == "1970-01-01T00:00:00.000Z warning stopped"


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("plain", "plain"),
        (812, "812"),
        (1.5, "1.5"),
        (None, "-"),
        (True, "yes"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("line\nforged", '"line\\nforged"'),
        ("\x1b[2J", '"\\u001b[2J"'),
        ("\x9b2J", '"\\u009b2J"'),
        ("right\u202eleft", '"right\\u202eleft"'),
        ("\udcff", '"\\udcff"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("größe", "größe"),
        (ValueError("no such thing"), '"ValueError: no such thing"'),
        (ValueError(Broken()), "ValueError"),
        (Broken(), "<Broken>"),
        ("x" * 1200, "x" * 1000 + "…"),
    ],
)
def test_values_are_one_word_or_quoted(value: object, spelled: str) -> None:
    assert spell_value(value) == spelled


@given(st.text(), st.text(), st.text())
def test_nothing_begins_a_line_of_its_own(who: str, event: str, value: str) -> None:
    line = event_line(0.0, "info", spell_fields({"who": who}), event, {"value": value})
    assert LINE.fullmatch(line)
    assert line.isprintable()


@given(st.text())
def test_what_stands_below_is_indented(text: str) -> None:
    for line in below(text):
        assert line.startswith("    ")
        assert line.isprintable()


def test_below_keeps_the_lines_of_a_traceback() -> None:
    assert below("Traceback:\n  File\tx\n") == ["    Traceback:", "      File  x"]


@pytest.mark.parametrize(
    ("count", "spelled"),
    [
        (0, "0"),
        (900, "900"),
        (8 << 10, "8K"),
        (1536, "1.5K"),
        (612 << 20, "612M"),
        (3 << 29, "1.5G"),
        (5 << 40, "5T"),
    ],
)
def test_sizes_are_spelled_as_a_site_file_has_them(count: int, spelled: str) -> None:
    assert size(count) == spelled


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [
        (0, "0ms"),
        (0.0004, "0.4ms"),
        (0.25, "250ms"),
        (0.9996, "1s"),
        (1.2, "1.2s"),
        (30, "30s"),
        (59.96, "1m00s"),
        (90, "1m30s"),
        (7500, "2h05m"),
        (273_600, "3d04h"),
    ],
)
def test_durations(seconds: float, spelled: str) -> None:
    assert duration(seconds) == spelled


@pytest.mark.parametrize(
    ("code", "spelled"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "signal 9 (SIGKILL)"),
        (-11, "signal 11 (SIGSEGV)"),
        (-37, "signal 37 (SIGRTMIN+3)"),
        (-99, "signal 99 (SIG99)"),
    ],
)
def test_the_end_of_a_process_in_words(code: int, spelled: str) -> None:
    assert ending(code) == spelled
