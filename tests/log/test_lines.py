import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.log.lines import below, event_line, spell_fields, spell_value

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
