"""The event streams of the bench, a few of them."""

import sys

import pytest

from tests.bench.many_streams import APPS, measure

pytestmark = pytest.mark.drill


@pytest.mark.parametrize("app", APPS)
def test_all_events_come(app, tmp_path, capsys):
    measure(APPS[app], count=5, seconds=2, key="threads", python=sys.executable, folder=tmp_path)
    assert "5 of 5 streams are whole" in capsys.readouterr().out
