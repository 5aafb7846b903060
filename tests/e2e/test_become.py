"""No import is in vain: a mold that must not be forked becomes a worker."""

import signal

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for

pytestmark = pytest.mark.drill

COUNTED = (FIXTURE_APPS / "e2e_counted.py").read_text()


@pytest.fixture
def site(daemon):
    daemon.write("app.py", COUNTED)
    return daemon


def imports(site):
    return (site.folder / "imports").read_text().splitlines()


def hazardous(site, text=""):
    """An application with a fork hazard, that counts its imports and says who answers."""
    site.write("app.py", COUNTED + "import socket\nPAIR = socket.socketpair()\n" + text)


def test_the_first_worker_is_the_process_that_imported_first(site):
    hazardous(site)
    site.site(workers=2)
    site.start()
    first, second = map(int, imports(site))
    assert {first, second} == set(site.workers())
    assert f"worker=1 gen=1 pid={first} serving" in site.log


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_replaced_by_a_worker_that_imports(site, number):
    hazardous(site)
    site.site(workers=1)
    site.start()
    site.wait_log("mold ready")
    (first,) = site.workers()
    mark = site.mark()
    site.send(number, first)
    site.wait_log("serving", since=mark)
    assert len(imports(site)) == 2
    assert int(imports(site)[1]) == int(site.get().text)
    assert site.stop() == 0


def test_a_reload_serves_what_its_mold_has_imported(site):
    hazardous(site)
    site.site(workers=2)
    site.start()
    site.reload()
    assert len(imports(site)) == 4
    assert set(map(int, imports(site)[2:])) == set(site.wait_workers(2))
    assert site.stop() == 0


def test_a_roll_back_from_it_goes_on_with_the_old_generation(site):
    site.site(workers=2)
    site.start()
    hazardous(site, "import threading\nthreading.Timer(0.2, os._exit, [9]).start()\n")
    old = set(site.wait_workers(2))
    site.reload("reload failed gen=2")
    wait_for(lambda: set(site.workers()) == old, "the old workers alone", context=lambda: site.log)
    assert site.get().status == 200
    assert site.stop() == 0


def test_one_that_is_lost_before_it_serves_costs_its_import_alone(site):
    hazardous(site, "if len(open('imports').readlines()) == 1:\n    os.kill(os.getpid(), 9)\n")
    site.site(workers=1)
    site.start(ready=False)
    assert site.wait_exit() == 3


def test_after_the_loss_of_an_earlier_mold_it_ends(site):
    site.site(workers=1)
    site.start()
    mold = site.mold()
    hazardous(site)
    mark = site.mark()
    site.send(signal.SIGKILL, mold)
    site.wait_log("(?s)not preloaded.*mold ready", since=mark)
    wait_for(lambda: len(site.children()) == 2, "one worker and one mold", context=lambda: site.log)
    assert site.stop() == 0
