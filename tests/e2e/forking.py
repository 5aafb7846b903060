"""A site whose application forks and executes children, of the fixture app e2e_children."""

import psutil

from tests.e2e.daemon import FIXTURE_APPS

APP = (FIXTURE_APPS / "e2e_children.py").read_text()


def begin(daemon, app=APP, **keys):
    daemon.write("app.py", app)
    daemon.site(**{"workers": 1, "rollout": {"confirm": "100ms"}, **keys})
    daemon.start()
    return daemon


def gone(*pids):
    return lambda: not any(alive(pid) for pid in pids)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
