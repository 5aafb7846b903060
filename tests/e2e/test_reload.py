"""HUP: new code and configuration take over, or the old ones go on serving."""

import signal
import textwrap

import pytest

from tests.e2e.daemon import IN_ALL_MODELS, saying, wait_for


@pytest.fixture(params=[False, True], ids=["import per worker", "preload"])
def site(daemon, request):
    daemon.write("app.py", saying("one"))
    daemon.preload = request.param
    daemon.site(workers=2, preload=request.param)
    daemon.start()
    daemon.wait_workers(2)
    return daemon


@IN_ALL_MODELS
def test_new_code_takes_over(site):
    before = site.workers()
    site.write("app.py", saying("two"))
    site.reload()
    assert {site.get().text for _ in range(10)} == {"two"}
    assert not set(site.wait_workers(2)) & set(before)


BROKEN = {
    "syntax error": ("def app(:\n", "SyntaxError|invalid syntax"),
    "import error": ("import nosuchmodule\n", "nosuchmodule"),
    "no such attribute": ("x = 1\n", "app"),
    "exits at import": ("import os; os._exit(5)\n", "exit code 5"),
    "sys.exit": ("import sys; sys.exit(5)\n", "SystemExit|exit"),
    "dies early": (
        "import os, threading\nthreading.Timer(0.3, os._exit, [9]).start()\n"
        "def app(e, s):\n    s('200 OK', [])\n    return [b'bad']\n",
        "exit code 9",
    ),
}


def test_broken_code_does_not_take_over(site):
    """One after another, and what is mended does."""
    before = site.workers()
    for how, (code, reason) in BROKEN.items():
        site.write("app.py", code)
        site.reload(f"reload failed.*({reason})|reload failed[^\n]*\n( [^\n]*\n)*[^\n]*({reason})")
        wait_for(lambda: set(site.wait_workers(2)) <= set(before), f"only the old workers: {how}")
        assert {site.get().text for _ in range(10)} == {"one"}, how
    site.write("app.py", saying("mended"))
    site.reload()
    assert {site.get().text for _ in range(10)} == {"mended"}


def test_a_worker_killed_while_the_disk_holds_broken_code(site):
    site.write("app.py", "import nosuchmodule\n")
    before = site.workers()
    site.send(signal.SIGKILL, before[0])
    if site.preload:
        wait_for(lambda: before[0] not in site.workers() and len(site.workers()) == 2, "replacement")
    else:
        site.wait_log("nosuchmodule")
    assert {site.get().text for _ in range(10)} == {"one"}


def test_a_broken_configuration_does_not_take_over(site):
    before = site.workers()
    for text, reason in (
        ("threads: eight", "site.yaml:"),
        ("wrokers: 3", "workers"),
        ("workers: [", "site.yaml:"),
        ("chdir: nowhere", "nowhere"),
        ("user: nobody-of-that-name", "nobody-of-that-name"),
        ("log: {error: nowhere/error.log}", "nowhere"),
    ):
        site.site(text, preload=site.preload)
        site.reload(f"reload (refused|failed)[^\n]*(\n [^\n]*)*{reason}")
        assert site.wait_workers(2) == before, text
        assert site.get().text == "one", text


def test_an_address_in_use_does_not_take_over(site):
    host, port = site.address
    other = site.connect()
    taken = other.getsockname()[1]
    site.site(workers=2, bind=[f"{host}:{port}", f"{host}:{taken}"])
    site.reload("reload refused")
    other.close()
    assert site.get().text == "one"


@IN_ALL_MODELS
def test_another_worker_count_takes_over(site):
    site.site(workers=3, preload=site.preload)
    site.reload()
    site.wait_workers(3)
    site.site(workers=1, preload=site.preload)
    site.reload()
    site.wait_workers(1)
    assert site.get().text == "one"


def test_an_application_that_never_loads_is_given_up(site):
    site.write("app.py", "import time\ntime.sleep(60)\n")
    site.site(workers=2, preload=site.preload, timeouts={"boot": "1s"})
    site.reload(r"reload failed.*timeouts\.boot")
    assert site.get().text == "one"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_the_middle_of_a_reload_is_obeyed(site, number):
    site.write("app.py", "import time\ntime.sleep(60)\n")
    site.reload("reload begun")
    assert site.stop(number) == 0


@IN_ALL_MODELS
def test_a_worker_that_dies_during_a_reload_is_replaced(site):
    site.write("app.py", "import time\ntime.sleep(1.5)\n" + textwrap.dedent(saying("two")))
    before = site.workers()
    mark = site.mark()
    site.reload("reload begun")
    site.send(signal.SIGKILL, before[1])
    site.wait_log("reload complete", since=mark)
    assert {site.get().text for _ in range(10)} == {"two"}
    site.wait_workers(2)


def test_two_reloads_in_a_row_end_with_the_newest_code(site):
    site.write("app.py", saying("two"))
    site.send(signal.SIGHUP)
    site.wait_log("reload begun")
    site.write("app.py", saying("three"))
    mark = site.mark()
    site.reload("reload begun")
    site.wait_log("reload complete", since=mark)
    wait_for(lambda: {site.get().text for _ in range(10)} == {"three"}, "the newest code")
