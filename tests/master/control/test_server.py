"""Clients of the control socket: who is answered, who has to go, and how a command is followed. Loop and
socket are real; the clients are the test."""

import os
import socket
import time
from types import SimpleNamespace

import pytest

from superwsgi import control
from superwsgi.config.schema import Site
from superwsgi.control import Ended, Outcome, Progress, Refused, Stage, decode_answer, encode
from superwsgi.log.error import ErrorLog
from superwsgi.master.control.server import LONGEST_REQUEST, MOST_CLIENTS, MOST_GUESTS, Control
from superwsgi.master.eventloop import EventLoop


class Clerk:
    """Answers Stop by its end, Reload by what `steps` has in turn; everything else is a bug."""

    def __init__(self):
        self.steps = []
        self.asked = []

    def answer(self, request, who, now):
        self.asked.append((type(request), who))
        if isinstance(request, control.StopRequest):
            return Ended(outcome=Outcome.STOPPED, seconds=1.0), None
        if isinstance(request, control.ReloadRequest):
            return self.step(now), self.step
        raise ZeroDivisionError

    def step(self, _now):
        return self.steps[0] if len(self.steps) == 1 else self.steps.pop(0)


@pytest.fixture
def site(tmp_path):
    """A control socket, its loop, and who answers there."""
    errors, clerk = [], Clerk()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    with EventLoop(lambda error, _: errors.append(error)) as loop:
        served = Control(loop, {"RUNTIME_DIRECTORY": str(tmp_path)}, ErrorLog(log, "info"))
        served.answer_by(clerk)
        path = str(tmp_path / "control.sock")
        served.open(Site(name="x", apps={"/": "app:app"}, control=path))
        yield SimpleNamespace(
            control=served, loop=loop, clerk=clerk, errors=errors, path=path, folder=tmp_path
        )
        served.finish(time.monotonic())
    os.close(log)


@pytest.fixture
def connect(site):
    clients = []

    def connected():
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(site.path)
        clients.append(client)
        turn(site)
        return client

    yield connected
    for client in clients:
        client.close()


def turn(site):
    """All that is there to be read by now."""
    for _ in range(3):
        now = site.loop.turn(time.monotonic())
    site.control.update(now)


def ask(site, client, request):
    client.sendall(request if isinstance(request, bytes) else encode(request))
    turn(site)


def received(client):
    """The bytes that have come so far, and whether that was the end."""
    client.setblocking(False)
    data = bytearray()
    try:
        while chunk := client.recv(65536):
            data += chunk
    except BlockingIOError:
        return data, False
    return data, True


def answers(client):
    """The same in messages."""
    data, ended = received(client)
    return [*map(decode_answer, data.splitlines())], ended


def test_a_request_is_answered_and_the_connection_ends(site, connect):
    client = connect()
    ask(site, client, control.StopRequest())
    assert answers(client) == ([Ended(outcome=Outcome.STOPPED, seconds=1.0)], True)
    assert site.clerk.asked == [(control.StopRequest, f"uid {os.geteuid()} pid {os.getpid()}")]


def test_it_may_come_in_pieces(site, connect):
    client = connect()
    for byte in encode(control.StopRequest()):
        ask(site, client, bytes([byte]))
    assert answers(client)[1]


def test_who_follows_hears_of_each_change_once_and_of_the_end(site, connect):
    loading, rolling = Progress(stage=Stage.LOADING), Progress(stage=Stage.ROLLING_OUT)
    end = Ended(outcome=Outcome.COMPLETE, seconds=2.0)
    site.clerk.steps = [loading, loading, loading, rolling, rolling, end]
    client = connect()
    ask(site, client, control.ReloadRequest(follow=True))
    for _ in range(6):
        turn(site)
    assert answers(client) == ([loading, rolling, end], True)


def test_an_answer_may_come_some_turns_later(site, connect):
    answer = control.AllStacks(processes=[])
    site.clerk.steps = [None, None, None, answer]
    client = connect()
    ask(site, client, control.ReloadRequest(follow=True))
    assert answers(client) == ([], False)
    for _ in range(3):
        turn(site)
    assert answers(client) == ([answer], True)


def test_who_leaves_before_that_is_forgotten(site, connect):
    site.clerk.steps = [None]
    client = connect()
    ask(site, client, control.ReloadRequest(follow=True))
    client.close()
    turn(site)
    turn(site)
    assert site.errors == []
    site.clerk.steps = [ZeroDivisionError]  # would be no answer
    turn(site)
    assert site.errors == []


UNKNOWN = {
    "HTTP": b"GET / HTTP/1.1\n",
    "another type": b'{"type":"dance"}\n',
    "too long": b"x" * (LONGEST_REQUEST + 1),
}


@pytest.mark.parametrize("request_", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_is_not_understood_is_refused(site, connect, request_):
    client = connect()
    ask(site, client, request_)
    (answer,), ended = answers(client)
    assert isinstance(answer, Refused)
    assert ended
    assert site.clerk.asked == []


def test_a_bug_is_told_to_the_client_and_to_the_log(site, connect):
    client = connect()
    ask(site, client, control.StatusRequest())
    assert answers(client) == ([Refused(reason="the master failed to do that; its error log says why")], True)
    assert [type(error) for error in site.errors] == [ZeroDivisionError]


def test_who_asks_nothing_makes_room_for_others(site, connect):
    clients = [connect() for _ in range(MOST_CLIENTS)]
    assert not answers(clients[0])[1]
    last = connect()
    assert answers(clients[0]) == ([], True)
    ask(site, last, control.StopRequest())
    assert answers(last)[1]


def test_where_all_follow_something_nobody_else_is_let_in(site, connect):
    site.clerk.steps = [Progress(stage=Stage.LOADING)]
    for _ in range(MOST_CLIENTS):
        ask(site, connect(), control.ReloadRequest(follow=True))
    (answer,), ended = answers(connect())
    assert answer == Refused(reason=f"{MOST_CLIENTS} clients are connected already")
    assert ended


def test_who_hangs_up_is_forgotten(site, connect):
    site.clerk.steps = [Progress(stage=Stage.LOADING)]
    client = connect()
    ask(site, client, control.ReloadRequest(follow=True))
    client.close()
    turn(site)
    turn(site)
    assert site.errors == []


def test_who_reads_slowly_misses_steps_and_not_the_end(site, connect):
    end = Ended(outcome=Outcome.COMPLETE, seconds=2.0)
    steps = [Progress(stage=Stage.LOADING, done=number) for number in range(20_000)]
    site.clerk.steps = [*steps, end]
    client = connect()
    ask(site, client, control.ReloadRequest(follow=True))
    while len(site.clerk.steps) > 1:
        site.control.update(time.monotonic())
    data, ended = received(client)
    while not ended:
        turn(site)
        more, ended = received(client)
        data += more
    heard = [*map(decode_answer, data.splitlines())]
    assert heard[-1] == end
    assert len(heard) < len(steps)


# The admin process: a guest, whose connections the master makes.


@pytest.fixture
def invite(site):
    guests = []

    def invited():
        guest = site.control.invite(time.monotonic())
        if guest is not None:
            guests.append(guest)
        return guest

    yield invited
    for guest in guests:
        guest.close()


def test_a_guest_is_answered_what_it_may_ask(site, invite):
    guest = invite()
    site.clerk.steps = [Ended(outcome=Outcome.COMPLETE, seconds=1.0)]
    ask(site, guest, control.ReloadRequest())
    assert answers(guest)[0] == [Ended(outcome=Outcome.COMPLETE, seconds=1.0)]
    assert site.clerk.asked == [(control.ReloadRequest, "the admin process")]


@pytest.mark.parametrize(
    "request_",
    [
        *(control.StopRequest(), control.UpgradeRequest(), control.WatchRequest(), control.LogsRequest()),
        control.ConfigRequest(compare=True),
    ],
)
def test_a_guest_may_not_ask_for_more(site, invite, request_):
    guest = invite()
    ask(site, guest, request_)
    assert answers(guest) == ([Refused(reason="the admin process may not ask for that")], True)
    assert site.clerk.asked == []


def test_guests_take_no_place_from_operators(site, invite, connect):
    guests = [invite() for _ in range(MOST_GUESTS)]
    assert invite() is None
    clients = [connect() for _ in range(MOST_CLIENTS)]
    for client in clients:
        ask(site, client, control.StopRequest())
        assert answers(client)[0] == [Ended(outcome=Outcome.STOPPED, seconds=1.0)]
    guests[0].close()
    turn(site)
    assert invite() is not None
