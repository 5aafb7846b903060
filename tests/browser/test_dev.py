"""A page of a site that is being developed, while its code is broken and mended and nobody clicks."""

import pytest

from tests.browser.page import DEADLINE
from tests.e2e.daemon import wait_for
from tests.e2e.development import Dev, hello

HTML = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html")])
    return [b"<title>x</title>", TEXT]
"""


@pytest.fixture
def dev(tmp_path):
    (tmp_path / "project").mkdir()
    dev = Dev(tmp_path / "project")
    yield dev
    dev.clean_up()


def wait_shown(page, text):
    wait_for(lambda: text in page.everything(), text, DEADLINE, page.everything)


def test_it_shows_what_is_wrong_now_and_goes_once_nothing_is(page, dev):
    dev.write("app.py", f"TEXT = b'all is well'{HTML}")
    dev.start("app:app")
    host, port = dev.address
    page.open(f"http://{host}:{port}/")
    wait_shown(page, "all is well")
    mark = dev.edit("app.py", "import nothing_like_it\n")
    dev.wait_log("goes on serving", mark)
    page.open(f"http://{host}:{port}/")
    wait_shown(page, "The newest code does not run")
    wait_shown(page, "No module named 'nothing_like_it'")
    dev.edit("app.py", "x = (\n")
    wait_shown(page, "'(' was never closed")
    dev.edit("app.py", f"TEXT = b'all is well again'{HTML}")
    wait_shown(page, "all is well again")


def test_a_broken_start(page, dev):
    dev.write("app.py", "app = undefined\n")
    dev.start("app:app")
    host, port = dev.address
    page.open(f"http://{host}:{port}/", dark=True)
    wait_shown(page, "name 'undefined' is not defined")
    dev.edit("app.py", hello("mended"))
    wait_shown(page, "mended")
