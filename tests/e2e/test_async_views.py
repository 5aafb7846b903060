"""Asynchronous views, many at once in one worker: each has an event loop of its own."""

import contextlib

from tests.e2e.daemon import FIXTURE_APPS, IN_ALL_MODELS, wait_for
from tests.tools import needed_package

VIEWS = [f"{kind}/{number}" for number, kind in enumerate(["flask", "django", "run"] * 7)]


@IN_ALL_MODELS
def test_all_wait_at_once(daemon):
    needed_package("asgiref")
    (daemon.folder / "e2e_async.py").write_text((FIXTURE_APPS / "e2e_async.py").read_text())
    apps = {"/": "e2e_async:flask", "/django": "e2e_async:django"}
    daemon.site(app=None, apps=apps, workers=1, threads=len(VIEWS), limits={"queue": 0})
    daemon.start()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(daemon.client(60))) for _ in VIEWS]
        for view, client in zip(VIEWS, clients, strict=True):
            client.request("GET", f"/{view}")
        wait_for(
            lambda: len([*daemon.folder.glob("inside-*")]) == len(VIEWS), "all", context=lambda: daemon.log
        )
        daemon.write("go", "")
        answers = [client.getresponse().read().decode() for client in clients]
        assert answers == [view.partition("/")[2] for view in VIEWS], daemon.log
    assert daemon.stop() == 0
