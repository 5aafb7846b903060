import pytest

from tests.e2e.behind import Behind
from tests.e2e.daemon import Daemon


@pytest.fixture
def daemon(request, tmp_path):
    """A daemon in a folder of its own, for apps that the test writes; ended with all its children."""
    daemon = Daemon(tmp_path, getattr(request, "param", None))
    yield daemon
    daemon.clean_up()


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory):
    """One daemon for all tests of a file that only look at it."""
    daemon = Daemon(tmp_path_factory.mktemp("site"))
    yield daemon
    daemon.clean_up()


@pytest.fixture
def behind(tmp_path):
    """A site that may be started behind nginx or HAProxy."""
    behind = Behind(tmp_path)
    yield behind
    behind.clean_up()
