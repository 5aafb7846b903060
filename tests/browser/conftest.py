"""Debian's chromium without a screen, driven by its chromedriver. Each test ends without an error on the
browser's console, and no process is left.
"""

import contextlib

import psutil
import pytest

from tests.browser.page import OPTIONS, Page
from tests.e2e.daemon import is_alive, wait_for
from tests.tools import needed, needed_package


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    needed_package("selenium")
    program, driver = needed("chromium"), needed("chromedriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    driven = psutil.Process(started.service.process.pid)
    family = [driven, *driven.children(recursive=True)]
    yield started
    started.quit()
    end(family)


def end(family):
    """Whatever of the browser has not ended by itself."""
    for each in family:
        with contextlib.suppress(psutil.Error):
            each.kill()
    wait_for(lambda: not any(map(is_alive, family)), "end of the browser")


@pytest.fixture
def page(browser):
    page = Page(browser)
    yield page
    said = page.complaints()
    page.leave()
    assert not said
