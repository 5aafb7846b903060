"""What a master knows of trouble and of numbers, over an upgrade: all at once."""

import json
import signal

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for
from tests.e2e.test_poison import APP, LOOKS, Visitors, ask, crash

COMPANION = f"python {FIXTURE_APPS / 'e2e_companion.py'}"


def status(site):
    return json.loads(site.command("status", "-c", "site.yaml", "--json").stdout)


@pytest.mark.drill
def test_an_upgrade_knows_suspects_numbers_companions_and_rules(daemon):
    daemon.write("app.py", APP)
    daemon.site(
        workers={"min": 2, "max": 4},
        quarantine="on",
        companions={"mail": COMPANION},
        paths={"/wait": {"threads": 4}},
        rollout={"confirm": "3s"},
        log={"access": "off"},
    )
    daemon.count = 2
    daemon.start()
    daemon.wait_log("companion started")
    with Visitors(daemon, "/wait", "/wait") as visitors:
        visitors.seen(LOOKS)
        crash(daemon)
        daemon.wait_log('quarantined kind="GET /crash"')
        daemon.command("workers", "-c", "site.yaml", "=3", "--wait")
        before = status(daemon)
        mark = daemon.mark()
        daemon.send(signal.SIGUSR2)
        daemon.wait_log("program replaced", since=mark)
        assert ask(daemon, "/crash") == 503
        after = wait_for(lambda: status(daemon), "status of the next program")
        assert [each["kind"] for each in after["suspects"]] == ["GET /crash"]
        assert (after["least"], after["most"]) == (2, 4)
        assert [each["pid"] for each in after["companions"]] == [each["pid"] for each in before["companions"]]
        assert after["totals"]["restarts"]["crash"] == 3
        daemon.wait_log("reload complete", since=mark)
        assert ask(daemon, "/crash") == 503, "the same application"
        visitors.seen(LOOKS)
        daemon.wait_log("companion started", since=mark)
    assert {answer for _, answer in visitors.answers} <= {200, 0}
    assert daemon.log.count(" suspect kind=") == 1
