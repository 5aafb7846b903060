"""Which exit handlers remove what others may still use, however they come to do it."""

import contextlib
import functools
import logging
import multiprocessing.util
import os
import pathlib
import shutil
import subprocess
import tempfile
from shutil import rmtree as another_name

import pytest

from superwsgi.worker.boot.exit import removers

FOLDER = tempfile.TemporaryDirectory()


class Cache:
    """Something with clean-ups of its own."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()

    def empty(self):
        shutil.rmtree("cache")

    def close(self):
        self.folder.cleanup()

    def close_all(self):
        self.close()

    def __call__(self):
        self.empty()

    def flush(self):
        pass

    def path(self):
        return self.folder.name


class Asked(Exception):
    pass


class Proxy:
    """Wakes up when it is asked for anything."""

    def __getattribute__(self, name):
        raise Asked(name)

    def __hash__(self):
        raise Asked

    def __eq__(self, other):
        raise Asked


CACHE = Cache()


def clean_up():
    FOLDER.cleanup()


def helped():
    clean_up()


def nested():
    def remove():
        os.remove("a")  # noqa: PTH107

    remove()


def closed_over():
    folder = tempfile.TemporaryDirectory()
    return lambda: folder.cleanup()


@functools.wraps(print)
def decorated(*args):
    clean_up()


def forget(names=("a",)):
    list(names).remove("a")


def flush():
    print("flushed", FOLDER.name, CACHE.path())


REMOVING = {
    "rmtree": shutil.rmtree,
    "unlink": os.unlink,
    "a path": pathlib.Path("a").unlink,
    "a temporary folder": FOLDER.cleanup,
    "its end as a context": FOLDER.__exit__,
    "the finalizer of one": FOLDER._finalizer.peek()[1],
    "an exit stack": contextlib.ExitStack().close,
    "a partial": functools.partial(shutil.rmtree, "a"),
    "a partial of a partial": functools.partial(functools.partial(os.remove), "a"),
    "a lambda": lambda: shutil.rmtree("a"),
    "a function": clean_up,
    "a function in one": nested,
    "a function that calls one": helped,
    "a variable around it": closed_over(),
    "another name": lambda: another_name("a"),
    "a decorated function": decorated,
    "a function with a cache": functools.lru_cache(clean_up),
    "a method": CACHE.empty,
    "a method of what its object has": CACHE.close,
    "a method that calls another": CACHE.close_all,
    "an object that is called": CACHE,
    "a method of a global object": lambda: CACHE.close(),
    "a program": lambda: subprocess.run(["rm", "-rf", "a"], check=False),
    "a shell": lambda: os.system("rm -rf a"),
    "a shell that is registered itself": os.system,
    "a program that is registered itself": functools.partial(subprocess.run, ["rm", "-rf", "a"]),
    "what moves": pathlib.Path("a").rename,
}
OTHERS = {
    "a function": flush,
    "remove() of a list": forget,
    "a method": CACHE.flush,
    "a built-in": print,
    "a program that may do anything": lambda: subprocess.run(["upload"], check=False),
    "a file that is put in its place": lambda: os.replace("a.new", "a"),  # noqa: PTH105
    "logging's": logging.shutdown,
    "multiprocessing's": multiprocessing.util._exit_function,
    "a built-in method": [].append,
}


@pytest.mark.parametrize("handler", REMOVING.values(), ids=REMOVING.keys())
def test_what_removes(handler):
    assert removers.removes(handler)


@pytest.mark.parametrize("handler", OTHERS.values(), ids=OTHERS.keys())
def test_what_does_not(handler):
    assert not removers.removes(handler)


def test_a_proxy_is_not_asked():
    proxy = Proxy()
    assert not removers.removes(proxy)
    assert not removers.removes(lambda: proxy.cleanup())
