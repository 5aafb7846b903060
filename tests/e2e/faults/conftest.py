import pytest

from tests.e2e.faults.drill import Drill


@pytest.fixture
def drill(daemon):
    return Drill(daemon)


@pytest.fixture(scope="module")
def shared_drill(shared_daemon):
    """One site for all drills of a file, one after the other."""
    return Drill(shared_daemon)
