import pytest

from tests.e2e.daemon import Daemon


@pytest.fixture
def daemon(tmp_path):
    """A daemon in a folder of its own, for apps that the test writes; ended with all its children."""
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.clean_up()
