"""Stacks of real processes: in the log with a head line, and by `superwsgi stacks`."""

import re
import signal

import pytest

APP = """
    import ctypes, os, time

    def sleeps(environ):
        time.sleep(float(environ["QUERY_STRING"] or 30))

    def computes(environ):
        end = time.monotonic() + float(environ["QUERY_STRING"] or 30)
        while time.monotonic() < end:
            pass

    def holds_the_gil(environ):
        ctypes.PyDLL(None).sleep(int(environ["QUERY_STRING"] or 30))

    def crashes(environ):
        ctypes.string_at(0)

    def aborts(environ):
        os.abort()

    def app(environ, start_response):
        view = globals().get(environ["PATH_INFO"].strip("/"))
        if view:
            view(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]
"""


def begin(daemon, **keys):
    daemon.write("app.py", APP)
    daemon.site(**{"workers": 1, **keys})
    return daemon.start()


class TestInTheLog:
    @pytest.mark.parametrize("threads", [2, 150])
    @pytest.mark.parametrize(
        ("path", "what"), [("/crashes", "Segmentation fault"), ("/aborts", "Aborted")], ids=["segv", "abort"]
    )
    def test_a_fatal_error_has_a_head_line_with_its_request(self, daemon, path, what, threads):
        site = begin(daemon, threads=threads)
        (worker,) = site.wait_workers(1)
        sock = site.connect()
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        said = site.wait_log(r"(?m)^\S+ error +(.*) fatal error what=(.*)\n((?:    .*\n)+)\S+ .* died how=")
        sock.close()
        assert said[1].endswith(f"worker=1 gen=1 pid={worker}")
        assert re.fullmatch(rf'"?{what}"? in_hand="GET {path} [\d.]+m?s"', said[2])
        assert said[3].startswith(f"    Fatal Python error: {what}\n")
        assert 'app.py", line' in said[3]
        assert site.log.count("Fatal Python error") == 1

    def test_a_signal_by_hand(self, daemon):
        site = begin(daemon, threads=2)
        (worker,) = site.wait_workers(1)
        site.send(signal.SIGUSR2, worker)
        site.wait_log(rf"worker=1 gen=1 pid={worker} stacks why=SIGUSR2\n    (Current t|T)hread 0x")
        site.send(signal.SIGUSR2, site.mold())
        site.wait_log(rf"gen=1 pid={site.mold()} stacks why=SIGUSR2\n    (Current t|T)hread 0x")
        assert int(site.get("/").text) == worker

    def test_a_worker_that_hangs(self, daemon):
        site = begin(daemon, threads=2, timeouts={"request": "3s"})
        (worker,) = site.wait_workers(1)
        sock = site.connect()
        sock.sendall(b"GET /holds_the_gil HTTP/1.1\r\nHost: x\r\n\r\n")
        said = site.wait_log(rf"pid={worker} stacks why=hangs\n((?:    .*\n)+)")
        sock.close()
        assert "in holds_the_gil" in said[1]
        site.wait_log(rf"pid={worker} killed .*(?s:.)*pid={worker} ended")

    @pytest.mark.parametrize("preload", ["auto", False])
    def test_an_import_that_hangs(self, daemon, preload):
        daemon.write("app.py", "import time\ntime.sleep(60)\n")
        daemon.site(preload=preload, timeouts={"boot": "2s"})
        daemon.start(ready=False)
        said = daemon.wait_log(r'gen=1 pid=\d+ stacks why="still booting"\n((?:    .*\n)+)')
        assert "app.py" in said[1]
        assert daemon.wait_exit() == 3

    def test_a_worker_that_an_earlier_program_of_the_master_has_started(self, daemon):
        site = begin(daemon, threads=2)
        (worker,) = site.wait_workers(1)
        daemon.write("app.py", "import nothing_of_the_kind\n")  # so that it is not replaced
        site.send(signal.SIGUSR2)
        site.wait_log("program replaced")
        site.wait_log("reload failed")
        assert site.workers() == [worker]
        site.send(signal.SIGUSR2, worker)
        site.wait_log(rf"worker=1 gen=1 pid={worker} stacks why=SIGUSR2\n")
        site.send(signal.SIGSEGV, worker)
        site.wait_log(rf'worker=1 gen=1 pid={worker} fatal error what="Segmentation fault"\n')
