"""Lines of tracebacks, told apart."""

import json

from superwsgi.development.shown.tracebacks import TracebackPart, coloured, of_application, parts
from superwsgi.log.frames import application_traceback


def said(exc):
    return [(line.part, line.text.strip()) for line in parts(application_traceback(exc))]


def test_own_frames_and_those_of_libraries():
    try:
        json.loads("{")
    except ValueError as error:
        found = said(error)
    assert found[0] == (TracebackPart.TEXT, "Traceback (most recent call last):")
    assert found[1][0] is TracebackPart.OWN
    assert found[2] == (TracebackPart.CODE, 'json.loads("{")')
    assert found[-1][0] is TracebackPart.ERROR
    assert "JSONDecodeError" in found[-1][1]
    assert TracebackPart.LIBRARY in {part for part, _ in found}


def test_nothing_that_moves_a_cursor():
    text = "ValueError: \x1b[2J\n"
    assert coloured(text, colours=False) == "ValueError: \\u001b[2J\n"
    assert coloured(text, colours=True).count("\x1b") == 2


DUMP = """\
Current thread 0x00007f53ad7eec40 (most recent call first):
  File "/srv/shop/app.py", line 3 in helper
  File "/srv/shop/app.py", line 4 in <module>
  File "<frozen importlib._bootstrap>", line 488 in _call_with_frames_removed
  File "OWN", line 32 in by_name
  File "/srv/above.py", line 1 in <module>
"""


def test_the_stack_of_an_import_that_hangs_is_that_of_the_application():
    shown = of_application(DUMP.replace("OWN", application_traceback.__code__.co_filename))
    assert shown.splitlines() == DUMP.splitlines()[:3]
