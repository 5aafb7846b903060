from __future__ import annotations

import json
import math
from collections.abc import Mapping
from signal import Signals
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superwsgi.log.spelling import Whole
from superwsgi.log.styles import LogEvent, Place, as_json, pieces, text
from superwsgi.log.writer import PIPE_BUF

FILE = Place(False, 64 << 10)
PIPE = Place(False, PIPE_BUF)
ANYTHING = st.text(st.characters(categories=None))  # lone surrogates, too
MORE = st.integers(1, 3000)


def said(
    fields: Mapping[str, object] | None = None,
    detail: str = "",
    place: Place = FILE,
    level: str = "info",
    **who: object,
) -> dict[str, Any]:
    (line,) = as_json(LogEvent(level, who, "killed", fields or {}, detail), place)
    assert line.endswith(b"\n")
    assert len(line) <= place.limit
    assert line[:-1].isascii()
    assert line[:-1].decode().isprintable()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_an_object_says_when_who_and_what() -> None:
    found = said({"reason": "memory", "request": "ab-1"}, worker=2, gen=3, pid=812)
    assert list(found) == [
        *("time", "level", "event", "worker", "generation", "pid", "reason", "request_id"),
    ]
    assert found["time"][10] == "T"
    assert len(found.pop("time")) == len("2026-11-22T17:20:01.123Z")
    assert [*found.values()] == ["info", "killed", 2, 3, 812, "memory", "ab-1"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (7, 7),
        (1.5, 1.5),
        (True, True),
        (None, None),
        ("größe", "größe"),
        (math.inf, "inf"),
        (1 << 60, str(1 << 60)),
        (Signals.SIGKILL, "9"),
        (ValueError("no such thing"), "ValueError: no such thing"),
        (["a", 1], "['a', 1]"),
        ("\udcff", "\\udcff"),
        ("\x1b[31m\x7f\x9b\u202e", "\x1b[31m\x7f\x9b\u202e"),
        ("x" * 1200, "x" * 1000 + "…"),
        (Whole("x" * 1200), "x" * 1200),
    ],
)
def test_values_keep_their_kind_or_become_text(value: object, found: object) -> None:
    if isinstance(value, Signals):
        found = str(value)
    assert said({"value": value})["value"] == found


def test_no_field_stands_for_what_each_line_has() -> None:
    found = said({"time": "now", "level": "debug", "event": "other", "worker": 9})
    assert found["time"] != "now"
    assert (found["level"], found["event"]) == ("info", "killed")


def test_a_traceback_is_one_string_and_so_is_any_other_detail() -> None:
    trace = 'Traceback (most recent call last):\n  File "x"\nValueError: é\n'
    assert said(detail=trace)["traceback"] == trace.rstrip("\n")
    assert said(detail="one\ntwo")["detail"] == "one\ntwo"


@pytest.mark.parametrize("char", ["x", '"', "é", "\x00", "\U0001f600", "\udcff", "\n"])
def test_what_has_no_room_is_cut_in_its_middle(char: str) -> None:
    detail = "first\n" + char * 9000 + "\nlast"
    found = said({"reason": "y" * 900}, detail, PIPE)
    assert found["reason"] == "y" * 900
    assert found["detail"].startswith("first\n")
    assert found["detail"].endswith("\nlast")
    assert "…" in found["detail"]
    assert len(json.dumps(found)) > PIPE_BUF * 0.7, "and no more of it than has to be"


@settings(deadline=None)  # a busy machine is no fault
@given(st.dictionaries(st.sampled_from("abcdefgh"), ANYTHING), ANYTHING, MORE, st.booleans())
def test_an_object_is_valid_whatever_it_holds(
    fields: dict[str, str], detail: str, times: int, journal: bool
) -> None:
    long = {name: value * times for name, value in fields.items()}
    mark = 3 if journal else 0
    (line,) = as_json(
        LogEvent("error", {"worker": detail}, detail, long, detail * times), Place(journal, 4096)
    )
    assert len(line) <= PIPE_BUF
    assert line[:mark] == b"<3>"[:mark]
    assert line.count(b"\n") == 1
    assert line[mark:-1].decode("ascii").isprintable()
    assert {*fields} <= {*json.loads(line[mark:])}


@settings(deadline=None)  # a busy machine is no fault
@given(ANYTHING, MORE, st.sampled_from([PIPE_BUF, 64 << 10]))
def test_a_text_in_pieces_is_whole_and_each_fits_a_line(part: str, times: int, limit: int) -> None:
    whole = part * times
    found = list(pieces(whole, limit))
    assert "".join(found) == whole
    for piece in found:
        event = LogEvent("info", {"worker": 1}, "application", {"request": "a" * 128, "text": Whole(piece)})
        for style in (as_json, text):
            (line,) = style(event, Place(True, limit))
            assert len(line) <= limit
        assert (
            json.loads(as_json(event, Place(False, limit))[0])["text"]
            == piece.encode("utf-8", "backslashreplace").decode()
        )


def test_pieces_end_with_a_line_where_there_is_one() -> None:
    lines = [f"line {number}\n" for number in range(2000)]
    found = list(pieces("".join(lines), PIPE_BUF))
    assert all(piece.endswith("\n") for piece in found[:1])
    assert "".join(found) == "".join(lines)
