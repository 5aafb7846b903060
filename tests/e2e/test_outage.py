"""Nothing runs any more: no worker can be kept up. The master stays, clients wait, and it is over once the
cause is gone.
"""

import json
import signal
import threading

import pytest

from tests.e2e.daemon import wait_for

APP = """
    import errno
    import os

    from superwsgi import unpatched

    HERE = os.path.dirname(os.path.abspath(__file__))

    def broken(how):
        return os.path.exists(os.path.join(HERE, how))

    if broken("abort"):
        os.abort()
    if broken("driver"):
        raise RuntimeError("no database driver")

    def after_fork(worker):
        if broken("config"):
            raise RuntimeError("no such file: shop.ini")

    FORK = unpatched.fork

    def no_fork():
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def before_fork(worker):
        # as if the system gave no more processes
        unpatched.fork = no_fork if broken("processes") else FORK

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"well"]
"""


class Client:
    """Asks, and waits for as long as it takes."""

    def __init__(self, site):
        self.answers = []
        self._thread = threading.Thread(target=lambda: self.answers.append(site.get("/", timeout=60).text))
        self._thread.start()

    def is_served(self):
        self._thread.join(60)
        return self.answers == ["well"]


def start(daemon, **keys):
    daemon.write("app.py", APP)
    daemon.site(workers=2, log={"access": "off"}, **keys)
    return daemon.start()


def kill(site, *more):
    """All workers, after the cause is there."""
    for pid in [*more, *site.workers()]:
        site.send(signal.SIGKILL, pid)


def snapshot(site):
    done = site.command("status", "-c", "site.yaml", "--json")
    return done.returncode, json.loads(done.stdout)


@pytest.mark.drill
def test_a_reload_that_mends_it_helps_at_once_and_another_one_does_not_harm(daemon):
    site = start(daemon, preload=False)
    cause = site.write("driver", "")
    kill(site)
    site.wait_log("state=crash-loop")
    client = Client(site)
    mark = site.mark()
    assert site.command("reload", "--wait", "-c", "site.yaml").returncode == 1
    assert "no database driver" in site.wait_log("reload failed.*", since=mark)[0]
    code, now = snapshot(site)
    assert (code, now["health"], now["serving"], now["generation"]) == (1, "down", 0, 1)
    assert client.answers == []
    cause.unlink()
    site.reload(outcome="serving")
    assert client.is_served()
    assert site.stop() == 0


@pytest.mark.drill
def test_it_is_told_everywhere_and_a_stop_is_one(daemon):
    site = start(daemon, hooks={"after_fork": "app:after_fork"})
    site.write("config", "")
    kill(site)
    down = site.wait_log(r"site down .*reason=.*shop\.ini.*", deadline=60)[0]
    number = down.rpartition("=")[2]
    assert "shop.ini" in site.command("why", "-c", "site.yaml", "--short", f"#{number}").stdout
    code, now = snapshot(site)
    assert (code, now["health"]) == (1, "down")
    assert now["reasons"][0].startswith("nothing runs for ")
    assert "shop.ini" in now["reasons"][0]
    assert site.stop() == 0
    assert "recovered" not in site.log


CAUSES = {
    "import without preload": ("abort", {"preload": False}, False),
    "import of a mold": ("driver", {}, True),
    "a hook": ("config", {}, False),
    "no overlap": ("driver", {"preload": False, "rollout": {"confirm": "1s", "overlap": "no"}}, False),
    "a fork": ("processes", {}, False),
}


@pytest.mark.drill
@pytest.mark.parametrize("cause", CAUSES)
def test_it_recovers_by_itself(daemon, cause):
    name, keys, mold = CAUSES[cause]
    hooks = {"after_fork": "app:after_fork"}
    if keys.get("preload") is not False:
        hooks["before_fork"] = "app:before_fork"
    site = start(daemon, **{"hooks": hooks, **keys})
    broken = site.write(name, "")
    kill(site, *[site.mold()] * mold)
    site.wait_log("site down", deadline=60)
    client = Client(site)
    kill(site)
    broken.unlink()
    site.wait_log("site recovered", deadline=90)
    assert client.is_served()
    assert site.log.count("site down") == 1
    assert len(site.workers()) == 2
    wait_for(lambda: "recovered after" in site.command("why", "-c", "site.yaml", "--short").stdout, "its end")
