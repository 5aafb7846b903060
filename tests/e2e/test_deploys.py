"""Deploy after deploy under load, good ones and broken ones: a deploy is a non-event."""

from __future__ import annotations

import pytest

from tests.e2e.load import Load

pytestmark = pytest.mark.drill

GOOD = """
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"{number}"]
"""
BROKEN = "from nowhere import app\n"
RAISES = """
    def app(environ, start_response):
        raise RuntimeError("first request")
"""
EXITS = """
    import os
    def app(environ, start_response):
        os._exit(5)
"""


@pytest.mark.parametrize(("preload", "fails"), [(True, RAISES), (False, EXITS)])
def test_ten_in_a_row(daemon, preload, fails):
    """Every third is broken, every fifth fails at its first request."""
    daemon.write("app.py", GOOD.format(number=0))
    daemon.site(workers=2, preload=preload, warmup=["/"], rollout={"confirm": "100ms"}, log={"access": "off"})
    daemon.start()
    kept = Load(daemon.address, clients=4, pause=0.01)
    new = Load(daemon.address, clients=2, pause=0.01, keep_alive=False)
    serving = b"0"
    with kept, new:
        for number in range(1, 11):
            bad = BROKEN if number % 3 == 0 else fails if number % 5 == 0 else None
            daemon.write("app.py", bad or GOOD.format(number=number))
            done = daemon.command("reload", "--wait", "-c", "site.yaml")
            assert done.returncode == (1 if bad else 0), done
            serving = serving if bad else b"%d" % number
            assert kept.bodies_from_now() | new.bodies_from_now() == {serving}
    assert kept.broken == new.broken == []
    print(f"{len(kept.answers) + len(new.answers)} answers, p99 {kept.p99() * 1e3:.1f} ms")


@pytest.mark.parametrize("ends", ["os._exit(5)", "ctypes.string_at(0)"])
def test_code_whose_first_request_ends_the_worker(daemon, ends):
    """Without `warmup` it is clients who find out, but only those that max_failures workers had in hand."""
    daemon.write("app.py", GOOD.format(number=0))
    daemon.site(workers=2, rollout={"confirm": "30s", "max_failures": 3}, log={"access": "off"})
    daemon.start()
    clients = 6
    with Load(daemon.address, clients, pause=0.005, keep_alive=False) as load:
        daemon.write("app.py", f"import ctypes, os\ndef app(environ, start_response):\n    {ends}\n")
        done = daemon.command("reload", "--wait", "-c", "site.yaml")
        assert done.returncode == 1, done
        assert load.bodies_from_now() == {b"0"}
    assert 1 <= len(load.broken) <= 3 * clients
    print(f"{len(load.broken)} broken of {len(load.answers)}")
