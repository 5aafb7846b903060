"""Stacks of real processes: in the log with a head line, and by `superwsgi stacks`."""

import contextlib
import json
import re
import signal
import textwrap
import threading

import psutil
import pytest

from tests.e2e.daemon import IN_ALL_MODELS, wait_for

pytestmark = pytest.mark.drill

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

    def gives_up(environ):
        ctypes.pythonapi.Py_FatalError(b"boom")

    def app(environ, start_response):
        view = globals().get(environ["PATH_INFO"].strip("/"))
        if view:
            view(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]
"""


def begin(daemon, more="", **keys):
    daemon.write("app.py", more + textwrap.dedent(APP))
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
        assert re.fullmatch(rf'"?{what}"? in_hand="GET {path} [0-9a-f]+-\d+ [\d.]+m?s"', said[2])
        assert said[3].startswith(f"    Fatal Python error: {what}\n")
        assert 'app.py", line' in said[3]
        assert site.log.count("Fatal Python error") == 1

    def test_an_interpreter_that_gives_up_has_its_own_words(self, daemon):
        site = begin(daemon)
        with InApplication(site, "/gives_up"):
            site.wait_log(
                r'(?s)Fatal Python error: .*boom.* died how="signal 6 \(SIGABRT\)" requests=0 '
                r'reason="the interpreter gave up; why stands on stderr" .*in_hand="GET /gives_up '
            )

    @pytest.mark.parametrize("preload", ["auto", False])
    def test_also_where_the_application_has_faulthandler_on(self, daemon, preload):
        site = begin(daemon, "import faulthandler\nfaulthandler.enable()\n", preload=preload)
        with InApplication(site, "/crashes"):
            site.wait_log(
                r'worker=1 gen=1 pid=\d+ fatal error what="Segmentation fault" in_hand="GET /crashes '
            )

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
        said = site.wait_log(rf"pid={worker} stacks why=hangs incident=\d+\n((?:    .*\n)+)\S")
        sock.close()
        assert "in holds_the_gil" in said[1]
        site.wait_log(rf"pid={worker} killed .*(?s:.)*pid={worker} ended")

    @pytest.mark.parametrize("preload", ["auto", False])
    def test_an_import_that_hangs(self, daemon, preload):
        daemon.write("app.py", "import time\ntime.sleep(60)\n")
        daemon.site(preload=preload, timeouts={"boot": "15s"})
        daemon.start(ready=False)
        said = daemon.wait_log(r'gen=1 pid=\d+ stacks why="still booting"\n((?:    .*\n)+)\S')
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


class InApplication:
    """Requests of the view that is asked for; those who ask do not wait."""

    def __init__(self, site, path, count=1):
        self.site = site
        self.socks = [site.connect() for _ in range(count)]
        for sock in self.socks:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in self.socks:
            sock.close()


def stacks(site, *words, code=0):
    """The answer, as data."""
    done = site.command("stacks", "-c", "site.yaml", "--json", *words)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)["processes"]


def of_requests(process):
    return [thread for thread in process["threads"] if thread["kind"] == "request"]


def until(site, found, *words):
    """Ask until it is as expected: a request may be on its way. Returns the one process."""

    def asked():
        (process,) = stacks(site, *words)
        return process if found(process) else None

    return wait_for(asked, "such stacks", context=lambda: site.log)


def until_held(site, *words):
    """Ask until faulthandler has answered for one of them. Returns all."""

    def asked():
        processes = stacks(site, *words)
        return processes if any(process["by_faulthandler"] for process in processes) else None

    return wait_for(asked, "stacks of faulthandler", context=lambda: site.log)


class TestTheCommand:
    @IN_ALL_MODELS
    @pytest.mark.parametrize("view", ["sleeps", "computes"])
    def test_each_request_with_its_stack(self, daemon, view):
        site = begin(daemon, threads=3)
        with InApplication(site, f"/{view}?30"):
            process = until(site, of_requests, "1")
            (thread,) = of_requests(process)
            assert {each["kind"] for each in process["threads"] if each["name"] == "MainThread"} <= {"server"}
            assert thread["request"]["method"] == "GET"
            assert thread["request"]["target"] == f"/{view}?30"
            assert 0 <= thread["request"]["seconds"] < 60
            assert re.search(
                rf'File ".*app\.py", line \d+, in app\n(.*\n)+  File .* in {view}\n', thread["stack"]
            )
            said = site.command("stacks", "-c", "site.yaml").stdout
            name = "greenlet" if daemon.model == "green" else "thread"
            assert re.search(rf"  {name}-\d  GET /{view}\?30  \S+-1  [\d.]+m?s\n    File ", said)
            assert ("3 threads wait for requests" in said) == (daemon.model == "fixed")

    def test_a_worker_whose_gil_is_held(self, daemon):
        site = begin(daemon, threads=3, workers=2)
        with InApplication(site, "/holds_the_gil?8"):
            processes = until_held(site)
            (held,) = [each for each in processes if each["by_faulthandler"]]
            (other,) = [each for each in processes if not each["by_faulthandler"]]
            assert held["note"].startswith("the interpreter is held")
            assert [request["target"] for request in held["in_hand"]] == ["/holds_the_gil?8"]
            (thread,) = [each for each in held["threads"] if each["kind"] != "server"]
            assert "in holds_the_gil\n" in thread["stack"]
            assert (other["note"], len(other["threads"]) >= 4) == ("", True)
        assert "stacks why=" not in site.log

    def test_a_worker_that_is_stopped(self, daemon):
        site = begin(daemon, threads=2)
        (worker,) = site.wait_workers(1)
        site.send(signal.SIGSTOP, worker)
        try:
            wait_for(lambda: psutil.Process(worker).status() == psutil.STATUS_STOPPED, "stop")
            (process,) = stacks(site, str(worker))
            assert process["note"].startswith("stopped by a signal") or process["pid"] != worker
        finally:
            with contextlib.suppress(ProcessLookupError):
                site.send(signal.SIGCONT, worker)

    @pytest.mark.parametrize("preload", ["auto", False])
    def test_an_import_that_goes_on(self, daemon, preload):
        daemon.write("app.py", "import time\n\ndef loads():\n    time.sleep(60)\n\nloads()\n")
        daemon.site(preload=preload, workers=1)
        daemon.start(ready=False)
        daemon.wait_log("listening")
        process = wait_for(
            lambda: next((each for each in stacks(daemon) if "in loads" in str(each)), None), "import"
        )
        assert process["number"] == (None if preload else 1)
        assert process["state"] == ("importing" if preload else "booting")
        (thread,) = [each for each in process["threads"] if each["kind"] == "application"]
        assert re.search(r'app\.py", line 6 in <module>\n  File .* line 4 in loads\n$', thread["stack"])

    @IN_ALL_MODELS
    def test_many_threads(self, daemon):
        site = begin(daemon, threads=150)
        with InApplication(site, "/sleeps?30", 150):

            def places(process):
                return {thread["stack"] for thread in of_requests(process)}

            # one may have begun and not yet slept
            process = until(site, lambda it: len(of_requests(it)) == 150 and len(places(it)) == 1, "1")
            assert len({thread["request"]["id"] for thread in of_requests(process)}) == 150
            said = site.command("stacks", "-c", "site.yaml", "1").stdout
            assert "  and 130 more:\n" in said
            assert len(said.splitlines()) < 40

    def test_what_is_not_there(self, daemon):
        site = begin(daemon)
        done = site.command("stacks", "-c", "site.yaml", "7")
        assert done.returncode == 1
        assert done.stderr.endswith("no worker 7; there are: 1, mold\n")
        done = site.command("stacks", "-c", "site.yaml", "mold")
        assert done.returncode == 0
        assert done.stdout.endswith("loaded: waits to fork workers, in code of the server\n")
        assert site.stop() == 0
        assert site.command("stacks", "-c", "site.yaml").returncode == 2

    def test_nobody_is_disturbed(self, daemon):
        """A client that asks in turn, as fast as it can, and stacks meanwhile."""
        site = begin(daemon, threads=4)
        asked, problems, done = [], [], threading.Event()

        def load():
            client = site.client()
            while not done.is_set():
                client.request("GET", "/")
                answer = client.getresponse()
                answer.read()
                asked.append(answer.status)
            client.close()

        clients = [threading.Thread(target=load) for _ in range(2)]
        for client in clients:
            client.start()
        for _ in range(5):
            problems += [each["note"] for each in stacks(site) if each["note"]]
        done.set()
        for client in clients:
            client.join()
        assert set(asked) == {200}
        assert problems == []
        assert not re.search("error|warning", site.log)

    def test_after_an_upgrade(self, daemon):
        site = begin(daemon, threads=2)
        (worker,) = site.wait_workers(1)
        daemon.write("app.py", "import nothing_of_the_kind\n")  # so that it is not replaced
        with InApplication(site, "/holds_the_gil?6"):
            until_held(site)
            site.send(signal.SIGUSR2)
            site.wait_log("program replaced")
            site.wait_log("reload failed")
            process = until(site, lambda process: not process["by_faulthandler"], "1")
            assert process["pid"] == worker
        assert "impossible message" not in site.log
