"""When a proxy got a request: in which units, and what is not believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.http.client.request_start import ANCIENT, ago

MS = 1_000_000
NOW = 1_512_379_167_574 * MS


@pytest.mark.parametrize(
    "said",
    [
        "t=1512379167.074",
        "1512379167.074",
        "t=1512379167.0740000001",
        "t=1512379167074",
        "1512379167074",
        "1512379167074.0",
        "t=1512379167074000",
        "1512379167074000",
        "1512379167074000000",
    ],
)
def test_in_seconds_milliseconds_microseconds_or_nanoseconds(said):
    assert ago(said, NOW) == 500 * MS


def test_whole_seconds():
    assert ago("t=1512379166", NOW) == 1574 * MS


@pytest.mark.parametrize(
    "said",
    [
        *(
            "",
            "t=",
            "t",
            "now",
            "0",
            "-1512379167.074",
            "1512379167,074",
            "1512379167.",
            "1.5e9",
            "t=t=1512379167",
        ),
        *("t=1512379167.074,t=1512379167.074", "(null)", "1512379167.074 ", "\u0661512379167", "9" * 400),
        *("t=1512379167.575", "1512379168", "9999999999", "t=1512378000", "1000000000", "15123791670"),
    ],
)
def test_what_is_nonsense_or_to_come_or_ancient_counts_as_nothing(said):
    assert ago(said, NOW) == 0


@given(st.text(alphabet="t=.0123456789- ,", max_size=24), st.integers(-(2**62), 2**62))
def test_nothing_is_longer_ago_than_any_proxy_waits(said, now):
    assert 0 <= ago(said, now) <= ANCIENT
