"""Applications that patch the standard library for greenlets are refused, whichever way they are loaded.

A stand-in patches as gevent and eventlet do; the libraries themselves are tried where they are installed.
"""

import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.drill

STAND_IN = """
    import select, threading
    patched = set()
    def {patch}():
        patched.update({{"select", "threading"}})
        del select.epoll
        threading._start_new_thread = None
    def {asked}(name):
        return name in patched
"""

PATCHES = {
    "gevent": "from gevent import monkey\nmonkey.patch_all()\n",
    "eventlet": "import eventlet\neventlet.monkey_patch()\n",
}
PAGE = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'x']\n"
WHAT_TO_DO = "remove the patch, and set threads to"


@pytest.fixture(params=PATCHES)
def library(request, daemon):
    """Its name; beside the site there is a stand-in for it."""
    daemon.write("gevent/__init__.py", "")
    daemon.write("gevent/monkey.py", STAND_IN.format(patch="patch_all", asked="is_module_patched"))
    daemon.write("eventlet/__init__.py", "from eventlet.patcher import monkey_patch\n")
    daemon.write("eventlet/patcher.py", STAND_IN.format(patch="monkey_patch", asked="is_monkey_patched"))
    daemon.write("app.py", PATCHES[request.param] + PAGE)
    return request.param


def refused(daemon, library):
    return f"{library} has patched the standard library ({daemon.folder / 'app.py'}, line 2)"


@pytest.mark.parametrize("preload", ["auto", False])
def test_at_the_start_and_by_check(daemon, library, preload):
    daemon.site(preload=preload)
    daemon.start(ready=False)
    assert daemon.wait_exit() == 3
    said = daemon.command("check", "-c", "site.yaml")
    assert said.returncode == 3
    for text in (daemon.log, said.stderr):
        assert refused(daemon, library) in text
        assert WHAT_TO_DO in text


def test_at_a_reload_the_old_generation_stays(daemon, library):
    patching = (daemon.folder / "app.py").read_text()
    daemon.write("app.py", PAGE)
    daemon.site()
    daemon.start()
    daemon.write("app.py", patching)
    assert refused(daemon, library) in daemon.reload("reload failed.*").group()
    assert daemon.get().text == "x"


def test_in_a_hook(daemon, library):
    daemon.write("hooks.py", PATCHES[library] + "def after(): pass\n")
    daemon.write("app.py", PAGE)
    daemon.site(hooks={"after_fork": "hooks:after"})
    daemon.start(ready=False)
    assert daemon.wait_exit() == 3
    assert f"({daemon.folder / 'hooks.py'}, line 2)" in daemon.log


def test_in_a_script(daemon, library):
    daemon.write("app.py", PATCHES[library] + PAGE + "import superwsgi\nsuperwsgi.run(app, port=0)\n")
    daemon.spawn([sys.executable, "app.py"], ready=False)
    assert daemon.wait_exit() == 3
    assert refused(daemon, library) in daemon.log


def test_imported_and_not_patched_it_serves(daemon, library):
    daemon.write("app.py", PATCHES[library].splitlines()[0] + "\n" + PAGE)
    daemon.site()
    daemon.start()
    assert daemon.get().text == "x"


@pytest.mark.parametrize("name", PATCHES)
def test_of_the_libraries_themselves(daemon, name):
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    daemon.write("app.py", PATCHES[name] + PAGE)
    daemon.site()
    daemon.start(ready=False)
    assert daemon.wait_exit() == 3
    assert refused(daemon, name) in daemon.log
