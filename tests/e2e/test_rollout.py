"""Moving over to new code, and back: what `rollout:` asks for."""

import re
import signal

from tests.e2e.daemon import HOLDS, wait_for
from tests.e2e.load import Load

GOOD = """
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"{says}"]
"""
CRASHES_IN_SERVICE = """
    import os, threading
    os.register_at_fork(after_in_child=lambda: threading.Timer(0.3, os._exit, [9]).start())
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"never"]
"""


def deploy(site, code):
    site.write("app.py", code)
    mark = site.mark()
    site.send(signal.SIGHUP)
    return mark


def test_crashes_of_new_workers_lead_back_after_as_many_as_are_allowed(daemon):
    daemon.write("app.py", GOOD.replace("{says}", "one"))
    daemon.site(workers=2, preload=True, rollout={"confirm": "30s", "max_failures": 2})
    daemon.start()
    mark = deploy(daemon, CRASHES_IN_SERVICE)
    daemon.wait_log("reload failed", since=mark)
    assert len(re.findall(r"gen=2 .*died how=\"exit code 9\"", daemon.log[mark:])) == 1
    assert 'reason="worker 1: exit code 9"' in daemon.log[mark:]
    wait_for(lambda: daemon.get("/").text == "one")


def test_a_crash_after_all_have_moved_over_still_leads_back(daemon):
    daemon.write("app.py", GOOD.replace("{says}", "one"))
    daemon.site(workers=2, preload=True, rollout={"confirm": "60s", "max_failures": 1})
    daemon.start()
    mark = deploy(daemon, GOOD.replace("{says}", "two"))
    daemon.wait_log("rolled out", since=mark)
    wait_for(lambda: daemon.get("/").text == "two")
    daemon.send(signal.SIGSEGV, daemon.workers()[-1])
    daemon.wait_log("reload failed", since=mark)
    wait_for(lambda: {daemon.get("/").text for _ in range(8)} == {"one"})
    assert len(daemon.workers()) >= 2


def test_another_reload_confirms_the_one_before(daemon):
    daemon.write("app.py", GOOD.replace("{says}", "one"))
    daemon.site(workers=1, rollout={"confirm": "60s"})
    daemon.start()
    for says in ("two", "three"):
        mark = deploy(daemon, GOOD.replace("{says}", says))
        daemon.wait_log("rolled out", since=mark)
        wait_for(lambda says=says: daemon.get("/").text == says)
    daemon.wait_log("reload complete gen=2")
    mark = deploy(daemon, "import no_such_module\n")
    daemon.wait_log("reload complete gen=3", since=mark)
    daemon.wait_log("reload failed gen=4", since=mark)
    assert daemon.get("/").text == "three"


def test_a_reload_during_a_roll_out_begins_after_it(daemon):
    daemon.write("app.py", GOOD.replace("{says}", "one"))
    daemon.site(workers=4)
    daemon.start()
    daemon.site(workers=4, hooks={"after_fork": "app:after_fork"})
    mark = deploy(daemon, GOOD.replace("{says}", "two") + HOLDS)
    daemon.wait_log("gen=2 .*serving", since=mark)
    deploy(daemon, GOOD.replace("{says}", "three") + HOLDS)
    daemon.wait_log("reload noted", since=mark)
    daemon.write("go", "")
    daemon.wait_log("reload complete gen=3", since=mark)
    assert daemon.get("/").text == "three"


def test_stopping_during_a_roll_out_is_obeyed_at_once(daemon):
    daemon.write("app.py", GOOD.replace("{says}", "one"))
    daemon.site(workers=4, rollout={"confirm": "60s"})
    daemon.start()
    mark = deploy(daemon, GOOD.replace("{says}", "two"))
    daemon.wait_log("gen=2 .*serving", since=mark)
    assert daemon.stop() == 0


def test_a_batch_moves_over_at_a_time_and_nobody_notices(daemon):
    daemon.write("app.py", GOOD.replace("{says}", "one"))
    daemon.site(workers=5, rollout={"confirm": "200ms", "batch": 4})
    daemon.start()
    wait_for(lambda: len(daemon.workers()) == 5)
    with Load(daemon.address, clients=4) as load:
        mark = deploy(daemon, GOOD.replace("{says}", "two"))
        daemon.wait_log("reload complete", since=mark)
    assert load.broken == []
    assert daemon.get("/").text == "two"
