"""What an interpreter finishes by letting go of its objects: workers do, too, each its own and only once."""

import dbm.dumb
import gzip
import shelve
import signal
import sys

import pytest

from tests.e2e.daemon import wait_for

pytestmark = pytest.mark.drill

ASKED = 12

WRITES = {
    "text": "FILE = open('said', 'a')\ndef write(what): print(what, file=FILE)",
    "bytes": "FILE = open('said', 'ab')\ndef write(what): FILE.write(what.encode() + b'\\n')",
    "a table": (
        "import csv\nFILE = csv.writer(open('said', 'a', newline=''))\ndef write(what): FILE.writerow([what])"
    ),
    "at first use": (
        "FILES = []\ndef write(what):\n"
        "    if not FILES: FILES.append(open('said', 'a'))\n    FILES[0].write(what + '\\n')"
    ),
    "compressed": (
        "import gzip, os\nFILES = []\ndef write(what):\n"
        "    if not FILES: FILES.append(gzip.open(f'said-{os.getpid()}.gz', 'at'))\n"
        "    FILES[0].write(what + '\\n')"
    ),
    "a dictionary": (
        "import dbm.dumb, os, shelve\nSHELVES = []\ndef write(what):\n"
        "    if not SHELVES: SHELVES.append(shelve.Shelf(dbm.dumb.open(f'said-{os.getpid()}')))\n"
        "    SHELVES[0][what] = what"
    ),
}

ANSWER = """

def app(environ, start_response):
    write(environ["QUERY_STRING"])
    start_response("200 OK", [])
    return [b"written"]
"""


def said(folder):
    """All that was written, by whatever worker."""
    found = []
    for path in folder.glob("said*"):
        if path.suffix == ".gz":
            found += gzip.decompress(path.read_bytes()).decode().split()
        elif path.suffix == ".dat":
            with shelve.Shelf(dbm.dumb.open(str(path.with_suffix("")), "r")) as shelf:
                found += shelf
        elif not path.suffix:
            found += path.read_text().split()
    return sorted(found)


@pytest.mark.parametrize("preload", ["auto", False])
@pytest.mark.parametrize("source", WRITES.values(), ids=WRITES.keys())
def test_what_was_answered_is_written(daemon, source, preload):
    daemon.write("app.py", source + ANSWER)
    daemon.site(workers=2, preload=preload)
    daemon.start()
    asked = [f"{number:02}" for number in range(ASKED)]
    for each in asked:
        assert daemon.get(f"/?{each}").status == 200
    assert daemon.stop() == 0
    assert said(daemon.folder) == asked
    assert "not preloaded" not in daemon.log


@pytest.mark.parametrize("script", [False, True])
def test_what_the_import_has_written_is_written_once(daemon, script):
    run = "\nimport superwsgi\nsuperwsgi.run(app, '127.0.0.1', 0, processes=2)\n" if script else ""
    daemon.write("app.py", "FILE = open('said', 'a')\nFILE.write('once\\n')\n" + ANSWER + run)
    daemon.site(workers=2)
    daemon.spawn([sys.executable, "app.py"]) if script else daemon.start()
    daemon.wait_workers(2)
    assert daemon.stop() == 0
    assert said(daemon.folder) == ["once"]


TEMPORARY = """
import os, tempfile
FILE = tempfile.NamedTemporaryFile(dir=".", prefix="temporary", delete=True)
IN_USE = []

def app(environ, start_response):
    if not IN_USE:
        IN_USE.append(tempfile.NamedTemporaryFile(dir=".", prefix="temporary"))
    start_response("200 OK", [])
    return [str(os.path.exists(FILE.name)).encode()]
"""


def temporary(site):
    return [path.name for path in site.folder.glob("temporary*")]


@pytest.mark.parametrize("preload", ["auto", True, False])
def test_temporary_files_go_with_who_has_made_them(daemon, preload):
    daemon.write("app.py", TEMPORARY)
    daemon.site(workers=2, preload=preload)
    daemon.start()
    mark = daemon.mark()
    daemon.send(signal.SIGTERM, daemon.wait_workers(2)[0])
    daemon.wait_log("serving", since=mark)
    assert {daemon.get().text for _ in range(20)} == {"True"}
    daemon.reload()
    assert {daemon.get().text for _ in range(20)} == {"True"}
    assert daemon.stop() == 0
    assert temporary(daemon) == []


def test_a_check_leaves_no_temporary_file(daemon):
    daemon.write("app.py", TEMPORARY)
    daemon.site()
    assert daemon.command("check", "-c", "site.yaml").returncode == 0
    wait_for(lambda: not temporary(daemon), "end of the file")
