"""Messages and channels: what goes in comes out."""

import contextlib
import os
import resource
import socket
import typing
from pathlib import Path

import msgspec
import pytest

from superwsgi import channel, messages
from superwsgi.channel import Channel, Closed, Forged, Garbled, OutOfDescriptors
from superwsgi.config.listening import TcpAddress, UnixAddress
from superwsgi.config.schema import Site
from superwsgi.config.sections import AdminSettings, Log

SITE = Site(
    name="shop", apps={"/": "shop:app"}, bind=(TcpAddress("::1", 80), UnixAddress("/run/x", owner="www"))
)
EXAMPLES = [
    messages.Boot(812, 3, SITE, True, False, (False, True), (True, False)),
    messages.Fork(2, 17),
    messages.Fork(2, 17, quarantine={"GET /thumb": 812.5}),
    messages.Become(1, 0, proven=True),
    messages.Relisten((False, True), (True, False)),
    messages.BootAdmin(
        812,
        "shop",
        AdminSettings(bind=(UnixAddress("/run/a"),), token="0123456789abcdef"),
        Log(),
        True,
        user="x",
    ),
    messages.Tried(
        1.5,
        ["a thread"],
        [messages.LoadTrouble("apps", "no module", "Traceback", harmless=True)],
        messages.Footprint(3, 2, 1),
        None,
        4096,
        {"home": ("/root", "rwx")},
    ),
    messages.Connected(),
    messages.Connect(),
    messages.Alive(),
    messages.Reopen(True, True),
    messages.Drain(0.5, 30.0, last=True),
    messages.Stop(),
    messages.MayGrow(workers=True),
    messages.Quarantine({"GET /thumb": 812.5}),
    messages.Spread(5.0),
    messages.Loaded(0.25, ["thread 'metrics' started at shop/metrics.py:12"]),
    messages.Unforkable(["a connection to 10.0.0.5:5432"], 0.25),
    messages.LoadFailed("no module named 'shöp'", "Traceback\n  …"),
    messages.Started(4711),
    messages.ForkFailed(17, "cannot fork"),
    messages.Ready(0.1, samples=True),
    messages.BootFailed("no", ""),
    messages.Recycle("requests"),
    messages.Recycle("a stuck thread", messages.Stuck("GET", "/loop", "3f-17", 62.0)),
    messages.WentWrong("error", "request stuck", {"request": "3f-1"}, "its stack"),
    messages.TellThreads(7),
    messages.SampleThreads(10.0, 100.0, True, "/report", 1 << 20),
    messages.ThreadsAt(
        7,
        [messages.ThreadHead(140_000_000_000_000, "thread-1", "request", "GET", "/", "0b3f-1", 4.2)],
        '  File "/srv/app.py", line 3, in view',
    ),
    messages.Grows([messages.LeakingKind("GET /report", 1.4e6, 212, 60.5)]),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_round_trip(message):
    assert messages.decode(messages.encode(message)) == message


def test_every_message_has_an_example():
    assert {type(m) for m in EXAMPLES} == set(typing.get_args(messages.Message))


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"type":"nonsense"}', b'{"type":"fork","worker":"x"}'])
def test_what_is_no_message_is_refused(raw):
    with pytest.raises(msgspec.MsgspecError):
        messages.decode(raw)


@pytest.fixture
def channels():
    ours, theirs = Channel.pair()
    other = Channel(theirs)
    yield ours, other
    ours.close()
    other.close()


def test_descriptors_travel_with_their_message(channels):
    ours, other = channels
    reading, writing = os.pipe()
    ours.send(messages.Fork(1, 2), [writing])
    os.close(writing)
    message, (received,) = other.receive()
    assert message == messages.Fork(1, 2)
    assert not os.get_inheritable(received)
    os.write(received, b"x")
    assert os.read(reading, 1) == b"x"
    os.close(received)
    os.close(reading)


def test_without_room_for_a_descriptor_the_message_is_lost(channels):
    ours, other = channels
    for _ in range(2):
        ours.send(messages.Fork(1, 2), [0])
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        with pytest.raises(OutOfDescriptors):
            other.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    message, (received,) = other.receive()
    os.close(received)
    assert message == messages.Fork(1, 2)


def test_messages_keep_their_bounds(channels):
    ours, other = channels
    for number in range(5):
        ours.send(messages.Fork(number, 0))
    assert [other.receive()[0].worker for _ in range(5)] == [0, 1, 2, 3, 4]


def test_the_masters_end_never_blocks(channels):
    ours, _ = channels
    with pytest.raises(BlockingIOError):
        ours.receive()
    with pytest.raises(BlockingIOError):
        _fill(ours)


def _fill(end):
    while True:
        end.send(messages.Stop())


def test_the_longest_traceback_fits(channels):
    ours, other = channels
    message = messages.LoadFailed("x", '"' * messages.DETAIL_LIMIT)
    ours.send(message)
    assert other.receive()[0] == message


def test_an_end_that_is_gone(channels):
    ours, other = channels
    other.close()
    with pytest.raises(Closed):
        ours.receive()
    with pytest.raises(Closed):
        ours.send(messages.Stop())


def test_a_channel_is_a_packet_socket():
    ours, theirs = Channel.pair()
    assert theirs.type == socket.SOCK_SEQPACKET
    ours.close()
    theirs.close()


def descriptors():
    return sorted(link.name for link in Path("/proc/self/fd").iterdir())


class TestHearing:
    """The master's end, whatever the other end is made to send."""

    def test_who_has_sent_it(self, channels):
        ours, other = channels
        child = os.fork()
        if child == 0:
            other.send(messages.Ready(1.0))
            os._exit(0)
        os.waitpid(child, 0)
        other.send(messages.Ready(2.0))
        assert [ours.hear(), ours.hear()] == [
            (messages.Ready(1.0), child),
            (messages.Ready(2.0), os.getpid()),
        ]

    @pytest.mark.parametrize("refused_by_the_kernel", [True, False])
    def test_descriptors_do_not_arrive(self, channels, refused_by_the_kernel):
        ours, other = channels
        if not refused_by_the_kernel:
            with contextlib.suppress(OSError):  # kernels that never refuse them do not know the option
                ours._sock.setsockopt(socket.SOL_SOCKET, channel._SO_PASSRIGHTS, 1)
        before = descriptors()
        try:
            other.send(messages.Ready(1.0), [0] * 200)
        except Closed:
            assert refused_by_the_kernel
        else:
            with pytest.raises(Forged, match="descriptors"):
                ours.hear()
        assert descriptors() == before

    @pytest.mark.parametrize(
        "raw",
        [
            *(b"", b"{}", b"\xff\0", b'{"type":"nonsense"}', b"[" * 100_000, b"1" * 100_000),
            b'{"type":"ready","seconds":1,"x":' + b"[" * 100_000,
            *(b'{"type":"ready","seconds":%s}' % seconds for seconds in (b"-1", b"1e999", b"NaN", b'"1"')),
            *(b'{"type":"started","pid":%s}' % pid for pid in (b"-1", b"1.5", b"true", b"4294967296")),
            b'{"type":"forkfailed","slot":-1,"reason":"x"}',
            b'{"type":"recycle","reason":"%s"}' % (b"x" * (messages.REASON_LIMIT + 1)),
            b'{"type":"bootfailed","reason":"x","detail":"%s"}' % (b"x" * (messages.DETAIL_LIMIT + 1)),
            *(messages.encode(each) for each in EXAMPLES if type(each) not in typing.get_args(messages.Word)),
        ],
    )
    def test_what_no_mold_or_worker_says(self, channels, raw):
        ours, other = channels
        other._sock.send(raw)
        with pytest.raises(Garbled) as caught:
            ours.hear()
        assert caught.value.sender == os.getpid()
        other.send(messages.Ready(1.0))
        assert ours.hear() == (messages.Ready(1.0), os.getpid())

    def test_what_is_longer_than_a_packet(self, channels):
        ours, other = channels
        other._sock.send(b" " * (channel._PACKET + 1))
        with pytest.raises(Forged, match="more than"):
            ours.hear()

    def test_an_end_that_has_closed(self, channels):
        ours, other = channels
        other._sock.shutdown(socket.SHUT_WR)
        with pytest.raises(Closed):
            ours.hear()
        assert ours.ended


def test_a_descriptor_that_is_a_channel_no_longer(channels):
    """As after os.closerange in an application."""
    _, other = channels
    os.close(other.fileno())
    with pytest.raises(Closed):
        other.receive()
    other._sock.detach()
