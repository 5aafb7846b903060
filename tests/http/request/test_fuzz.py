"""Properties of the parser, whatever the bytes."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.request.feeding import bytewise
from tests.http.request.streams import MOUNTED, cut, cuts, fuzzing, limits, messages, outcome, streams

pytestmark = pytest.mark.usefixtures("reader")  # by Python, and by C


@fuzzing
@given(streams, cuts, limits)
def test_how_a_stream_is_cut_makes_no_difference(stream, places, small):
    whole = outcome([stream], **small)
    assert outcome(cut(stream, places), **small) == whole
    assert outcome(bytewise(stream), **small) == whole


@fuzzing
@given(streams, cuts)
def test_nor_does_it_below_a_path_and_behind_proxies(stream, places):
    whole = outcome([stream], MOUNTED)
    assert outcome(cut(stream, places), MOUNTED) == whole
    assert outcome(bytewise(stream), MOUNTED) == whole


@fuzzing
@given(st.binary(max_size=200), cuts)
def test_any_bytes_at_all(stream, places):
    assert outcome(cut(stream, places)) == outcome([stream])


@fuzzing
@given(streams, limits)
def test_nothing_comes_behind_an_error_or_a_last_request(stream, small):
    first = outcome([stream], **small)
    again = outcome([stream, b"GET /more HTTP/1.1\r\nHost: a\r\n\r\n"], **small)
    if first.error or (first.requests and not first.requests[-1][3]):
        assert again == first


class SecondOpinion:
    """What llhttp makes of a stream: targets and bodies of complete messages."""

    def __init__(self, stream: bytes) -> None:
        self.messages: list[tuple[bytes, bytes]] = []
        self._target = self._body = b""
        httptools.HttpRequestParser(self).feed_data(stream)

    def on_message_begin(self):
        self._target = self._body = b""

    def on_url(self, part):
        self._target += part

    def on_body(self, part):
        self._body += part

    def on_message_complete(self):
        self.messages.append((self._target, self._body))


@fuzzing
@given(messages)
def test_what_is_taken_is_read_as_llhttp_reads_it(message):
    taken = outcome([message])
    if len(taken.requests) != 1 or taken.error or taken.phase != "BETWEEN":
        return
    ((_, target, _, goes_on, environ, body),) = taken.requests
    if not goes_on or "HTTP_UPGRADE" in environ:
        return  # llhttp minds what comes behind the last request, and skips the body behind an Upgrade
    assert SecondOpinion(message).messages == [(target, body)]


tokens = st.text("!#$%&'*+-.^|~0123456789abcXYZ", min_size=1, max_size=20)
values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30
).map(lambda text: text.strip(" "))
spaces = st.text(" \t", max_size=3)
targets = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#%?"), max_size=30
).map(lambda text: f"/{text}")


@fuzzing
@given(
    st.sampled_from(["GET", "POST", "M-SEARCH"]),
    targets,
    st.dictionaries(tokens, st.tuples(spaces, values, spaces), max_size=5),
    st.none() | st.lists(st.binary(min_size=1, max_size=30), max_size=4),
    cuts,
)
def test_what_is_spelled_right_arrives(method, target, fields, chunks, places):
    lines = [f"{method} {target} HTTP/1.1", "Host: a"]
    lines += [f"X-{name}:{before}{value}{behind}" for name, (before, value, behind) in fields.items()]
    lines += [] if chunks is None else ["Transfer-Encoding: chunked"]
    spelled = "\r\n".join([*lines, "", ""]).encode("latin-1")
    if chunks is not None:
        spelled += b"".join(b"%X;a\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    arrived = outcome(cut(spelled, places))
    assert arrived.error is None
    ((said_method, said_target, _, _, environ, body),) = arrived.requests
    assert (said_method, said_target.decode()) == (method, target)
    assert environ["PATH_INFO"] == target
    assert body == b"".join(chunks or [])
    keys = [f"HTTP_X_{name.upper().replace('-', '_')}" for name in fields]
    for key, (_, value, _) in zip(keys, fields.values(), strict=True):
        if keys.count(key) == 1 and not key.startswith("HTTP_X_FORWARDED"):
            assert environ[key] == value
