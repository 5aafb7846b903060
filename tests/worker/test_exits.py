"""Which exit handlers remove what others may still use, and how processes agree on who is the last."""

import atexit
import contextlib
import functools
import multiprocessing.util
import os
import pathlib
import shutil
import tempfile

import pytest

from superwsgi.worker import exits

FOLDER = tempfile.TemporaryDirectory()


class Cache:
    """Something with a clean-up of its own."""

    def empty(self):
        shutil.rmtree("cache")

    def flush(self):
        pass


def clean_up():
    FOLDER.cleanup()


def nested():
    def remove():
        os.remove("a")  # noqa: PTH107

    remove()


def forget(names=("a",)):
    list(names).remove("a")


def flush():
    print("flushed")


REMOVING = {
    "rmtree": shutil.rmtree,
    "unlink": os.unlink,
    "a path": pathlib.Path("a").unlink,
    "a temporary folder": FOLDER.cleanup,
    "the finalizer of one": FOLDER._finalizer.peek()[1],
    "an exit stack": contextlib.ExitStack().close,
    "a partial": functools.partial(shutil.rmtree, "a"),
    "a partial of a partial": functools.partial(functools.partial(os.remove), "a"),
    "a lambda": lambda: shutil.rmtree("a"),
    "a function": clean_up,
    "a function in one": nested,
    "a method": Cache().empty,
}
OTHERS = {
    "a function": flush,
    "remove() of a list": forget,
    "a method": Cache().flush,
    "a built-in": print,
    "multiprocessing's": multiprocessing.util._exit_function,
    "a built-in method": [].append,
}


@pytest.mark.parametrize("handler", REMOVING.values(), ids=REMOVING.keys())
def test_what_removes(handler):
    assert exits.removes(handler)


@pytest.mark.parametrize("handler", OTHERS.values(), ids=OTHERS.keys())
def test_what_does_not(handler):
    assert not exits.removes(handler)


def in_child(function):
    """Run in a fork; its exit code is 0 where the function returns true."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            code = 0 if function() else 1
        finally:
            os._exit(code)
    return pid


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_worker_leaves_what_it_has_inherited(tmp_path):
    """Neither the end of the process nor that of the object removes it in one of several."""
    inherited = tempfile.TemporaryDirectory(dir=tmp_path)
    handler = functools.partial(shutil.rmtree, inherited.name)
    atexit.register(handler)
    atexit.register(flush)

    def worker():
        nonlocal inherited
        exits.Siblings(removing=True).leave()
        atexit.register(shutil.rmtree, "its own")
        name, inherited = inherited.name, None
        registered = exits._registered()
        kept = flush in registered and shutil.rmtree in registered and handler not in registered
        return kept and pathlib.Path(name).exists()

    try:
        assert ended(in_child(worker)) == 0
    finally:
        atexit.unregister(handler)
        atexit.unregister(flush)
        inherited.cleanup()


def test_the_mold_waits_for_the_last_worker(tmp_path):
    """And one that was killed counts as gone."""
    reading, writing = os.pipe()

    def mold():
        siblings = exits.Siblings(removing=True)
        worker = in_child(lambda: os.read(reading, 1))
        os.close(reading)
        os.kill(worker, 9)
        return siblings.outlast()

    assert ended(in_child(mold)) == 0
    os.close(reading)
    os.close(writing)


def test_one_that_is_lent_what_it_has_removes_nothing():
    assert not exits.Siblings(removing=False).outlast()
