"""Exit handlers: what the import has made outlives each worker, and nothing of it is left at the end."""

import contextlib
import signal
import sys
import textwrap

import pytest

from tests.e2e.daemon import wait_for

pytestmark = pytest.mark.drill

SOON = {"confirm": "100ms"}

MAKES = {
    "a temporary folder": """
        FOLDER = tempfile.TemporaryDirectory(dir=".")
        PATH = FOLDER.name
    """,
    "rmtree": """
        PATH = tempfile.mkdtemp(dir=".")
        atexit.register(shutil.rmtree, PATH)
    """,
    "a function of its own": """
        PATH = tempfile.mkdtemp(dir=".")
        @atexit.register
        def clean_up():
            shutil.rmtree(PATH)
    """,
    "a file": """
        PATH = tempfile.mkdtemp(dir=".", prefix="parent")
        PATH = tempfile.mkstemp(dir=PATH)
        os.close(PATH[0])
        PATH = PATH[1]
        atexit.register(os.rmdir, os.path.dirname(PATH))
        atexit.register(os.unlink, PATH)
    """,
    "a method": """
        FOLDER = tempfile.TemporaryDirectory(dir=".")
        PATH = FOLDER.name
        atexit.register(FOLDER.cleanup)
    """,
    "a method of an object that has it": """
        class Cache:
            def __init__(self):
                self.folder = tempfile.TemporaryDirectory(dir=".")
                atexit.register(self.close)
            def close(self):
                self.folder.cleanup()
        PATH = Cache().folder.name
    """,
    "a program": """
        PATH = tempfile.mkdtemp(dir=".")
        atexit.register(subprocess.call, ["rm", "-rf", PATH])
    """,
    "a shell": """
        PATH = tempfile.mkdtemp(dir=".")
        atexit.register(os.system, f"rm -rf '{PATH}'")
    """,
    "weakref.finalize": """
        class Cache: pass
        CACHE = Cache()
        PATH = tempfile.mkdtemp(dir=".")
        weakref.finalize(CACHE, shutil.rmtree, PATH)
    """,
}

MODULE = """
import atexit, os, pathlib, shutil, subprocess, tempfile, weakref
{made}
open("made", "a").write(PATH + "\\n")
"""

APP = """
import importlib, json, os
MADE = {name: importlib.import_module(name).PATH for name in %s}

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({name: os.path.exists(path) for name, path in MADE.items()}).encode()]
"""


def write(site, *kinds):
    """An application that imports a module for each kind, and says of which what it has made is there."""
    names = [f"makes_{kind.replace(' ', '_').replace('.', '_')}" for kind in kinds]
    for name, kind in zip(names, kinds, strict=True):
        site.write(f"{name}.py", MODULE.format(made=textwrap.dedent(MAKES[kind])))
    site.write("app.py", APP % names)


def gone(site):
    """Of which kinds a worker has said that it is gone, of a few that were asked."""
    return {name for _ in range(20) for name, is_there in site.get().json().items() if not is_there}


def left(site):
    """What of all that was made is there."""
    made = [site.folder / line for line in (site.folder / "made").read_text().splitlines()]
    return [str(path) for path in made if path.exists()]


@pytest.mark.parametrize("preload", ["auto", False])
def test_it_lives_as_long_as_a_worker_that_uses_it(daemon, preload):
    write(daemon, *MAKES)
    daemon.site(workers=2, preload=preload, rollout=SOON)
    daemon.start()
    first, _ = daemon.wait_workers(2)
    mark = daemon.mark()
    daemon.send(signal.SIGTERM, first)
    daemon.wait_log("(?s)ended.*serving|serving.*ended|died.*serving", since=mark)
    assert gone(daemon) == set()
    daemon.reload()
    assert gone(daemon) == set()
    imports = 1 if preload else 2
    wait_for(
        lambda: len(left(daemon)) == imports * len(MAKES), "end of the old ones", context=lambda: left(daemon)
    )
    assert daemon.stop() == 0
    assert left(daemon) == []


SLOW = """
import time

def answering(environ, start_response, answer=app):
    if environ["PATH_INFO"] == "/slow":
        open("asked", "w").close()
        while not os.path.exists("go on"):
            time.sleep(0.01)
    return answer(environ, start_response)

app = answering
"""


def test_a_worker_that_still_answers_keeps_it(daemon):
    write(daemon, "rmtree")
    with (daemon.folder / "app.py").open("a") as file:
        file.write(SLOW)
    daemon.site(workers=1, rollout=SOON)
    daemon.start()
    with contextlib.closing(daemon.client()) as client:
        client.request("GET", "/slow")
        wait_for((daemon.folder / "asked").exists, "the application's turn")
        daemon.reload()
        (daemon.folder / "go on").touch()
        assert client.getresponse().read() == b'{"makes_rmtree": true}'
    wait_for(lambda: len(left(daemon)) == 1, "the old one gone", context=lambda: left(daemon))
    assert daemon.stop() == 0
    assert left(daemon) == []


def test_the_last_worker_removes_it_where_the_mold_was_killed(daemon):
    write(daemon, "a temporary folder")
    daemon.site(workers=2)
    daemon.start()
    mold = daemon.mold()
    mark = daemon.mark()
    daemon.send(signal.SIGKILL, mold)
    daemon.wait_log("mold ready", since=mark)
    assert gone(daemon) == set()
    assert daemon.stop() == 0
    assert left(daemon) == []


def test_it_goes_with_its_workers_where_the_master_was_killed(daemon):
    write(daemon, "a temporary folder")
    daemon.site(workers=2)
    daemon.start()
    family = daemon.children()
    daemon.send(signal.SIGKILL)
    wait_for(lambda: not any(each.is_running() for each in family), "all gone")
    assert left(daemon) == []


def test_what_is_not_known_to_remove_runs_in_each_worker(daemon):
    daemon.write(
        "app.py",
        """
        import atexit, os
        @atexit.register
        def flush():
            with open("flushed", "a") as file:
                file.write(f"{os.getpid()}\\n")
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"x"]
        """,
    )
    daemon.site(workers=3)
    daemon.start()
    workers = daemon.wait_workers(3)
    assert daemon.stop() == 0
    assert sorted(map(int, (daemon.folder / "flushed").read_text().split())) == sorted(workers)


def test_an_import_that_fails_leaves_nothing(daemon):
    write(daemon, "a temporary folder")
    with (daemon.folder / "app.py").open("a") as file:
        file.write("\nimport missing\n")
    daemon.site()
    daemon.start(ready=False)
    assert daemon.wait_exit() == 3
    assert left(daemon) == []
    assert daemon.command("check", "-c", "site.yaml").returncode == 3
    assert left(daemon) == []


def test_check_leaves_nothing(daemon):
    write(daemon, "a temporary folder")
    daemon.site()
    assert daemon.command("check", "-c", "site.yaml").returncode == 0
    wait_for(lambda: left(daemon) == [], "the folder gone")


def test_a_script_removes_its_own(daemon):
    write(daemon, "a temporary folder")
    with (daemon.folder / "app.py").open("a") as file:
        file.write("\nimport superwsgi\nsuperwsgi.run(app, '127.0.0.1', 0, processes=2)\n")
    daemon.count = 2
    daemon.spawn([sys.executable, "app.py"])
    mark = daemon.mark()
    daemon.send(signal.SIGTERM, daemon.wait_workers(2)[0])
    daemon.wait_log("serving", since=mark)
    assert gone(daemon) == set()
    assert daemon.stop() == 0
    assert left(daemon) == []
