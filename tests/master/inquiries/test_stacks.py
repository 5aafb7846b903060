"""Asking for stacks: who is asked how, and when which answer is believed. The test plays the workers."""

import os
import signal
import time

import pytest

from superwsgi.control import MOLD, ProcessStacks, Refused, RequestInHand, ThreadStack
from superwsgi.master.inquiries.stacks import (
    PATIENCE,
    SILENCE,
    Inquiries,
    annotated,
    bounded,
    frames_of_application,
)
from superwsgi.master.policy.actions import KillBroken
from superwsgi.master.processes.dumped import DumpedThread
from superwsgi.master.processes.stacks import QUIET, Stacks
from superwsgi.messages import TellThreads, ThreadHead, ThreadsAt

HEAD = ThreadHead(7, "thread-1", "request", "GET", "/report", "c0ffee-1", 4.2)
DUMP = (
    'Thread 0x0000000000000007 (most recent call first):\n  File "/srv/app.py", line 9 in waits\n'
    '  File "/usr/lib/superwsgi.py", line 1 in app\n  File "<string>", line 1 in <module>\n'
)


@pytest.fixture(autouse=True)
def asked_by_signal():
    """Who is asked for stacks is this process."""
    came = []
    before = signal.signal(signal.SIGUSR2, lambda *_: came.append(True))
    yield came
    signal.signal(signal.SIGUSR2, before)


@pytest.fixture
def generation(rooms):
    generation = rooms.start_serving()
    for worker in generation.workers.values():
        rooms.loop.forget(worker.stacks.fd)
        worker.stacks.close()
        worker.stacks = Stacks.pipe(4)
        rooms.children.dumps.listen(generation, worker)
    return generation


@pytest.fixture
def begin(rooms, generation):
    context = rooms.context
    inquiries = Inquiries(context, rooms.generations, rooms.children.dumps)
    return lambda of: inquiries.begin(of, rooms.now)


def question(rooms, worker):
    message, _ = rooms.workers[worker.key].receive()
    assert isinstance(message, TellThreads)
    return message.question


def dump(rooms, worker, inquiry):
    """It writes its stacks, and the loop hears of them."""
    os.write(worker.stacks.end, DUMP.encode())
    deadline = time.monotonic() + 60
    while (answer := inquiry(rooms.now)) is None:
        assert time.monotonic() < deadline
        rooms.loop.turn(time.monotonic() + QUIET)
    return answer


def test_a_worker_answers(rooms, generation, begin):
    worker = generation.workers[0]
    inquiry = begin("1")
    number = question(rooms, worker)
    assert inquiry(rooms.now) is None
    rooms.worker_says(worker, ThreadsAt(number, [HEAD], "  File …"))
    assert inquiry(rooms.now) is None
    rooms.worker_says(worker, ThreadsAt(number, [], left_out=3, last=True))
    (process,) = inquiry(rooms.now).processes
    request = RequestInHand("GET", "/report", "c0ffee-1", 4.2)
    assert process.threads == [ThreadStack(7, "thread-1", "request", "  File …", request, 4.2)]
    assert (process.number, process.pid, process.state, process.left_out) == (1, os.getpid(), "serving", 3)


def test_all_workers_are_asked_at_once_and_a_mold_only_by_its_name(rooms, generation, begin):
    inquiry = begin(None)
    for worker in generation.workers.values():
        rooms.worker_says(worker, ThreadsAt(question(rooms, worker), [], last=True))
    assert [process.number for process in inquiry(rooms.now).processes] == [1, 2]
    (mold,) = begin(MOLD)(rooms.now).processes
    assert (mold.number, mold.state, mold.note) == (
        None,
        "loaded",
        "waits to fork workers, in code of the server",
    )


def test_one_by_its_process_id(rooms, generation, begin):
    assert not isinstance(begin(str(os.getpid())), Refused)


def test_one_that_is_not_there(begin):
    assert begin("7") == Refused(reason="no worker 7; there are: 1, 2, mold")


def test_faulthandler_answers_for_a_worker_that_does_not(rooms, generation, begin, asked_by_signal):
    worker = generation.workers[0]
    inquiry = begin("1")
    assert inquiry(rooms.now + SILENCE / 2) is None
    assert not asked_by_signal
    assert inquiry(rooms.now + SILENCE) is None
    assert asked_by_signal
    (process,) = dump(rooms, worker, inquiry).processes
    assert process.by_faulthandler
    assert process.note.startswith("the interpreter is held, so these are faulthandler's stacks, of 100")
    assert [thread.ident for thread in process.threads] == [7]


def test_one_that_goes_on_answering_is_given_time(rooms, generation, begin, asked_by_signal):
    worker = generation.workers[0]
    inquiry = begin("1")
    number = question(rooms, worker)
    for step in range(1, 10):
        rooms.worker_says(worker, ThreadsAt(number, [HEAD], "  File …"))
        assert inquiry(rooms.now + step * SILENCE * 0.9) is None
    assert not asked_by_signal


def test_nothing_comes_of_it(rooms, generation, begin):
    inquiry = begin("1")
    inquiry(rooms.now + SILENCE)
    (process,) = inquiry(rooms.now + SILENCE + PATIENCE).processes
    assert process.note.startswith("does not answer")


def test_a_late_answer_is_believed_and_of_no_use(rooms, generation, begin):
    worker = generation.workers[0]
    begin("1")
    number = question(rooms, worker)
    again = begin("1")
    with pytest.raises(BlockingIOError):
        question(rooms, worker)  # while it owes us an answer it is not asked again
    rooms.worker_says(worker, ThreadsAt(number, [HEAD], "  File …"))
    rooms.worker_says(worker, ThreadsAt(number, [], last=True))
    assert rooms.agenda == []
    assert len(again(rooms.now).processes[0].threads) == 1
    begin("1")
    assert question(rooms, worker) != number


@pytest.mark.parametrize("asked", [True, False])
def test_an_answer_without_a_question_is_forged(rooms, generation, begin, asked):
    worker = generation.workers[0]
    if asked:
        begin("1")
    number = question(rooms, worker) + 1 if asked else 0
    rooms.worker_says(worker, ThreadsAt(number, [HEAD], "  File …"))
    assert rooms.agenda == [KillBroken(1, worker.key)]


def test_one_that_ends_meanwhile(rooms, generation, begin):
    inquiry = begin("1")
    rooms.worker_ends(generation.workers[0])
    (process,) = inquiry(rooms.now).processes
    assert (process.note, process.threads) == ("has ended", [])


def test_one_of_an_earlier_program_is_not_asked(rooms, generation, begin, asked_by_signal):
    """They all write into one pipe."""
    worker = generation.workers[0]
    rooms.loop.forget(worker.stacks.fd)
    worker.stacks.close()
    worker.stacks = None
    (process,) = begin("1")(rooms.now).processes
    assert process.note.startswith("was started by an earlier superwsgi; kill -USR2 ")
    assert not asked_by_signal


def test_a_dump_is_annotated_with_requests_by_thread():
    waits = DumpedThread(
        7, False, "", ('File "<string>", line 1 in <module>', 'File "/srv/app.py", line 9 in f')
    )
    server = DumpedThread(8, False, "", (f'File "{__import__("threading").__file__}", line 9 in wait',))
    request = RequestInHand("GET", "/report", "c0ffee-1", 4.2)
    assert [*annotated([waits, server], {})] == [
        ThreadStack(7, "", "application", '  File "/srv/app.py", line 9 in f\n'),
        ThreadStack(8, "", "server", f"  {server.frames[0]}\n"),
    ]
    assert [*annotated([waits], {7: request})] == [
        ThreadStack(7, "", "request", '  File "/srv/app.py", line 9 in f\n', request, 4.2)
    ]


def test_what_leads_to_the_application_is_left_out():
    ours = 'File "superwsgi/worker/serve/loop.py", line 1 in turn'
    elsewhere = (
        'File "/srv/venv/lib/python3.10/site-packages/superwsgi/http/response/exchange.py", line 1 in x'
    )
    frozen = 'File "<frozen importlib._bootstrap>", line 1 in _call'
    app = 'File "/srv/app.py", line 3 in <module>'
    assert frames_of_application((ours, elsewhere, frozen, app, frozen)) == (app, frozen)
    assert frames_of_application((ours, frozen)) == ()


def test_the_answer_is_bounded():
    thread = ThreadStack(7, "", "application", "x" * 1000)
    process = ProcessStacks(1, 1, 1, "serving", threads=[thread] * 50, left_out=2)
    first, second = bounded([process, process], 60 * 1200 + 1)
    assert (len(first.threads), first.left_out) == (50, 2)
    assert (len(second.threads), second.left_out) == (10, 42)
