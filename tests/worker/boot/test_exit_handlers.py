"""What workers leave to their mold to remove, and how processes agree on who is the last."""

import atexit
import functools
import os
import pathlib
import shutil
import sys
import tempfile

from superwsgi.worker.boot.exit import exit_handlers, removers


def flush():
    print("flushed")


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
        exit_handlers.Siblings(removing=True).leave()
        atexit.register(shutil.rmtree, "its own")
        name, inherited = inherited.name, None
        registered = exit_handlers._registered()
        kept = flush in registered and shutil.rmtree in registered and handler not in registered
        return kept and pathlib.Path(name).exists()

    try:
        assert ended(in_child(worker)) == 0
    finally:
        atexit.unregister(handler)
        atexit.unregister(flush)
        inherited.cleanup()


def test_a_worker_leaves_what_came_after_the_import():
    """As of a hook that is called before each fork."""
    handler = functools.partial(shutil.rmtree, "made by a hook")
    siblings = exit_handlers.Siblings(removing=True)
    atexit.register(handler)
    siblings.sort_out()

    def worker():
        siblings.leave()
        return handler not in exit_handlers._registered()

    try:
        assert ended(in_child(worker)) == 0
    finally:
        atexit.unregister(handler)


def test_a_worker_does_not_look_into_handlers_to_leave_them():
    """Their code would be read, and with it the pages copied that it is in, once a worker."""
    siblings = exit_handlers.Siblings(removing=True)

    def worker():
        called = set()
        sys.setprofile(lambda frame, *_: called.add(frame.f_code.co_filename))
        siblings.leave()
        sys.setprofile(None)
        return exit_handlers.__file__ in called and removers.__file__ not in called

    assert ended(in_child(worker)) == 0


def test_the_mold_waits_for_the_last_worker(tmp_path):
    """And one that was killed counts as gone."""
    reading, writing = os.pipe()

    def mold():
        siblings = exit_handlers.Siblings(removing=True)
        worker = in_child(lambda: os.read(reading, 1))
        os.close(reading)
        os.kill(worker, 9)
        return siblings.outlast()

    assert ended(in_child(mold)) == 0
    os.close(reading)
    os.close(writing)


def test_one_that_is_lent_what_it_has_removes_nothing():
    assert not exit_handlers.Siblings(removing=False).outlast()
