"""Children of the application: what they inherit of ours, and what reaches us of them."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for

APP = (FIXTURE_APPS / "e2e_children.py").read_text()

OURS = [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU]
OURS += [signal.SIGTERM, signal.SIGQUIT, signal.SIGALRM, signal.SIGCHLD]


def among(mask, numbers=OURS):
    """Those of the signals that are in a mask of /proc/<pid>/status."""
    return {number for number in numbers if mask >> (number - 1) & 1}


def begin(daemon, app=APP, **keys):
    daemon.write("app.py", app)
    daemon.site(**{"workers": 1, **keys})
    daemon.start()
    return daemon


@pytest.fixture(params=["auto", False])
def site(daemon, request):
    """One whose workers are forked from the import, and one whose workers import."""
    return begin(daemon, preload=request.param)


class TestForked:
    def test_it_has_default_signals_and_nothing_of_ours_open(self, site):
        child = site.get("/fork").json()
        worker = site.get("/self").json()
        assert among(worker["SigCgt"]) >= {signal.SIGTERM, signal.SIGUSR2}
        assert among(child["SigCgt"]) == {signal.SIGINT}  # Python's own, which raises KeyboardInterrupt
        assert among(child["SigIgn"]) == set()
        assert child["SigBlk"] == 0
        # The standard ones, the error log, and the pipe that it was made with.
        kinds = sorted(what.partition(":")[0] for what in child["fds"].values())
        assert kinds == ["/dev/null", *[str(site.log_file)] * 3, "pipe", "pipe"]
        assert "fork of" in child["title"]

    def test_what_it_is_told_to_do_does_not_reach_its_worker(self, site):
        worker = site.get("/pid").json()
        for _ in range(10):
            assert site.get("/terminate").json() == -signal.SIGTERM
        assert site.get("/pid").json() == worker
        assert "draining" not in site.log

    def test_pools_from_several_threads_at_once(self, daemon):
        site = begin(daemon)
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda _: site.get("/pool", timeout=60).json(), range(100)))
        assert answers == [[0, 1, 4, 9, 16]] * 100
        assert "error" not in site.log

    @pytest.mark.parametrize(("how", "code"), [("returns", 1), ("raises", 1), ("exits", 7)])
    def test_it_does_not_answer_in_the_place_of_its_parent(self, daemon, how, code):
        site = begin(daemon, threads=2)
        connection = site.client()
        for _ in range(5):
            connection.request("GET", f"/{how}")
            assert connection.getresponse().read() == str(code).encode()
        connection.close()
        assert site.get("/pid").status == 200
        assert site.log.count("forked child came back") == (0 if how == "exits" else 5)
        assert site.log.count("ValueError: in the child\n") == (5 if how == "raises" else 0)
        assert "request failed" not in site.log
        assert site.stop() == 0
        assert f"requests={6}" in site.log

    def test_nor_in_the_middle_of_an_answer(self, daemon):
        assert begin(daemon).get("/streams").text == "begun, and the child ended with 1"

    def test_one_that_comes_back_from_an_import_or_a_hook_ends(self, daemon):
        hook = "\ndef after_fork():\n    os.fork()\nos.fork()\n"
        site = begin(daemon, APP + hook, hooks={"after_fork": "app:after_fork"}, workers=2)
        wait_for(
            lambda: site.log.count("forked child came back") == 3, "three children", context=lambda: site.log
        )
        assert len(site.wait_workers(2)) == 2
        assert site.get("/pid").status == 200

    def test_it_keeps_no_client_waiting_for_the_end_of_its_connection(self, daemon):
        site = begin(daemon)
        with site.connect() as early, site.connect() as late:
            early.sendall(b"GET /child HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in early.recv(4096)
            assert early.recv(4096) == b""
            late.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in late.recv(4096)
            assert late.recv(4096) == b""
