"""What is handed to start_response: what is checked, kept and sent of it is one and the same text."""

from __future__ import annotations

import enum
import gc
import itertools
import sys
import weakref

import pytest

from tests.http.response.answering import Answers, Run


class Text(str):
    """Says everywhere something else than what it is."""

    def __str__(self):
        return "FORGED"

    __repr__ = __format__ = __getitem__ = lambda self, *_: "FORGED"
    __len__ = lambda self: 3  # noqa: E731

    def __eq__(self, other):
        return True

    __hash__ = str.__hash__

    def _forge(self, *_):
        return "FORGED"

    encode = join = lower = upper = strip = partition = _forge
    isascii = isprintable = isdigit = lambda self: True


class Told(str, enum.Enum):
    NAME = "Cache-Control"
    VALUE = "no-store"
    STATUS = "404 Not Found"


KINDS = [Text, Told]
if sys.version_info >= (3, 11):

    class Bare(enum.StrEnum):
        NAME = "Cache-Control"
        VALUE = "no-store"
        STATUS = "404 Not Found"

    KINDS.append(Bare)


def answer(status, fields, body=(b"",)):
    """An application that hands on exactly these objects."""

    def app(environ, start_response):
        start_response(status, fields() if callable(fields) else fields)
        return list(body)

    return app


class Changing:
    """Answers one after the other, by different applications."""

    def __init__(self, *apps):
        self.apps = list(apps)

    def __call__(self, environ, start_response):
        return self.apps.pop(0)(environ, start_response)


@pytest.mark.parametrize("kind", KINDS)
class TestSubclassesOfStr:
    def test_are_sent_by_their_characters(self, kind):
        run = Run(answer(kind("404 Not Found"), [(kind("Cache-Control"), kind("no-store"))]))
        assert run.client.head.startswith("HTTP/1.1 404 Not Found\r\n")
        assert "Cache-Control: no-store\r\n" in run.client.head
        assert run.exchange.status == 404
        assert not run.log

    @pytest.mark.parametrize("first", ["subclass", "plain"])
    def test_leave_nothing_behind_for_others(self, kind, first):
        marked = answer(kind("404 Not Found"), [(kind("Cache-Control"), kind("no-store"))])
        plain = answer("404 Not Found", [("Cache-Control", "no-store")])
        answers = Answers(Changing(*((marked, plain) if first == "subclass" else (plain, marked)), plain))
        heads = [answers.ask()[0].head for _ in range(3)]
        assert all(head.startswith("HTTP/1.1 404 Not Found\r\n") for head in heads)
        assert all("Cache-Control: no-store\r\n" in head for head in heads)


@pytest.mark.parametrize(
    "fields",
    [
        [("Content-Type", Text("text/html\r\nEvil: 1"))],
        [(Text("A\r\nEvil"), "1")],
        [("A", Text("\u20ac"))],
        [("Content-Length", Text("5\r\nEvil: 1"))],
    ],
    ids=itertools.count(),
)
def test_a_subclass_is_checked_by_its_characters(fields):
    run = Run(answer("200 OK", fields))
    assert run.client.status == 500
    assert "Evil" not in run.client.head


def test_one_that_takes_itself_for_another_is_not_taken_for_it():
    answers = Answers(
        Changing(answer("200 OK", [("A", "b")]), answer(Text("403 No"), [(Text("C"), Text("d"))]))
    )
    answers.ask()
    head = answers.ask()[0].head
    assert head.startswith("HTTP/1.1 403 No\r\n")
    assert "C: d\r\n" in head


class Proxy:
    """Claims a class that it has not, as lazy objects do."""

    __class__ = str


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (Proxy(), []),
        ("200 OK", [(Proxy(), "b")]),
        ("200 OK", [("A", Proxy())]),
        ("200 OK", [("A", 5)]),
        ("200 OK", [("A",)]),
        ("200 OK", [("A", "b", "c")]),
        ("200 OK", ["AB"]),
        ("200 OK", {"AB": "c"}),
        ("200 OK", [None]),
        ("200 OK", None),
        ([], []),
    ],
    ids=itertools.count(),
)
def test_what_is_no_text_or_no_pair_is_a_500(status, fields):
    run = Run(answer(status, fields))
    assert run.client.status == 500
    assert "request failed" in run.log


FIELDS = [("Set-Cookie", "a=1"), ("Content-Security-Policy", "default-src 'self'")]


class Pairs:
    """Gives pairs, once."""

    def __init__(self):
        self.walks = 0

    def __iter__(self):
        self.walks += 1
        assert self.walks == 1, "walked twice"
        yield from FIELDS

    def __eq__(self, other):
        return True


@pytest.mark.parametrize(
    "fields",
    [
        lambda: iter(FIELDS),
        lambda: (pair for pair in FIELDS),
        lambda: filter(None, FIELDS),
        lambda: map(tuple, FIELDS),
        lambda: dict(FIELDS).items(),
        lambda: itertools.chain(FIELDS),
        lambda: tuple(FIELDS),
        lambda: zip(*zip(*FIELDS, strict=True), strict=True),
        lambda: [list(pair) for pair in FIELDS],
        lambda: tuple(iter(pair) for pair in FIELDS),
        Pairs,
    ],
)
def test_fields_are_walked_once_whatever_they_are(fields):
    answers = Answers(answer("200 OK", fields))
    for _ in range(3):
        assert "Set-Cookie: a=1\r\nContent-Security-Policy: default-src 'self'" in answers.ask()[0].head
    assert not answers.log


def test_a_pair_that_changed_is_sent_as_it_is_now():
    pair = ["A", "first"]
    fields = [pair]
    answers = Answers(answer("200 OK", fields))
    assert "A: first\r\n" in answers.ask()[0].head
    pair[1] = "second"
    assert "A: second\r\n" in answers.ask()[0].head
    fields.append(("B", "third"))
    assert "B: third" in answers.ask()[0].head


def test_a_list_that_changed_before_anything_was_sent_says_what_it_said():
    def app(environ, start_response):
        fields = [("A", "b")]
        start_response("200 OK", fields)
        fields[:] = [("A", "changed")]
        return [b""]

    assert "A: b\r\n" in Run(app).client.head


class Tracked(str):
    __slots__ = ("__weakref__",)


class Pair(list):
    __slots__ = ("__weakref__",)


def test_nothing_of_the_application_is_kept():
    known = []

    def app(environ, start_response):
        name, value, status = Tracked("A"), Tracked("b"), Tracked("200 OK")
        pair = Pair([name, value])
        fields = Pair([pair])
        known.extend(map(weakref.ref, (name, value, status, pair, fields)))
        start_response(status, fields)
        return [b""]

    answers = Answers(app)
    gc.disable()
    try:
        answers.ask()
        assert [ref() for ref in known] == [None] * 5
    finally:
        gc.enable()


def test_an_error_is_not_kept_either():
    class Failure(Exception):
        pass

    known = []

    def app(environ, start_response):
        start_response("200 OK", [])(b"begun")
        try:
            error = Failure()
            known.append(weakref.ref(error))
            raise error
        except Failure:
            del error
            start_response("500 Sorry", [], sys.exc_info())

    answers = Answers(app)
    gc.disable()
    try:
        assert answers.ask()[1].broken
        assert known[0]() is None
    finally:
        gc.enable()


def test_no_exc_info_is_none_however_it_is_spelled():
    def app(environ, start_response):
        start_response("200 OK", [], ())
        start_response("200 OK", [], False)
        return [b""]

    run = Run(app)
    assert run.client.status == 500
    assert "start_response called twice" in run.log


HOP_BY_HOP = [
    ("Connection", "keep-alive"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Authenticate", "Basic"),
    ("Proxy-Connection", "keep-alive"),
    ("TE", "trailers"),
    ("Trailer", "X-Sum"),
    ("Transfer-Encoding", "chunked"),
    ("Transfer-Encoding", "gzip, chunked"),
    ("Upgrade", "h2c"),
]


class TestHopByHop:
    @pytest.mark.parametrize(("name", "value"), HOP_BY_HOP)
    @pytest.mark.parametrize("spell", [str.lower, str.upper, str])
    def test_fields_are_left_out_and_told_of_once(self, name, value, spell):
        answers = Answers(answer("200 OK", [(spell(name), value), ("A", "b")], [b"hello"]))
        for target in ("/first", "/second", "/third"):
            client, exchange = answers.ask(target=target)
            assert f"\n{name}:".lower() not in client.head.lower()
            assert "A: b\r\nContent-Length: 5" in client.head
            assert client.body == b"hello"
            assert exchange.keep_alive
        (line,) = answers.log.splitlines()
        assert " warning " in line
        assert f"field={spell(name)} " in line
        assert "target=/first " in line
        assert "next=" in line

    def test_each_name_is_told_of(self):
        answers = Answers(answer("200 OK", [*HOP_BY_HOP, *HOP_BY_HOP]))
        answers.ask()
        answers.ask()
        assert len(answers.log.splitlines()) == len({name for name, _ in HOP_BY_HOP})

    @pytest.mark.parametrize("value", ["close", "Close", "foo, close", "keep-alive,\tCLOSE , x"])
    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    def test_close_is_obeyed(self, value, version):
        answers = Answers(answer("200 OK", [("Connection", value)], [b"hello"]))
        for _ in range(2):
            client, exchange = answers.ask(version=version)
            assert not exchange.keep_alive
            assert client.head.count("Connection: close") == 1
            assert client.body == b"hello"

    @pytest.mark.parametrize("value", ["keep-alive", "closed", "upgrade", "", "not-close"])
    def test_other_options_are_not(self, value):
        run = Run(answer("200 OK", [("Connection", value)]))
        assert run.exchange.keep_alive
        assert "Connection" not in run.client.head

    def test_close_is_for_one_response(self):
        answers = Answers(Changing(answer("200 OK", [("Connection", "close")]), answer("200 OK", [])))
        assert [answers.ask()[1].keep_alive for _ in range(2)] == [False, True]

    @pytest.mark.parametrize("value", ["a\r\nEvil: 1", "\u20ac", None])
    def test_a_value_that_may_not_be_is_still_an_error(self, value):
        assert Run(answer("200 OK", [("Connection", value)])).client.status == 500


class TestChunked:
    """An application that says so has not chunked anything."""

    FIELD = ("Transfer-Encoding", "chunked")

    def test_a_stream_is_chunked_once(self):
        def app(environ, start_response):
            start_response("200 OK", [self.FIELD])
            yield b"data: 1\n\n"

        run = Run(app)
        assert run.client.head.count("Transfer-Encoding: chunked") == 1
        assert run.client.body == b"9\r\ndata: 1\n\n\r\n0\r\n\r\n"
        assert run.exchange.keep_alive

    def test_an_old_client_gets_it_as_it_is(self):
        def app(environ, start_response):
            start_response("200 OK", [self.FIELD])
            yield b"data"

        run = Run(app, version="1.0")
        assert "Transfer-Encoding" not in run.client.head
        assert run.client.body == b"data"
        assert not run.exchange.keep_alive

    def test_what_looks_like_chunks_is_content(self):
        run = Run(answer("200 OK", [self.FIELD], [b"5\r\nhello\r\n0\r\n\r\n"]))
        assert "Content-Length: 15" in run.client.head
        assert run.client.body == b"5\r\nhello\r\n0\r\n\r\n"

    def test_a_length_beside_it_counts(self):
        def app(environ, start_response):
            start_response("200 OK", [self.FIELD, ("Content-Length", "5")])
            yield b"hel"
            yield b"lo"

        run = Run(app)
        assert "Content-Length: 5" in run.client.head
        assert "chunked" not in run.client.head
        assert run.client.body == b"hello"
