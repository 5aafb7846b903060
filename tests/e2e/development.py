"""A real `superwsgi dev`: what its terminal shows, what a browser and a program are answered."""

import signal

import psutil

from tests.e2e.daemon import COMMAND, Daemon, is_alive, wait_for

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}
"""What a browser says that goes to a page."""


class Dev(Daemon):
    """The command: its `log` is what it writes to its terminal, its own files are in a folder `tmp` beside
    the project."""

    @property
    def environ(self):
        apart = {"TMPDIR": str(self.temporary), "PYTHONDONTWRITEBYTECODE": ""}
        return {**super().environ, **apart}

    @property
    def temporary(self):
        path = self.folder.parent / "tmp"
        path.mkdir(exist_ok=True)
        return path

    def write(self, name, text):
        """As an editor does: bytecode stays."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, *arguments, ready=True, env=None):
        if not any(each in ("-b", "--bind") for each in arguments):
            arguments = (*arguments, "-b", "127.0.0.1:0")
        self.spawn([*COMMAND, "dev", *map(str, arguments)], ready=False, env=env)
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, since=0):
        self.wait_log("to end it", since, deadline=60.0)

    @property
    def address(self):
        host, port = self.wait_log(r"address +https?://([\d.]+|\[[\da-f:]+\]):(\d+)").groups()
        return host.strip("[]"), int(port)

    def page(self, path="/", **more):
        """As a browser gets it: old code that ends may send it to the new."""
        return wait_for(lambda: None if (it := self.get(path, headers=PAGE, **more)).status == 307 else it)

    def wait_served(self, text, path="/", deadline=60.0):
        """Until that is what a program is answered. No request before it may be refused."""
        return wait_for(lambda: text in self.get(path).text, f"{text!r}", deadline, lambda: self.log)

    def edit(self, name, text):
        """Change a file; returns where in the log what follows begins."""
        mark = self.mark()
        self.write(name, text)
        return mark

    def everybody(self):
        """All its processes."""
        own = psutil.Process(self.pid)
        return [own, *own.children(recursive=True)]

    def assert_shows(self, code, said):
        """What is said in the terminal and in the browser of code that does not load."""
        mark = self.edit("app.py", code)
        self.wait_log("The last version that ran goes on serving", mark)
        assert said in self.log[mark:]
        shown = wait_for(lambda: page if (page := self.page()).status == 500 else None)
        assert said.replace("'", "&#x27;") in shown.text

    def assert_ends(self, number, path):
        """By a signal, with a request for `path` in hand."""
        with self.connect() as busy:
            busy.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            family = self.everybody()
            assert len(family) >= 4
            self.send(number)
            assert self.wait_exit() == (-number if number == signal.SIGKILL else 0)
        self.assert_leaves_nothing(family)

    def assert_leaves_nothing(self, family):
        wait_for(lambda: not any(map(is_alive, family)), "end of all processes", context=lambda: self.log)
        wait_for(lambda: not [*self.temporary.iterdir()], "nothing left in the temporary folder")


def hello(text="one", more=""):
    """A module with an application that answers with `text`, and fails at /fails."""
    return f"""
import os, sys, time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/fails":
        raise ZeroDivisionError("nothing left")
    if environ["PATH_INFO"] == "/sleeps":
        time.sleep(600)
    if environ["PATH_INFO"] == "/prints":
        print("said by the application")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/stream":
        return (time.sleep(0.1) or b": still here\\n\\n" for _ in range(6000))
    return [{text.encode()!r}]
{more}"""
