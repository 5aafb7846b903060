"""Reading what faulthandler writes."""

import faulthandler
import tempfile
import threading

import pytest

from superwsgi.master.processes import dumped

SEGMENTATION = """Fatal Python error: Segmentation fault

Thread 0x00007f0000000a00 (most recent call first):
  File "/app.py", line 9 in waits
  File "/usr/lib/python3.13/threading.py", line 1012 in run

Current thread 0x00007f0000000b00 [thread-1] (most recent call first):
  File "/app.py", line 3 in crash
  File "/app.py", line 20 in app

Current thread's C stack trace (most recent call first):
  Binary file "/usr/bin/python", at _Py_DumpStack+0x31

Extension modules: markupsafe._speedups (total: 1)
"""


def test_what_it_was():
    assert dumped.fatal_error(SEGMENTATION) == "Segmentation fault"
    assert dumped.fatal_error("Thread 0x1 (most recent call first):\n") is None


def test_threads_with_their_frames_outermost_first():
    waits, crash = dumped.threads(SEGMENTATION)
    assert (waits.ident, waits.current, waits.name) == (0x7F0000000A00, False, "")
    assert waits.frames[-1] == 'File "/app.py", line 9 in waits'
    assert (crash.ident, crash.current, crash.name) == (0x7F0000000B00, True, "thread-1")
    assert crash.frames == ('File "/app.py", line 20 in app', 'File "/app.py", line 3 in crash')


def test_of_this_interpreter():
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        current = [thread for thread in dumped.threads(file.read()) if thread.current]
    assert [thread.ident for thread in current] == [threading.get_ident()]
    assert current[0].frames[-1].endswith(" in test_of_this_interpreter")


@pytest.mark.parametrize("size", range(0, len(SEGMENTATION), 7))
def test_any_part_of_it_can_be_read(size):
    assert len(list(dumped.threads(SEGMENTATION[:size]))) <= 2
    assert len(list(dumped.threads(SEGMENTATION[size:]))) <= 2


class TestShortened:
    def test_a_short_one_stays(self):
        assert dumped.shortened(SEGMENTATION, 4096) == SEGMENTATION

    def test_the_thread_that_matters_stays(self):
        others = 'Thread 0x1 (most recent call first):\n  File "/app.py", line 1 in x\n\n' * 1000
        text = SEGMENTATION.replace("\n\n", "\n\n" + others, 1)
        short = dumped.shortened(text, 4096)
        assert len(short) <= 4096
        assert short.startswith("Fatal Python error: Segmentation fault\n")
        assert "in crash" in short

    def test_where_there_is_none_the_beginning_stays(self):
        assert dumped.shortened("x" * 100_000, 4096).startswith("x" * 4000)
        assert len(dumped.shortened("x" * 100_000, 4096)) <= 4096
