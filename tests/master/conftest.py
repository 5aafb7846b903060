import pytest

from tests.master.rooms import rooms_in


@pytest.fixture
def rooms(tmp_path):
    with rooms_in(tmp_path) as rooms:
        yield rooms
