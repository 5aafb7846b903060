"""What every test of a worker's loop begins with."""

from __future__ import annotations

import pytest

from tests.fixtureapps.wsgi_paths import gate, inside


@pytest.fixture(autouse=True)
def _closed_gate():
    gate.clear()
    while inside.acquire(blocking=False):
        pass
    yield
    gate.set()
