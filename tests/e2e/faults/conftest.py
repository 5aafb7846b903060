import tempfile
from pathlib import Path

import pytest

from tests.e2e.daemon import FIXTURE_APPS, Daemon
from tests.e2e.faults.drill import Drill


@pytest.fixture
def drill(daemon):
    return Drill(daemon)


@pytest.fixture
def open_drill():
    """In a folder that other users may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        daemon = Daemon(Path(folder))
        daemon.write("e2e_faulty.py", (FIXTURE_APPS / "e2e_faulty.py").read_text())
        yield Drill(daemon, folder)
        daemon.clean_up()


@pytest.fixture(scope="module")
def shared_drill(shared_daemon):
    """One site for all drills of a file, one after the other."""
    return Drill(shared_daemon)
