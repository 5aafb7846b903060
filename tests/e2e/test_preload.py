"""`preload`: one import for all workers, unless that would break the application."""

import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for

pytestmark = pytest.mark.drill

COUNTED = (FIXTURE_APPS / "e2e_counted.py").read_text()


@pytest.fixture
def site(daemon):
    daemon.write("app.py", COUNTED)
    return daemon


@pytest.fixture
def exporter(daemon):
    daemon.write("app.py", (FIXTURE_APPS / "e2e_exporter.py").read_text())
    return daemon


def imports(site):
    return (site.folder / "imports").read_text().splitlines()


def test_a_mold_whose_interpreter_hangs_is_ended_by_timeouts_boot(site):
    """Before it can write its stacks; SIGUSR2 asks for them."""
    site.write("slow/sitecustomize.py", "import time\ntime.sleep(60)\n")
    site.site(workers=1, env={"PYTHONPATH": str(site.folder / "slow")}, timeouts={"boot": "1s"})
    site.start(ready=False)
    assert site.wait_exit() == 3
    assert "timeouts.boot" in site.log
    assert "signal 12" not in site.log


@pytest.mark.parametrize(("preload", "count"), [("auto", 1), (True, 1), (False, 3)])
def test_how_often_a_harmless_application_is_imported(site, preload, count):
    site.site(workers=3, preload=preload)
    site.start()
    site.wait_workers(3)
    wait_for(lambda: site.log.count(" serving") == 3)
    assert len(imports(site)) == count
    assert "hazard" not in site.log


ECHO = """
    import threading
    from {module} import *
    {made}
    LOCK = threading.Lock()
    def app(environ, start_response):
        said = environ["QUERY_STRING"]
        with LOCK:
            answer = {ask}
        start_response("200 OK", [])
        return [answer.encode()]
"""
SHARED = {
    "a pool of processes": (
        *("concurrent.futures", "POOL = ProcessPoolExecutor(1)", "POOL.submit(str, said).result()"),
        "a pipe made at app.py:4 ",
    ),
    "a child with pipes": (
        "subprocess",
        "CAT = Popen('cat', stdin=PIPE, stdout=PIPE, text=True, bufsize=1)",
        "(CAT.stdin.write(f'{said}\\n'), CAT.stdout.readline())[1].strip()",
        "a child process (cat) started at app.py:4",
    ),
    "a file that is read": (
        "pathlib",
        "FILE = Path(__file__).open()",
        "(FILE.seek(0), FILE.read(), said)[2]",
        "the file app.py opened at app.py:4",
    ),
    "a database": (
        "sqlite3",
        "CON = connect('x.db', check_same_thread=False)",
        "CON.execute('select ?', [said]).fetchone()[0]",
        "the file x.db opened at app.py:4",
    ),
    "a lock": (
        "fcntl",
        "FILE = open('lk', 'w'); flock(FILE, LOCK_SH)",
        "said",
        "a lock on lk made at app.py:4",
    ),
    "a client over UDP": (
        "socket",
        "S = socket(type=SOCK_DGRAM); S.bind(('127.0.0.1', 0)); S.connect(S.getsockname())",
        "(S.send(said.encode()), S.recv(99))[1].decode()",
        "a datagram socket to 127.0.0.1:",
    ),
}


@pytest.mark.parametrize("kind", SHARED)
def test_who_would_share_it_gets_its_own_answers(site, kind):
    module, made, ask, named = SHARED[kind]
    site.write("app.py", ECHO.format(module=module, made=made, ask=ask))
    site.site(workers=2)
    site.start()
    assert named in site.wait_log("gen=1 not preloaded .*").group()
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda n: site.get(f"/?{n}").text, range(60)))
    assert answers == [str(n) for n in range(60)]


def test_check_says_the_same_and_what_to_do(site):
    site.write("app.py", "import os\nP = os.pipe()\ndef app(environ, start_response): pass\n")
    site.site()
    said = site.command("check", "-c", "site.yaml")
    assert said.returncode == 0
    assert "a pipe made at app.py:2 (2 of them) would not survive a fork" in said.stdout
    assert "hooks.after_fork" in said.stdout


def test_check_says_how_to_run_what_only_one_process_may(site):
    site.write(
        "app.py",
        """
        import fcntl

        LOCK = open("lock", "w")
        fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)

        def app(environ, start_response): pass
        """,
    )
    site.site(workers=1)
    said = site.command("check", "-c", "site.yaml").stdout
    assert "a lock on lock made at app.py:5 would not survive a fork" in said
    assert "set `workers: 1` and `rollout: {overlap: no}`" in said
    site.site(workers=1, rollout={"overlap": False})
    assert "set `workers" not in site.command("check", "-c", "site.yaml").stdout


class TestHazards:
    def test_by_default_they_are_named_and_workers_import_the_application(self, exporter):
        exporter.site(workers=2)
        exporter.start()
        line = exporter.wait_log("gen=1 not preloaded .*").group()
        assert "thread 'metrics' started at app.py:22" in line
        assert re.search(r"a listening socket on 127.0.0.1:\d+ made at app.py:14", line)
        assert re.search(r"a connection to 127.0.0.1:\d+ made at app.py:15", line)
        assert 'next="workers import the application themselves"' in line
        assert "metrics" in exporter.get().text

    def test_the_import_sees_the_same_in_mold_and_worker(self, exporter):
        exporter.site(workers=2, umask="0027", env={"SHOP": "1"})
        exporter.start()
        exporter.wait_workers(2)
        seen = wait_for(lambda: s if len(s := imports(exporter)) == 2 else None, "two imports")
        assert len(set(seen)) == 1, seen

    def test_they_are_found_again_in_the_next_generation_alone(self, exporter):
        exporter.site(workers=1, rollout={"confirm": "100ms"})
        exporter.start()
        exporter.wait_log("not preloaded")
        exporter.write("app.py", COUNTED)
        exporter.send(signal.SIGHUP)
        exporter.wait_log("reload complete")
        assert exporter.log.count("not preloaded") == 1

    def test_a_mold_that_is_lost_is_replaced_by_one_that_does_not_import_either(self, exporter):
        exporter.site(workers=1)
        exporter.start()
        mold = exporter.mold()
        mark = exporter.mark()
        exporter.send(signal.SIGKILL, mold)
        exporter.wait_log("mold ready", since=mark)
        assert exporter.log.count("not preloaded") == 1
        assert len(imports(exporter)) == 1

    def test_preload_true_only_warns(self, exporter):
        exporter.site(workers=2, preload=True)
        exporter.start()
        exporter.wait_log("warning.* gen=1 fork hazards .*'metrics'.*next=.workers are forked without them")
        assert len(imports(exporter)) == 1
        assert "metrics" not in exporter.get().text

    def test_a_reload_during_the_look_is_obeyed(self, exporter):
        exporter.site(workers=1)
        exporter.start()
        exporter.send(signal.SIGHUP)
        exporter.wait_log("gen=2 not preloaded")
        assert exporter.stop() == 0

    def test_an_object_that_lives_here_cannot_be_imported_by_workers(self, site):
        site.write(
            "script.py",
            """
            import threading, superwsgi
            threading.Thread(target=threading.Event().wait, name="metrics", daemon=True).start()
            def app(environ, start_response):
                start_response("200 OK", [("Content-Type", "text/plain")])
                return [b"ok"]
            superwsgi.run(app, "127.0.0.1", 0)
            """,
        )
        site.spawn([sys.executable, "script.py"])
        site.wait_log("fork hazards found=.*thread 'metrics' running threading.wait")
        assert site.get().text == "ok"
        assert site.stop() == 0

    def test_a_script_without_any_is_not_warned(self, site):
        site.write(
            "script.py",
            "import superwsgi\nsuperwsgi.run(lambda e, s: s('200 OK', []) and [b'x'] or [b'x'], port=0)\n",
        )
        site.spawn([sys.executable, "script.py"])
        assert site.get().status == 200
        assert "hazard" not in site.log
