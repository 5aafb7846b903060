from __future__ import annotations

import io
import threading

import pytest

from superwsgi.log.streams import CapturedBytes, ErrorStream, Lines, captured_text


class Said:
    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []
        self.lines = Lines(lambda stream, data: self.said.append((stream, data)))
        self.behind = CapturedBytes(self.lines, "stdout", 1)
        self.text = captured_text(self.behind)


@pytest.fixture
def said() -> Said:
    return Said()


def test_parts_become_lines_of_each_stream_and_thread(said: Said) -> None:
    errors = ErrorStream(said.lines)
    other = threading.Thread(target=said.text.write, args=("of another thread",))
    print("one", end=" ", file=said.text)
    print("beside", end=" ", file=errors)
    other.start()
    other.join()
    print("line", file=said.text)
    print("it", file=errors)
    assert said.said == [("stdout", b"one line\n"), ("wsgi.errors", b"beside it\n")]
    said.lines.flush_all()
    assert said.said[2:] == [("stdout", b"of another thread")]


def test_the_end_of_a_request_ends_the_lines_of_its_thread_alone(said: Said) -> None:
    for stream in (said.text, ErrorStream(said.lines)):
        print("begun", end="", file=stream)
    other = threading.Thread(target=said.text.write, args=("of another thread",))
    other.start()
    other.join()
    said.lines.end_request()
    assert sorted(said.said) == [("stdout", b"begun"), ("wsgi.errors", b"begun")]
    assert len(said.lines.begun) == 1


def test_a_flush_says_what_was_begun(said: Said) -> None:
    print("begun", end="", file=said.text, flush=True)
    assert said.said == [("stdout", b"begun")]


def test_bytes_that_are_no_characters_and_characters_in_parts(said: Said) -> None:
    for part in (b"\xc3", bytearray(b"\xa9"), memoryview(b"\xff\n")):
        assert said.text.buffer.write(part) == len(part)
    assert said.said == [("stdout", b"\xc3\xa9\xff\n")]
    assert said.text.write("\udcff\n") == 2
    assert said.said[1:] == [("stdout", b"\\udcff\n")]
    with pytest.raises(TypeError):
        said.text.buffer.write("text")  # type: ignore[arg-type]


def test_it_looks_like_what_it_stands_for(said: Said) -> None:
    text = said.text
    assert (text.fileno(), text.isatty(), text.encoding, text.name, text.mode) == (
        1,
        False,
        "utf-8",
        "<stdout>",
        "w",
    )
    assert text.writable()
    assert not text.readable()
    text.reconfigure(line_buffering=True, encoding="latin-1")
    assert text.write("\xe9\n") == 2
    assert said.said == [("stdout", b"\xe9\n")]


def test_nobody_can_close_it(said: Said) -> None:
    said.text.close()
    io.TextIOWrapper(said.text.buffer, "utf-8").close()
    print("still open", file=said.text)
    assert said.said == [("stdout", b"still open\n")]


def test_who_takes_it_apart_is_heard(said: Said) -> None:
    anew = io.TextIOWrapper(said.text.detach(), "utf-8", line_buffering=True)
    print("é", file=anew)
    assert said.said == [("stdout", "é\n".encode())]
