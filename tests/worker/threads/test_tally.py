"""Counting where threads are: names, lines, recursion, and bounds."""

import sys
import threading
from pathlib import Path

import msgspec
import pytest

import superwsgi
from superwsgi.samples import DEEPER, OTHER, SERVER, SHOWN, Frame
from superwsgi.worker.threads import tally
from superwsgi.worker.threads.tally import MOST_GROUPS, MOST_STACKS, Tally

HERE = __file__
WIDE = 1 << 20


def inner():
    return sys._getframe()


def outer():
    return inner()


def itself(depth, then):
    return itself(depth - 1, then) if depth else then()


def even(depth, then):
    return odd(depth - 1, then) if depth else then()


def odd(depth, then):
    return even(depth - 1, then)


def told(frame, room=WIDE):
    counted = Tally()
    counted.add("GET /", counted.place_of(frame), 1.0)
    _, frames, (stack,) = counted.told(room)
    return [frames[at] for at in stack.frames]


def functions(frames):
    return [each.function for each in frames]


def test_frames_have_names_and_lines():
    frame = outer()
    *_, caller, last = told(frame)
    first = inner.__code__.co_firstlineno
    assert last == Frame("inner", HERE, first, first + 1)
    assert (caller.function, caller.line) == ("outer", outer.__code__.co_firstlineno + 1)


def test_a_recursion_is_one_frame():
    assert functions(told(itself(50, inner)))[-2:] == ["itself", "inner"]
    assert functions(told(itself(50, inner))).count("itself") == 1


@pytest.mark.parametrize("depth", [700, 2000])
def test_a_deep_one_has_both_ends(depth):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 1000)
    try:
        frames = told(even(depth, inner))
    finally:
        sys.setrecursionlimit(before)
    assert len(frames) == SHOWN
    assert DEEPER in functions(frames)
    assert functions(frames)[-1] == "inner"
    assert (functions(frames)[0] == DEEPER) == (depth > tally.DEEPEST)


def called_in(file, then):
    """What `then` returns, called in a thread of its own by a function in that file."""
    found, names = [], {}
    exec(compile("def above(then):\n    then()", file, "exec"), names)
    thread = threading.Thread(target=names["above"], args=[lambda: found.append(then())])
    thread.start()
    thread.join()
    return found[0]


def test_frames_of_the_server_above_the_application_are_left_out():
    server = str(Path(superwsgi.__file__).parent / "worker/serve/loop.py")
    assert functions(called_in(server, lambda: told(sys._getframe(3)))) == [SERVER]
    assert functions(called_in("/srv/views.py", lambda: told(outer())))[0] == "above"
    assert functions(called_in(server, lambda: told(outer())))[0] != "above"


def test_memory_is_bounded():
    counted = Tally()
    code = inner.__code__
    counted.place_of(inner())
    for number in range(MOST_STACKS + 50):
        counted.add("GET /", (id(code), number), 0.5)
    for number in range(MOST_GROUPS + 50):
        assert counted.group(f"GET /{number}") == (f"GET /{number}" if number < MOST_GROUPS else OTHER)
    groups, frames, stacks = counted.told(WIDE)
    assert sum(each.seconds for each in stacks) == (MOST_STACKS + 50) / 2
    assert sum(each.times for each in stacks) == MOST_STACKS + 50
    assert OTHER in functions(frames)
    assert groups == ["GET /"]


def test_what_takes_longest_is_told_first_where_there_is_little_room():
    counted = Tally()
    for at, code in enumerate(inner.__code__.replace(co_name=f"view_{number:03}") for number in range(300)):
        counted._codes[id(code)] = code
        counted.add("GET /", (id(code), 0), 1.0 + at)
    groups, frames, stacks = counted.told(4096)
    assert len(msgspec.json.encode([groups, frames, stacks])) < 6000
    assert functions(frames[at] for at in stacks[0].frames) == [
        "inner" if sys.version_info >= (3, 11) else "view_299"
    ]
    assert sum(each.seconds for each in stacks) == sum(1.0 + at for at in range(300))
    assert OTHER in functions(frames)
