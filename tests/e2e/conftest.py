import contextlib
import subprocess

import pytest

from tests.e2e.behind import Behind
from tests.e2e.daemon import COMMAND, Daemon
from tests.e2e.development import Dev
from tests.tools import needed_package


@pytest.fixture
def daemon(request, tmp_path):
    """A daemon in a folder of its own, for apps that the test writes; ended with all its children."""
    model = getattr(request, "param", None)
    if model == "green":
        needed_package("gevent")
    daemon = Daemon(tmp_path, model)
    yield daemon
    daemon.clean_up()


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory):
    """One daemon for all tests of a file that only look at it."""
    daemon = Daemon(tmp_path_factory.mktemp("site"))
    yield daemon
    daemon.clean_up()


@pytest.fixture
def dev(tmp_path):
    """`superwsgi dev` for a project in a folder of its own; ended with all that it has started."""
    folder = tmp_path / "project"
    folder.mkdir()
    dev = Dev(folder)
    yield dev
    dev.clean_up()


@pytest.fixture
def behind(tmp_path):
    """A site that may be started behind nginx or HAProxy."""
    behind = Behind(tmp_path)
    yield behind
    behind.clean_up()


@pytest.fixture
def start_command(daemon):
    """Start an operator's command that goes on in the background; ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            command = subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                cwd=daemon.folder,
                env=daemon.environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(command)
            stack.callback(command.kill)
            return command

        yield start
