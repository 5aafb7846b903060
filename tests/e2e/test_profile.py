"""`superwsgi profile` of real sites, by its answers."""

import json
import re
import signal
import subprocess
import threading

import pytest

from tests.e2e.daemon import COMMAND, heed_interrupts, wait_for
from tests.tools import reads_frames

pytestmark = [pytest.mark.drill, reads_frames]

APP = """
    import ctypes, os, sys, threading, time
    from flask import Flask

    app = Flask(__name__)

    took = {"naps": 0.0, "crunches": 0.0}

    def naps(seconds):
        time.sleep(seconds)

    def crunches(seconds):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    @app.get("/report/<int:number>")
    def report(number):
        began = time.monotonic()
        naps(0.03)
        slept = time.monotonic()
        crunches(0.03)
        took["naps"] += slept - began
        took["crunches"] += time.monotonic() - slept
        return "done"

    @app.get("/took")
    def tell():
        return took

    @app.get("/wait")
    def wait():
        naps(60)
        return "waited"

    @app.get("/hold")
    def hold():
        usleep = ctypes.PyDLL(None).usleep
        for _ in range(5):  # who waits for the GIL after one of them finds it here, or in the next
            usleep(200_000)
        return "held"

    @app.get("/deep")
    def deep():
        return goes_down(900)

    def goes_down(depth):
        return goes_deeper(depth - 1) if depth > 0 else naps(60)

    def goes_deeper(depth):
        return goes_down(depth - 1)

    @app.get("/pid")
    def pid():
        return str(os.getpid())

    @app.get("/interval")
    def interval():
        return str(sys.getswitchinterval())
"""


@pytest.fixture
def site(daemon):
    return begin(daemon)


def begin(daemon, **keys):
    daemon.write("app.py", APP)
    daemon.site(**{"workers": 1, "threads": 6, "timeouts": {"graceful": "1s"}, **keys})
    return daemon.start()


class Load:
    """Clients that ask in turn until the end; each has a connection."""

    def __init__(self, site, path, count=1):
        self.site, self.path = site, path
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(count)]

    def ask(self):
        client = self.site.client()
        while not self.ended.is_set():
            try:
                client.request("GET", self.path)
                client.getresponse().read()
            except OSError:
                client.close()
        client.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()


class InApplication:
    """Requests whose answers nobody waits for."""

    def __init__(self, site, path, count=1):
        self.socks = [site.connect() for _ in range(count)]
        for sock in self.socks:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        busy = f'"busy":{count},'
        wait_for(
            lambda: busy in site.command("status", "-c", "site.yaml", "--json").stdout.replace(" ", ""), path
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in self.socks:
            sock.close()


def profile(site, *words, code=0):
    done = site.command("profile", "-c", "site.yaml", "--seconds", "1", *words)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def collapsed(site, *words):
    """Seconds by stack, and what was said on stderr."""
    done = profile(site, "--format", "collapsed", *words)
    lines = (line.rpartition(" ") for line in done.stdout.splitlines())
    return {stack: int(micros) / 1e6 for stack, _, micros in lines}, done.stderr


def share(stacks, name):
    return sum(seconds for stack, seconds in stacks.items() if f";{name} (" in stack) / sum(stacks.values())


class TestWhatItFinds:
    def test_a_view_that_sleeps_in_one_helper_and_computes_in_another(self, site):
        with Load(site, "/report/7"):
            stacks, said = collapsed(site, "--seconds", "4")
        assert said == ""
        assert {stack.partition(";")[0] for stack in stacks} == {"GET /report/*"}
        assert share(stacks, "report") > 0.8
        took = site.get("/took").json()
        for name, seconds in took.items():
            assert share(stacks, name) == pytest.approx(seconds / sum(took.values()), abs=0.2)

    def test_only_what_computes(self, site):
        with Load(site, "/report/7"):
            stacks, _ = collapsed(site, "--cpu", "--seconds", "4")
        assert share(stacks, "crunches") > 0.6
        assert share(stacks, "naps") < 0.2

    def test_the_text_names_the_guilty_line(self, site):
        with InApplication(site, "/wait", 2):
            said = profile(site).stdout
        lines = (site.folder / "app.py").read_text().splitlines()
        guilty = 1 + lines.index("    time.sleep(seconds)")
        assert re.search(r"(?m)^GET /wait  100\.0% of the time in requests, ", said)
        assert re.search(rf"(?m)^  100\.0%  100\.0%  naps +…?\S*app\.py:{guilty}$", said)
        assert re.search(r"\d+ of \d+ samples, ", said)
        assert said.endswith("as a flame graph: superwsgi profile site -o profile.html\n")
        assert max(map(len, said.splitlines()[:6])) <= 80

    def test_only_some_paths_and_workers(self, site):
        with InApplication(site, "/wait"), Load(site, "/report/7"):
            stacks, _ = collapsed(site, "--path", "/report", "1")
        assert {stack.partition(";")[0] for stack in stacks} == {"GET /report/*"}

    def test_a_deep_recursion(self, site):
        with InApplication(site, "/deep"):
            stacks, _ = collapsed(site)
        assert share(stacks, "naps") == share(stacks, "deep") == 1.0

    def test_a_worker_whose_gil_is_held(self, site):
        with Load(site, "/hold"):
            done = profile(site)
        assert re.search(r"(?m)%  hold  +\S*app\.py:\d+$", done.stdout)
        assert "late samples: C code held the interpreter meanwhile" in done.stdout

    def test_nobody_is_there(self, site):
        assert profile(site).stdout.startswith("no request was in the application within 1s\n")
        assert float(site.get("/interval").text) == 0.005
        assert not re.search("error|warning", site.log)


class TestWhatItWrites:
    def test_files_by_their_endings(self, site):
        with InApplication(site, "/wait"):
            for name in ("graph.html", "speedscope.json", "stacks.txt"):
                assert profile(site, "-o", name, "--seconds", "1").stderr == f"written to {name}\n"
        assert "<title>Profile</title>" in (site.folder / "graph.html").read_text()
        assert json.loads((site.folder / "speedscope.json").read_text())["profiles"][0]["weights"]
        assert re.search(
            r"(?m)^GET /wait;.*;naps \(.*app\.py:\d+\) \d+$", (site.folder / "stacks.txt").read_text()
        )

    def test_what_is_refused_at_once(self, site):
        assert "does not say its format" in profile(site, "-o", "graph.pdf", code=2).stderr
        said = profile(site, "-o", "missing/graph.html", code=1).stderr
        assert said == "superwsgi: missing/graph.html cannot be written: No such file or directory\n"
        assert profile(site, "7", code=1).stderr.endswith("no worker 7; there are: 1\n")
        assert "--path begins with /" in profile(site, "--path", "report", code=2).stderr
        assert not (site.folder / "graph.pdf").exists()


class Meanwhile:
    """A profile that goes on while something else happens."""

    def __init__(self, site, *words):
        self.site = site
        words = ["profile", "-c", "site.yaml", "--format", "collapsed", *words]
        self.process = subprocess.Popen(
            [*COMMAND, *words], cwd=site.folder, env=site.environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_interrupts,
        )  # fmt: skip
        wait_for(lambda: float(site.get("/interval").text) < 0.005, "profile")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def ended(self):
        out, err = self.process.communicate(timeout=60)
        return out, err


class TestMeanwhile:
    def test_a_worker_is_killed(self, site):
        with InApplication(site, "/wait"), Meanwhile(site, "--seconds", "6") as going:
            (killed,) = site.wait_workers(1)
            site.send(signal.SIGKILL, killed)
            wait_for(lambda: site.workers() not in ([killed], []), "another worker")
            with InApplication(site, "/wait"):
                out, err = going.ended()
        assert f"worker 1 (pid {killed}) is not in it: died before it told what it had found" in err
        assert "GET /wait;" in out
        assert going.process.returncode == 0

    def test_a_generation_takes_over(self, site):
        (old,) = site.wait_workers(1)
        with Meanwhile(site, "--seconds", "25") as going, Load(site, "/report/7"):
            assert site.command("reload", "-c", "site.yaml", "--wait").returncode == 0
            out, err = going.ended()
        assert re.search(rf"worker 1 \(pid {old}\) is in it for [\d.]+s only: the worker ended", err)
        assert "GET /report/*;" in out

    def test_one_at_a_time_and_none_once_its_client_has_left(self, site):
        with Meanwhile(site, "--seconds", "300") as going:
            assert "it is being profiled already, for " in profile(site, code=1).stderr
            going.process.send_signal(signal.SIGINT)
            going.ended()
            wait_for(lambda: float(site.get("/interval").text) == 0.005, "end of the profile")
            wait_for(
                lambda: site.command("profile", "--seconds", "1", "-c", "site.yaml").returncode == 0,
                "another",
            )

    def test_the_site_stops(self, site):
        with Meanwhile(site, "--seconds", "60") as going:
            assert site.stop() == 0
            _, err = going.ended()
        assert going.process.returncode == 1 or "is in it for" in err
