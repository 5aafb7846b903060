"""What every test of a worker's loop begins with."""

from __future__ import annotations

import pytest

from tests.certificates import Authority, Pair
from tests.fixtureapps.wsgi_paths import gate, inside


@pytest.fixture(autouse=True)
def _closed_gate():
    gate.clear()
    while inside.acquire(blocking=False):
        pass
    yield
    gate.set()


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def pair(ca: Authority) -> Pair:
    return ca.pair("localhost")
