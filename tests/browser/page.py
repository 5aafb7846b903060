"""The page as somebody at a browser sees it: what can be read, and what can be clicked."""

from pathlib import Path

from tests.e2e.daemon import wait_for

OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # chromium has none for root
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--window-size=1200,900",
)

DEADLINE = 30.0

LOOKING = Path(__file__).with_name("looking.js").read_text()

ESCAPE, LEFT = "\ue00c", "\ue012"
"""Keys, by their code points in WebDriver (W3C, 17.4.2)."""

LOST = ("net::ERR", "Failed to load resource")
"""What a browser says of a server that is gone, or of an answer that is no success: no fault of the page."""


class Page:
    def __init__(self, driver):
        self.driver = driver

    def open(self, url, width=1200, height=900, dark=False):
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get(url)
        return self

    def leave(self):
        for handle in self.driver.window_handles[1:]:
            self.driver.switch_to.window(handle)
            self.driver.close()
        self.driver.switch_to.window(self.driver.window_handles[0])
        self.driver.get("about:blank")
        self.driver.get_log("browser")

    def complaints(self):
        """What the console has, but for a server that was not there."""
        said = [each["message"] for each in self.driver.get_log("browser")]
        return [each for each in said if not any(word in each for word in LOST)]

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def look(self, function, *arguments):
        """What a function of looking.js says, at once or in a while."""
        return self.run(f"{LOOKING}; return look.{function}(...arguments)", *arguments)

    def everything(self):
        return self.run("return document.body.innerText")

    # Reading.

    def texts(self, where):
        """Of the visible elements there, as text nodes have it."""
        return self.look("texts", where)

    def text(self, where):
        return " ".join(self.texts(where))

    def wait(self, where, *words, deadline=DEADLINE):
        """Until the elements there say all these words; returns what they say."""

        def said():
            text = self.text(where)
            return text if text and all(word in text for word in words) else None

        return wait_for(said, f"{words} in {where}", deadline, self.everything)

    def wait_gone(self, where, deadline=DEADLINE):
        wait_for(lambda: not self.texts(where), f"end of {where}", deadline, self.everything)

    def wait_number(self, where, number):
        """Until there are so many such elements to be seen."""
        wait_for(
            lambda: len(self.texts(where)) == number,
            f"{number} of {where}",
            DEADLINE,
            lambda: self.text("body"),
        )

    def wide(self):
        """By how many pixels it is wider than the window."""
        return self.run("return document.documentElement.scrollWidth - innerWidth")

    def contrasts(self):
        """Class, text and contrast (WCAG 2.2, 1.4.3) of each text that can be seen."""
        return self.look("contrasts")

    # Acting.

    def click(self, where, words=""):
        """The first element there that says these words."""

        wait_for(
            lambda: self.look("clicked", where, words), f"{words!r} in {where}", DEADLINE, self.everything
        )

    def fill(self, name, value):
        """A field of the dialog that asks."""
        field = wait_for(lambda: self.driver.find_elements("css selector", f"#ask [name={name}]"), name)[0]
        field.clear()
        field.send_keys(value)

    def give_token(self, token):
        self.wait("#ask-title", "Token")
        self.fill("token", token)
        self.click("#ask button[type=submit]")

    def press(self, key, where="body"):
        self.driver.find_element("css selector", where).send_keys(key)
