"""What all tests share: some have to run alone, and some need certificates."""

import compileall
import fcntl
import sys
from pathlib import Path

import pytest

import superwsgi
from tests.certificates import Authority, Pair


class Turns:
    """Who runs when, in whichever process of pytest-xdist: tests marked `alone`, or any others together.

    Two of our own files are locked. Who waits to be alone holds the second one, so that nobody else begins.
    """

    def __init__(self):
        here = Path(__file__)
        self.lock = here.open()
        self.next = (here.parent / "tools.py").open()
        self.alone = False

    def begin(self, alone):
        if alone and self.alone:
            return
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        fcntl.flock(self.next, kind)
        fcntl.flock(self.lock, kind)
        fcntl.flock(self.next, fcntl.LOCK_UN)
        self.alone = alone

    def end(self, alone_again):
        if not (self.alone and alone_again):
            fcntl.flock(self.lock, fcntl.LOCK_UN)
            self.alone = False

    def close(self):
        self.lock.close()
        self.next.close()


TURNS = pytest.StashKey[Turns]()


def alone(item):
    return item is not None and item.get_closest_marker("alone") is not None


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: no other test may run meanwhile, in whichever process")
    config.addinivalue_line(
        "markers", "drill: long, under load, or with many starts; runs where it is asked for, as in CI"
    )
    config.addinivalue_line("markers", "models: the same with fixed and elastic threads, and with greenlets")
    config.stash[TURNS] = turns = Turns()
    config.add_cleanup(turns.close)
    if not hasattr(config, "workerinput"):
        _compile()


def _compile():
    """Daemons of the tests write no bytecode, and what only they import nobody else has compiled, unless pip
    did: each of them would do so anew."""
    if not sys.dont_write_bytecode:
        compileall.compile_dir(Path(superwsgi.__file__).parent, quiet=2)


def pytest_collection_modifyitems(config, items):
    """Whoever runs all tests, and names no file and no marker, wants an answer in some minutes."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.option.markexpr:
        return
    drills = [item for item in items if item.get_closest_marker("drill") is not None]
    if drills:
        config.hook.pytest_deselected(items=drills)
        items[:] = [item for item in items if item not in set(drills)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    turns = item.config.stash[TURNS]
    turns.begin(alone(item))
    try:
        return (yield)
    finally:
        turns.end(alone(nextitem))


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def pair(ca: Authority) -> Pair:
    return ca.pair("localhost")
