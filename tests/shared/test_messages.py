"""Messages and channels: what goes in comes out."""

import os
import socket
import typing

import msgspec
import pytest

from superwsgi import messages
from superwsgi.channel import Channel, Closed
from superwsgi.config.listening import TcpAddress, UnixAddress
from superwsgi.config.schema import Site

SITE = Site(
    name="shop", apps={"/": "shop:app"}, bind=(TcpAddress("::1", 80), UnixAddress("/run/x", owner="www"))
)
EXAMPLES = [
    messages.Boot(812, 3, SITE, True, False, (False, True)),
    messages.Fork(2, 17),
    messages.Become(1, 0, proven=True),
    messages.Reopen(True, True),
    messages.Drain(0.5, 30.0),
    messages.Stop(),
    messages.Loaded(0.25, ["thread 'metrics' started at shop/metrics.py:12"]),
    messages.Unforkable(["a connection to 10.0.0.5:5432"], 0.25),
    messages.LoadFailed("no module named 'shöp'", "Traceback\n  …"),
    messages.Started(4711),
    messages.ForkFailed(17, "cannot fork"),
    messages.Ready(0.1),
    messages.BootFailed("no", ""),
    messages.Recycle("requests"),
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


def _fill(channel):
    while True:
        channel.send(messages.Stop())


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
