"""`superwsgi dev` over eighteen edits in a row, every third of them broken: each good one is served soon, no
request is refused meanwhile, memory does not grow, and no process is left.
"""

import signal
import statistics
import subprocess
import sys
import threading
import time

import psutil
import pytest

from tests.e2e.daemon import wait_for

pytestmark = [pytest.mark.drill, pytest.mark.alone]

EDITS = 18
WITHIN = 0.3
"""Seconds that a good edit may take, at the median, beside the import in a fresh interpreter. It is only told
where the machine is too slow for it: other processes may take most of it."""

FLASK = """
from flask import Flask
app = Flask(__name__)

@app.route("/")
def index():
    return "version {number}"
"""
DJANGO = """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse("version {number}"))]
"""


def flask(dev):
    """The file that is edited, its text, and what imports the application."""
    return "app.py", FLASK, "import app"


def django(dev):
    command = [sys.executable, "-m", "django", "startproject", "shop", "."]
    subprocess.run(command, cwd=dev.folder, check=True)
    return "shop/urls.py", DJANGO, "import shop.wsgi, shop.urls"


SILENT = 1.0
"""Seconds that dev leaves a connection with old code to say something."""


def ask(dev):
    """The page; None where this machine was so busy that the connection had said nothing for too long."""
    connection, began = dev.client(), time.monotonic()
    connection.request("GET", "/")
    sent = time.monotonic()
    try:
        return connection.getresponse().read().decode()
    except OSError:
        if sent - began < SILENT:
            raise
        return None
    finally:
        connection.close()


class Visitor(threading.Thread):
    """Asks again and again, on a connection of its own each time, until it is told to end."""

    def __init__(self, dev):
        super().__init__()
        self.dev, self.ends, self.refused, self.answers = dev, threading.Event(), [], 0

    def run(self):
        while not self.ends.wait(0.02):
            try:
                self.answers += ask(self.dev) is not None
            except OSError as error:
                self.refused.append(error)


@pytest.mark.parametrize("framework", [flask, django])
def test_every_good_edit_is_served_soon(dev, framework, capsys):
    name, text, program = framework(dev)
    dev.write(name, text.replace("{number}", "0"))
    dev.start()
    visitor = Visitor(dev)
    visitor.start()
    served, imports, memory = [], [], []
    try:
        for number in range(1, EDITS + 1):
            broken = "x = (" if number % 3 == 0 else ""
            mark, began = dev.mark(), time.monotonic()
            dev.write(name, text.replace("{number}", str(number)) + broken)
            if broken:
                dev.wait_log("The last version that ran goes on serving", mark)
                continue
            wait_for(lambda number=number: ask(dev) == f"version {number}", context=lambda: dev.log)
            served.append(time.monotonic() - began)
            imports.append(seconds_of_import(dev, program))
            memory.append(sum(each.memory_info().rss for each in dev.everybody()[:2]))
    finally:
        visitor.ends.set()
        visitor.join()
    mine, theirs = statistics.median(served), statistics.median(imports)
    with capsys.disabled():
        said = f"served {mine:.2f} s after an edit, {theirs:.2f} s the import in a fresh interpreter"
        print(f"\n{framework.__name__}: {said}; {visitor.answers} answers meanwhile")
    assert visitor.refused == []
    assert visitor.answers > EDITS
    assert max(memory[-5:]) < min(memory[:5]) + (8 << 20)
    family = dev.everybody()
    dev.send(signal.SIGINT)
    assert dev.wait_exit() == 0
    dev.assert_leaves_nothing(family)
    if psutil.getloadavg()[0] < psutil.cpu_count():
        assert mine < WITHIN + theirs


def seconds_of_import(dev, program):
    environ = {**dev.environ, "DJANGO_SETTINGS_MODULE": "shop.settings"}
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program], cwd=dev.folder, env=environ, check=True)
    return time.monotonic() - began
