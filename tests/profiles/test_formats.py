"""Profiles as flame graph, speedscope's JSON and collapsed stacks, summed over workers."""

import json
import re

import pytest

from superwsgi.profiles.flame_graph import tree
from superwsgi.profiles.formats import FORMATS, collapsed, html, speedscope
from superwsgi.profiles.summing import sampled, summed
from tests.profiles.made import EMPTY, PROFILE, QUERY, VIEW


def test_workers_are_summed_whatever_numbers_they_give_to_groups():
    stacks = summed(sampled(PROFILE))
    seconds = {
        " ".join(f"{frame.function}:{frame.line}" for frame in frames): s for frames, s in stacks.items()
    }
    assert seconds == {
        "GET /:0 report:34": 6.0,
        "GET /report/*:0 report:34 Cursor.execute:97": 6.0,
        "GET /report/*:0 report:36 <lambda>:2": 2.0,
    }


def test_collapsed_stacks_have_functions_and_microseconds():
    lines = collapsed(PROFILE).splitlines()
    execute = f"{QUERY.function} ({QUERY.file}:80)"
    assert lines == [
        "GET /;report (/srv/shop/views.py:30) 6000000",
        f"GET /report/*;report (/srv/shop/views.py:30);{execute} 6000000",
        'GET /report/*;report (/srv/shop/views.py:30);<lambda> (/srv/shop/</script><b>"x":?[2J.py:1) 2000000',
    ]


def test_speedscope_has_what_its_schema_requires():
    """https://www.speedscope.app/file-format-schema.json"""
    told = json.loads(speedscope(PROFILE))
    assert told["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames, (one,) = told["shared"]["frames"], told["profiles"]
    assert {"name": "report", "file": VIEW.file, "line": 34} in frames
    assert {"name": "GET /report/*"} in frames
    assert one.keys() == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
    assert (one["type"], one["unit"], one["startValue"], one["endValue"]) == ("sampled", "seconds", 0, 14.0)
    assert len(one["samples"]) == len(one["weights"])
    assert sum(one["weights"]) == one["endValue"]
    assert {at for sample in one["samples"] for at in sample} == set(range(len(frames)))


def in_script(page):
    return json.loads(re.search(r"const data = (.*);\n", page)[1])


def test_a_flame_graph_needs_no_network_and_no_name_ends_its_script():
    page = html(PROFILE)
    assert page.count("</script>") == page.count("<script>") == 1
    assert "<b>" not in page
    assert not re.search(r"(src|href)=|@import|https?://", page)
    data = in_script(page)
    assert data["title"] == "shop: 10s of wall time in requests"
    assert data["notes"][-1] == "worker 3 (pid 4703) is not in it: died before it told what it had found"
    assert "</script>" in json.dumps(data["root"])


def test_a_flame_graph_has_functions_with_their_hottest_lines():
    root = tree(summed(sampled(PROFILE)))
    assert root["v"] == 14.0
    (report,) = [each for each in root["c"] if each["n"] == "GET /report/*"]
    (view,) = report["c"]
    assert (view["n"], view["v"]) == ("report (/srv/shop/views.py:34)", 8.0)
    assert view["l"] == [[34, 6.0], [36, 2.0]]
    assert sorted(each["v"] for each in view["c"]) == [2.0, 6.0]


@pytest.mark.parametrize("wanted", [*FORMATS])
def test_nothing_was_found(wanted):
    text = FORMATS[wanted](EMPTY)
    assert text or wanted == "collapsed"
