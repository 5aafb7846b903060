"""Heads are read by Python alone, and with the plain ones left to C."""

from __future__ import annotations

import pytest

from tests import core
from tests.http.request import feeding


@pytest.fixture(scope="module", params=["python", "c"])
def reader(request):
    """For modules of tests that are to hold for both."""
    module = core.in_c() if request.param == "c" else None
    if request.param == "c" and module is None:
        pytest.skip("nothing is compiled here")
    before = feeding.READ_PLAIN
    feeding.READ_PLAIN = None if module is None else module.read_plain
    yield request.param
    feeding.READ_PLAIN = before
