"""The page of a real site: what happens to the site is seen, and what is clicked happens."""

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.browser.page import ESCAPE
from tests.e2e.admin import TOKEN, admin_process, port
from tests.e2e.daemon import Daemon, wait_for
from tests.e2e.wire import Wire

APP = """
    import ctypes, time

    def report(seconds):
        time.sleep(seconds)

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/crash":
            ctypes.string_at(0)
        if path.startswith("/report"):
            report(60)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"well"]
"""


class Site(Daemon):
    """One with an admin process."""

    @property
    def page(self):
        self.wait_log("admin ready")
        return f"http://127.0.0.1:{port(self)}/"


@pytest.fixture
def site(tmp_path):
    daemon = Site(tmp_path)
    daemon.write("app.py", APP)
    daemon.site(workers=2, threads=4, admin={"bind": "127.0.0.1:0", "token": TOKEN})
    daemon.start()
    yield daemon
    daemon.clean_up()


@pytest.fixture
def seen(page, site):
    """The page of that site."""
    page.open(site.page)
    page.wait("#live", "live")
    page.wait_number(".lane", 2)
    yield page
    page.leave()


@contextmanager
def asked(site, path):
    """A request that is in the application meanwhile."""
    with Wire(site.connect()) as wire:
        wire.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield wire


def test_what_runs_is_seen_without_its_query(seen, site):
    with asked(site, "/report/42?secret=1"):
        seen.wait(".cell.busy", "GET /report/42", "s")
        assert "secret" not in seen.everything()
    seen.wait("#figures", "Requests/s")


def test_a_crash_is_in_the_time_line_and_opens_to_what_why_says(seen, site):
    with asked(site, "/crash"):
        seen.wait(".mark.death, .mark.incident")
    seen.wait("#incidents", "died", "SIGSEGV", "GET /crash")
    seen.click(".mark")
    seen.wait("#sheet", "died", "signal 11 (SIGSEGV)", "GET /crash", "1 request lost", "app.py")
    why = site.command("why", "-c", "site.yaml", "--json")
    assert "GET" in why.stdout
    seen.press(ESCAPE, "#sheet-content")


def test_a_worker_more_is_a_lane_more(seen, site):
    seen.click("#do-more")
    seen.give_token("not-the-token-of-this-site")
    seen.wait("#ask .wrong", "admin.token")
    assert len(site.workers()) == 2
    seen.give_token(TOKEN)
    seen.wait_number(".lane", 3)
    seen.wait(".task.done", "Add a worker")
    seen.click("#do-fewer")
    seen.click("#ask button[type=submit]")
    seen.wait_number(".lane", 2)


def test_a_worker_is_recycled_and_killed(seen, site):
    before = site.workers()
    seen.click("[aria-label='Recycle worker 1']")
    seen.give_token(TOKEN)
    seen.wait(".task.done", "Recycle worker 1", "complete")
    seen.wait(".mark.recycle")
    assert len({*before} & {*site.workers()}) == 1
    seen.click("[aria-label='Kill worker 2']")
    seen.click("#ask button[type=submit]")
    wait_for(lambda: not {*before} & {*site.workers()}, "another worker 2")
    seen.wait("#incidents", "worker 2")


def test_a_reload_that_fails_says_why(seen, site):
    site.write("app.py", "import nowhere_to_be_found\n")
    seen.click("#do-reload")
    seen.click("#ask button[type=submit]")
    seen.give_token(TOKEN)
    seen.wait(".task.failed", "failed", "nowhere_to_be_found")
    seen.wait("#health", "degraded")
    site.write("app.py", APP)
    seen.click("#do-reload")
    seen.click("#ask button[type=submit]")
    seen.wait(".task.done", "complete")
    seen.wait("#facts", "generation 3")
    seen.wait(".mark.reload, .mark.incident")


def test_stacks_are_shown(seen, site):
    with asked(site, "/report/7"):
        seen.wait(".cell.busy", "GET /report/7")
        seen.click("#do-stacks")
        seen.give_token(TOKEN)
        seen.wait("#sheet", "GET /report/7", "in report", "time.sleep(seconds)")


def test_a_profile_opens_as_a_document_that_may_run_its_script(seen, site):
    with asked(site, "/report/7"):
        seen.wait(".cell.busy", "GET /report/7")
        seen.click("#do-profile")
        seen.fill("seconds", "1")
        seen.click("#ask button[type=submit]")
        seen.give_token(TOKEN)
        seen.wait(".task.done a", "Open the flame graph")
    seen.click(".task.done a")
    wait_for(lambda: len(seen.driver.window_handles) == 2, "another tab")
    seen.driver.switch_to.window(seen.driver.window_handles[1])
    seen.wait("body", "report")
    assert seen.complaints() == []


def test_the_configuration_says_where_each_value_comes_from(seen, site):
    seen.wait("#config", "workers", "site.yaml:", "default")
    assert TOKEN not in seen.run("return document.documentElement.outerHTML")


def test_the_admin_process_killed_the_page_recovers_and_the_site_is_not_touched(seen, site):
    before = site.workers()
    admin_process(site).kill()
    seen.wait("#live.lost", "disconnected, retrying")
    seen.wait("#live:not(.lost)", "live")
    assert site.workers() == before
    assert site.get("/").text == "well"


def test_the_master_is_upgraded_and_the_page_goes_on(seen, site):
    assert site.command("upgrade", "--wait", "-c", "site.yaml").returncode == 0
    seen.wait("#facts", "generation 2")
    seen.wait("#live:not(.lost)", "live")
    seen.wait_number(".lane", 2)
    seen.wait(".mark.reload")


def test_without_a_token_in_the_site_file_nobody_is_asked_for_one(page, tmp_path):
    site = Site(tmp_path)
    site.write("app.py", APP)
    site.site(workers=1, admin={"bind": "127.0.0.1:0"})
    site.start()
    try:
        page.open(site.page)
        page.click("#do-more")
        page.wait(".task.failed", "admin.token, which is not set")
        assert page.texts("#ask") == []
        page.leave()
    finally:
        site.clean_up()


class TestAnotherOrigin:
    @pytest.fixture
    def elsewhere(self, page):
        """A page on another port, and so of another origin."""

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><link rel=icon href=data:,><title>elsewhere</title>")

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            yield page.open(f"http://127.0.0.1:{server.server_port}/")
            page.leave()
            server.shutdown()
            thread.join()

    def test_may_not_fetch(self, elsewhere, site):
        for path in ("api/status", "api/events", "metrics"):
            assert elsewhere.look("fetched", site.page + path) == "TypeError"
            opaque = elsewhere.look("fetched", site.page + path, {"mode": "no-cors"})
            assert opaque in (0, "TypeError")  # nothing of it can be read
        posted = {"method": "POST", "body": "{}", "headers": {"Authorization": f"Bearer {TOKEN}"}}
        assert elsewhere.look("fetched", site.page + "api/reload", posted) == "TypeError"
        elsewhere.complaints()
        assert "reload" not in re.sub(r"(?m)^.*admin.*$", "", site.log)

    def test_may_not_post_a_form(self, elsewhere, site):
        elsewhere.run(
            "const form = document.createElement('form');"
            "Object.assign(form, {method: 'POST', action: arguments[0], enctype: 'text/plain'});"
            "document.body.append(form); form.submit()",
            site.page + "api/workers",
        )
        elsewhere.wait("body", "error", "origin")
        assert len(site.workers()) == 2
