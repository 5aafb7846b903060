import os
import time

import pytest

from superwsgi.files.asked.conditions import (
    CHANGED,
    NOWHERE,
    UNCHANGED,
    Range,
    Validators,
    precondition,
    tag_by_time,
    wanted_range,
)

NOW = "Fri, 27 Nov 2026 14:00:00 GMT"
BEFORE = "Fri, 27 Nov 2026 13:59:59 GMT"
AFTER = "Fri, 27 Nov 2026 14:00:01 GMT"
FILE = Validators('"a-1"', NOW)


def environ(fields):
    return {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in fields.items()}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 0),
        ({"If-None-Match": '"a-1"'}, UNCHANGED),
        ({"If-None-Match": 'W/"a-1"'}, UNCHANGED),
        ({"If-None-Match": '"b", "a-1" , W/"c"'}, UNCHANGED),
        ({"If-None-Match": "*"}, UNCHANGED),
        ({"If-None-Match": '"a-2"'}, 0),
        ({"If-None-Match": "a-1"}, 0),
        ({"If-None-Match": ""}, 0),
        ({"If-None-Match": '"a-2"', "If-Modified-Since": NOW}, 0),
        ({"If-Modified-Since": NOW}, UNCHANGED),
        ({"If-Modified-Since": AFTER}, UNCHANGED),
        ({"If-Modified-Since": BEFORE}, 0),
        ({"If-Modified-Since": "Friday, 27-Nov-26 14:00:00 GMT"}, UNCHANGED),
        ({"If-Modified-Since": "yesterday"}, 0),
        ({"If-Modified-Since": "Fri, 99 Nov 99999999 14:00:00 GMT"}, 0),
        ({"If-Match": '"a-1"'}, 0),
        ({"If-Match": "*"}, 0),
        ({"If-Match": '"b"'}, CHANGED),
        ({"If-Match": 'W/"a-1"'}, CHANGED),
        ({"If-Unmodified-Since": BEFORE}, CHANGED),
        ({"If-Unmodified-Since": NOW}, 0),
        ({"If-Unmodified-Since": "nonsense"}, 0),
    ],
)
def test_preconditions(fields, status):
    assert precondition(environ(fields), FILE) == status


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("bytes=0-0", Range(0, 0)),
        ("bytes=2-5", Range(2, 5)),
        ("Bytes = 2-5", None),
        ("BYTES=2-5", Range(2, 5)),
        ("bytes=2-", Range(2, 9)),
        ("bytes=2-100", Range(2, 9)),
        ("bytes=-3", Range(7, 9)),
        ("bytes=-100", Range(0, 9)),
        ("bytes=9-9", Range(9, 9)),
        ("bytes=10-", NOWHERE),
        ("bytes=99999999999999999999-", NOWHERE),
        ("bytes=-0", NOWHERE),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("bytes=١-٢", None),
        ("items=0-1", None),
        ("bytes=" + "9" * 5000 + "-", None),
        ("", None),
    ],
)
def test_ranges(said, found):
    assert wanted_range(environ({"Range": said}), 10, FILE) == found


def test_no_range_of_an_empty_file():
    assert wanted_range(environ({"Range": "bytes=0-"}), 0, FILE) == NOWHERE
    assert wanted_range(environ({"Range": "bytes=-5"}), 0, FILE) == NOWHERE


@pytest.mark.parametrize(
    ("said", "is_that"),
    [
        ('"a-1"', True),
        (NOW, True),
        ('W/"a-1"', False),
        ('"b"', False),
        (BEFORE, False),
        (AFTER, False),
        ("", False),
    ],
)
def test_if_range(said, is_that):
    found = wanted_range(environ({"Range": "bytes=0-1", "If-Range": said}), 10, FILE)
    assert found == (Range(0, 1) if is_that else None)


def test_a_file_that_may_change_again_unseen_has_no_tag_twice(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    ahead = (time.time_ns() // 10**9 + 1) * 10**9  # whole seconds: a file system that knows no less
    for then, is_settled in {ahead: False, ahead - 10**12: True, ahead - 10**12 + 1: True}.items():
        os.utime(path, ns=(then, then))
        assert (tag_by_time(path.stat()) == tag_by_time(path.stat())) == is_settled
