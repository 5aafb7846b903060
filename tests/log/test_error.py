import io
import os
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

import pytest

from superwsgi.log.error import ErrorLog
from superwsgi.log.files import STDERR, open_target


class Written:
    """An error log into a file, and its lines without their times."""

    def __init__(self, path: Path) -> None:
        self.path = path
        fd = open_target(str(path), STDERR)
        assert fd is not None
        self.fd = fd
        self.log = ErrorLog(fd, "debug", worker=2)

    def lines(self) -> list[str]:
        return [self._without_time(line) for line in self.path.read_text().splitlines()]

    @staticmethod
    def _without_time(line: str) -> str:
        return line if line.startswith(" ") else line.partition(" ")[2]


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    made = Written(tmp_path / "error.log")
    yield made
    os.close(made.fd)


def test_each_level_and_what_is_below_the_least(written: Written) -> None:
    for log in (written.log, ErrorLog(written.fd, "warning")):
        log.debug("one")
        log.info("two", reason="asked")
        log.warning("three")
        log.error("four", detail="below")
    assert written.lines() == [
        "debug   worker=2 one",
        "info    worker=2 two reason=asked",
        "warning worker=2 three",
        "error   worker=2 four",
        "    below",
        "warning three",
        "error   four",
        "    below",
    ]


def test_bind_adds_and_replaces_who(written: Written) -> None:
    written.log.bind(worker=3, pid=812).info("ready")
    written.log.info("ready")
    assert written.lines() == ["info    worker=3 pid=812 ready", "info    worker=2 ready"]


def test_off_writes_nothing() -> None:
    log = ErrorLog(None, "debug")
    log.error("nobody hears it")
    log.stream().write("nor this\n")


def test_an_exception_stands_below_its_event(written: Written) -> None:
    try:
        raise KeyError("name\n2026-11-22T17:20:01.123Z error forged")
    except KeyError as exc:
        written.log.exception("request failed", exc, method="GET")
    first, *others = written.lines()
    assert first.startswith('error   worker=2 request failed error="KeyError: ')
    assert first.endswith(" method=GET")
    assert others[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in others)


def test_reopen_holds_for_all_that_were_bound(written: Written, tmp_path: Path) -> None:
    bound = written.log.bind(gen=3)
    written.log.info("before")
    written.path.rename(tmp_path / "error.log.1")
    fd = open_target(str(written.path), STDERR)
    assert fd is not None
    written.log.reopen(fd)
    bound.info("after")
    assert written.lines() == ["info    worker=2 gen=3 after"]
    assert (tmp_path / "error.log.1").read_text().endswith("before\n")


def test_a_log_that_was_off_can_be_opened(tmp_path: Path) -> None:
    log = ErrorLog(None, "info")
    fd = open_target(str(tmp_path / "log"), STDERR)
    assert fd is not None
    log.reopen(fd)
    log.info("here")
    os.close(fd)
    assert (tmp_path / "log").read_text().endswith("info    here\n")


def test_what_cannot_be_written_is_counted_and_told() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    log = ErrorLog(write_end, "info")
    long = "x" * 900
    for _ in range(100):
        log.info("filling", text=long)
    kept = os.read(read_end, 1 << 17).count(b"\n")
    log.info("works again")
    told, event = os.read(read_end, 1 << 16).decode().splitlines()
    assert told.endswith(f"warning error log dropped events={100 - kept}")
    assert event.endswith("info    works again")
    os.close(read_end)
    log.info("broken pipe")
    os.close(write_end)


def test_a_full_disk_does_not_reach_the_caller() -> None:
    fd = open_target("/dev/full", STDERR)
    assert fd is not None
    ErrorLog(fd, "info").error("no space")
    os.close(fd)


def test_lines_of_several_processes_do_not_mix() -> None:
    read_end, write_end = os.pipe()
    children: list[int] = []
    for name in ("a", "b", "c"):
        child = os.fork()
        if child == 0:
            os.close(read_end)
            log = ErrorLog(write_end, "info", process=name)
            for _ in range(200):
                log.error("event", detail="\n".join([name * 700] * 9), text=name * 900)
            os._exit(0)
        children.append(child)
    os.close(write_end)
    with open(read_end, "rb") as reader:
        lines = reader.read().decode().splitlines()
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(lines) == 3 * 200 * 10
    assert {line for line in lines if line.startswith(" ")} == {"    " + name * 700 for name in "abc"}
    assert all(line[24:].startswith(" error   process=") for line in lines if not line.startswith(" "))


def test_a_stream_makes_events_of_lines(written: Written) -> None:
    errors = written.log.stream()
    print("disk", "full", file=errors)
    errors.write("first\n  second\n")
    errors.writelines(["a\n", "\n", "b"])
    errors.flush()
    errors.close()
    errors.write("still open\n")
    assert written.lines() == [
        'error   worker=2 app text="disk full"',
        "error   worker=2 app text=first",
        "      second",
        "error   worker=2 app text=a",
        "error   worker=2 app text=b",
        'error   worker=2 app text="still open"',
    ]


def test_a_stream_takes_a_traceback_and_a_long_line_whole(written: Written) -> None:
    errors = written.log.stream()
    try:
        raise ValueError("x" * 3000)
    except ValueError:
        errors.write(traceback.format_exc())
    errors.write("y" * 3000 + "\n")
    text = written.path.read_text()
    assert "    ValueError: " + "x" * 3000 in text
    assert "    " + "y" * 3000 in text


def test_a_stream_is_a_text_stream(written: Written) -> None:
    errors = written.log.stream()
    assert isinstance(errors, io.TextIOBase)
    assert errors.writable()
    assert not errors.isatty()
    assert not errors.closed


def test_a_stream_never_raises(written: Written) -> None:
    errors = written.log.stream()
    cast(io.TextIOBase, errors).write(cast(str, b"bytes"))
    errors.write("\udcff\x00\n")
    assert written.lines() == ["error   worker=2 app text=\"b'bytes'\\udcff\\u0000\""]


def test_threads_do_not_end_each_others_lines(written: Written) -> None:
    errors = written.log.stream()
    barrier = threading.Barrier(4)

    def write(errors: TextIO, name: str) -> None:
        barrier.wait()
        for _ in range(200):
            for part in (name, name, "\n"):
                errors.write(part)

    threads = [threading.Thread(target=write, args=(errors, name)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = written.lines()
    assert len(lines) == 800
    assert set(lines) == {f"error   worker=2 app text={name}{name}" for name in "abcd"}


def test_in_the_journal_lines_have_a_priority_and_no_time(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = os.fstat(written.fd)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    log = ErrorLog(written.fd, "info", worker=2)
    log.info("serving", pid=7)
    log.warning("killed", detail="why\nand where")
    assert (
        written.path.read_text()
        == "<6>worker=2 serving pid=7\n<4>worker=2 killed\n<4>    why\n<4>    and where\n"
    )
