"""Workers that were forked from one mold are not alike where they must not be."""

import collections

import pytest

from tests.e2e.daemon import wait_for

pytestmark = pytest.mark.drill

DRAWS = """
    import os, random, secrets, ssl, sys, tempfile, threading, uuid
    {more}
    random.seed(1)
    LOCAL = threading.local()
    LOCAL.name = "mold"
    print("imported")

    def draw():
        yield "random", random.random()
        yield "secrets", secrets.token_hex()
        yield "ssl", ssl.RAND_bytes(8).hex()
        yield "uuid4", uuid.uuid4()
        yield "tempfile", next(tempfile._get_candidate_names())
        if "numpy" in sys.modules:
            yield "numpy", numpy.random.random()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ["\\n".join(f"{{what}} {{value}}" for what, value in DRAWN).encode()]

    DRAWN = []
    def after_fork():
        DRAWN.extend(draw())
        with open(f"drawn-{{os.getpid()}}", "w") as file:
            file.writelines(f"{{what}} {{value}}\\n" for what, value in DRAWN)
"""


@pytest.mark.parametrize("numpy", [False, True])
def test_random_numbers_differ(daemon, numpy):
    if numpy:
        pytest.importorskip("numpy")
    more = "import numpy, numpy.random; numpy.random.seed(1)" if numpy else ""
    daemon.write("app.py", DRAWS.format(more=more))
    daemon.site(workers=3, preload=True, hooks={"after_fork": "app:after_fork"})
    daemon.start()
    wait_for(lambda: daemon.log.count(" serving ") == 3, "three workers")
    drawn = collections.defaultdict(set)
    for file in daemon.folder.glob("drawn-*"):
        for line in file.read_text().splitlines():
            what, value = line.split()
            drawn[what].add(value)
    assert {what: len(values) for what, values in drawn.items()} == dict.fromkeys(drawn, 3)
    assert len(drawn) == 5 + numpy


def test_what_was_printed_before_the_fork_is_printed_once(daemon):
    daemon.write("app.py", DRAWS.format(more=""))
    daemon.site(workers=3, preload=True)
    daemon.start()
    assert daemon.stop() == 0
    assert daemon.log.count("imported\n") == 1


def test_what_was_printed_last_is_printed(daemon):
    daemon.write("app.py", "import atexit\natexit.register(print, 'good bye')\ndef app(e, s): pass\n")
    daemon.site(workers=1, preload=True)
    daemon.start()
    assert daemon.stop() == 0
    assert daemon.log.count("good bye\n") == 1
