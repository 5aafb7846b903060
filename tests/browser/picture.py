"""Makes the README's picture, page.png, of a real site that is used for some minutes:
`python -m tests.browser.picture [SECONDS]`.
"""

import base64
import contextlib
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from selenium import webdriver

from tests.browser.page import OPTIONS, Page
from tests.browser.test_live import TOKEN, Site

PICTURE = Path(__file__).with_name("page.png")
WIDTH, HEIGHT = 1200, 1130

SHOP = """
    import ctypes, math, random, time

    STEPS = [0.002, 0.004, 0.008, 0.03]

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/thumb/9f3c.png":
            ctypes.string_at(0)
        time.sleep(random.choice(STEPS) if not path.startswith("/report") else random.uniform(0.3, 0.9))
        math.factorial(random.choice([500, 4000]))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"well"]
"""
PATHS = ["/", "/", "/cart", "/products/1841", "/products/77", "/api/orders"]


def use(site, paths, pause, over):
    """A client that asks for one page after the other, quicker and slower over the minutes."""
    dice = random.Random(paths[0])
    while not over.is_set():
        with contextlib.suppress(OSError):
            site.get(dice.choice(paths))
        over.wait(dice.random() * pause * (1.4 + (time.time() / 45 % 2 > 1)))


def happenings(site, seconds, over):
    """A reload, then a crash, then the recycling of a worker."""
    for what in (
        site.reload,
        lambda: site.get("/thumb/9f3c.png"),
        lambda: site.command("recycle", "shop", "2"),
    ):
        if over.wait(seconds / 4):
            return
        with contextlib.suppress(OSError):
            what()


def take(url):
    options = webdriver.ChromeOptions()
    for option in (*OPTIONS, "--hide-scrollbars"):
        options.add_argument(option)
    with webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver")) as driver:
        page = Page(driver).open(url, WIDTH, HEIGHT)
        page.wait(".cell.busy", "/report")
        page.wait(".mark")
        page.click("#ranges button", "5 min")
        page.run("return new Promise((done) => setTimeout(done, 2000))")
        whole = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        return base64.b64decode(whole["data"])


def main(seconds):
    over = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        site.write("app.py", SHOP)
        site.site(name="shop", workers=4, threads=8, admin={"bind": "127.0.0.1:0", "token": TOKEN})
        site.start()
        clients = [(PATHS, 0.1)] * 4 + [(["/report/weekly"], 0.5), (["/report/2026-11"], 0.3)] * 4
        work = [(use, (site, *each, over)) for each in clients] + [(happenings, (site, seconds, over))]
        threads = [threading.Thread(target=function, args=arguments) for function, arguments in work]
        try:
            for each in threads:
                each.start()
            time.sleep(seconds)
            PICTURE.write_bytes(take(site.page))
        finally:
            over.set()
            for each in threads:
                each.join()
            site.clean_up()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 280.0)
