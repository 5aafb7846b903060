import io
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

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
        log.error("four", "below")
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
    assert told.endswith(f'warning error log dropped lines={100 - kept} reason="nobody reads it"')
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
                log.error("event", "\n".join([name * 700] * 9), text=name * 900)
            os._exit(0)
        children.append(child)
    os.close(write_end)
    with open(read_end, "rb") as reader:
        lines = reader.read().decode().splitlines()
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    said = [line for line in lines if "error log dropped lines=" not in line]  # on a slow machine, by us
    assert {line for line in said if line.startswith(" ")} == {"    " + name * 700 for name in "abc"}
    events = {line[24:] for line in said if not line.startswith(" ")}
    assert events == {f" error   process={name} event text={name * 900}" for name in "abc"}


def test_what_is_written_to_the_stream_stands_there_as_it_is(written: Written) -> None:
    errors = ErrorLog(written.fd, "error", worker=2).stream()
    said = [
        "first\n  second\r\n",
        '{"json": "\\u00e9", "é": 1}\n',
        "\x1b[31mred\x1b[0m\n",
        "\n",
        "y" * 9000 + "\n",
    ]
    errors.writelines(said)
    print("disk", "full", file=errors)
    errors.write("begun ")
    errors.write("and ended\nno end")
    errors.flush()
    assert written.path.read_bytes().decode() == "".join(said) + "disk full\nbegun and ended\nno end"


def test_events_stand_between_lines_of_the_stream_and_never_in_them(written: Written) -> None:
    errors = written.log.bind(gen=1).stream()
    errors.write("half a ")
    written.log.error("event")
    errors.write("line\n")
    assert written.lines() == ["error   worker=2 event", "half a line".partition(" ")[2]]


def test_the_server_s_stream_is_not_the_application_s_to_close(written: Written) -> None:
    errors = written.log.stream()
    errors.write("kept until the end")
    errors.close()
    errors.write("still open\n")
    assert written.path.read_text() == "kept until the endstill open\n"


def test_an_error_log_that_is_off_leaves_the_stream_its_own_target(written: Written) -> None:
    log = ErrorLog(None, "info", stderr_fd=written.fd)
    log.error("nobody hears it")
    log.bind(worker=1).stream().write("but this\n")
    assert written.path.read_text() == "but this\n"


def test_what_was_begun_is_there_at_the_end_of_the_process(written: Written) -> None:
    thread = threading.Thread(target=lambda: written.log.stream().write("from a thread that ended"))
    thread.start()
    thread.join()
    written.log.stream().write("and from this one")
    written.log.close()
    assert set(written.path.read_text()) == set("from a thread that ended" + "and from this one")


def test_a_stream_is_a_text_stream(written: Written) -> None:
    errors = written.log.stream()
    assert isinstance(errors, io.TextIOBase)
    assert errors.writable()
    assert not errors.isatty()
    assert not errors.closed


def test_a_stream_never_raises(written: Written) -> None:
    errors = written.log.stream()
    assert errors.write(b"bytes") == len("b'bytes'")
    errors.write("\udcff\x00\n")
    assert written.path.read_bytes() == b"b'bytes'\\udcff\x00\n"


def test_a_stream_takes_text_of_any_class_for_its_characters(written: Written) -> None:
    class Marked(str):
        """As markupsafe's Markup, which escapes what it is joined to, and an enum's member."""

        def __str__(self) -> str:
            return "another"

        def __radd__(self, other: str) -> str:
            return "escaped"

        __add__ = __radd__

        def __len__(self) -> int:
            return 99

        def rfind(self, *_: object) -> int:
            return 3

    errors = written.log.stream()
    errors.write("begun ")
    assert errors.write(Marked("and <b>\n")) == 8
    errors.write(Marked("begun "))
    errors.write("and ended\n")
    assert written.path.read_text() == "begun and <b>\nbegun and ended\n"


def test_that_it_cannot_be_written_is_reported_and_so_is_the_end(written: Written) -> None:
    told: list[tuple[str, str, object]] = []

    def report(level: str, who: object, event: str, fields: Mapping[str, object], detail: str) -> None:
        told.append((level, event, fields["reason"]))

    log = ErrorLog(os.open("/dev/full", os.O_WRONLY), "info", worker=2)
    log.report_to(report)
    log.info("serving")
    log.info("serving")
    assert told == [("error", "error log failed", "No space left on device")]
    log.reopen(os.dup(written.fd))
    log.info("serving")
    assert told[1:] == [("warning", "error log dropped", "2 lines")]


def test_a_line_without_end_is_not_kept(written: Written) -> None:
    errors = written.log.stream()
    for _ in range(100):
        errors.write("x" * 1000)
    assert len(written.path.read_text()) > 60_000
    errors.write("\nlast")
    errors.flush()
    assert written.path.read_text() == "x" * 100_000 + "\nlast"


@pytest.mark.parametrize("started", [False, True])
def test_threads_do_not_end_each_others_lines(written: Written, started: bool) -> None:
    errors = written.log.stream()
    barrier = threading.Barrier(4)
    if started:
        written.log.start()

    def write(name: str) -> None:
        barrier.wait()
        for _ in range(30):  # below LIMIT in all: a slow disk may not take any of it meanwhile
            for part in (name, name, "\n"):
                errors.write(part)
            errors.write(f"{name * 7_000}\n{name} below\n")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written.log.close()
    lines = written.path.read_text().splitlines()
    assert len(lines) == 360
    assert set(lines) == {line for name in "abcd" for line in (name * 2, name * 7_000, f"{name} below")}
    pairs = [(line[0], lines[at + 1]) for at, line in enumerate(lines) if len(line) == 7_000]
    assert all(below == f"{name} below" for name, below in pairs), "what is written at once stays together"


def test_where_output_is_captured_each_line_is_an_event_at_any_level(written: Written) -> None:
    log = ErrorLog(written.fd, "error", captured=True, worker=2)
    log.know_requests(lambda: {"request": "ab-1"})
    log.stream().write("first\r\n\nsecond 'line'\nno end")
    log.info("not said")
    log.lines.end_request()
    assert written.lines() == [
        "info    worker=2 application stream=wsgi.errors request=ab-1 text=first",
        'info    worker=2 application stream=wsgi.errors request=ab-1 text=""',
        "info    worker=2 application stream=wsgi.errors request=ab-1 text=\"second 'line'\"",
        'info    worker=2 application stream=wsgi.errors request=ab-1 text="no end"',
    ]


def test_a_child_does_not_say_what_its_parent_has_begun(written: Written) -> None:
    log = ErrorLog(written.fd, "info", captured=True, worker=2)
    log.stream().write("begun by the parent")
    log.begin_child()
    log.stream().write("by the child\n")
    log.close()
    assert written.lines() == [
        f'info    worker=2 child={os.getpid()} application stream=wsgi.errors text="by the child"'
    ]


def test_in_the_journal_an_object_has_a_priority(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.fstat(written.fd)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    log = ErrorLog(written.fd, "info", style="json")
    log.error("killed", "why\nand where")
    log.stream().write("said\n")
    first, second = written.path.read_text().splitlines()
    assert (first[:4], second[:4]) == ("<3>{", "<6>{")
    assert json.loads(first[3:])["detail"] == "why\nand where"
    assert json.loads(second[3:])["text"] == "said"


def test_objects_of_several_processes_do_not_mix(pipe: tuple[int, int]) -> None:
    """Dropped lines are told by objects, too, and stderr gets one of what is wrong with the log."""
    reading, writing = pipe
    os.set_blocking(writing, False)
    log = ErrorLog(writing, "info", style="json", process=1)
    for _ in range(100):
        log.error("event", "\u00e9\n" * 5000, text="x" * 900)
    lines = os.read(reading, 1 << 17).splitlines(keepends=True)
    log.info("works again")
    lines += os.read(reading, 1 << 16).splitlines(keepends=True)
    assert all(len(line) <= 4096 and json.loads(line) for line in lines)
    assert json.loads(lines[-2])["event"] == "error log dropped"
    assert json.loads(lines[-2])["lines"] == 100 - len(lines) + 2


def test_in_the_journal_lines_have_a_priority_and_no_time(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = os.fstat(written.fd)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    log = ErrorLog(written.fd, "info", worker=2)
    log.info("serving", pid=7)
    log.warning("killed", "why\nand where")
    assert (
        written.path.read_text()
        == "<6>worker=2 serving pid=7\n<4>worker=2 killed\n<4>    why\n<4>    and where\n"
    )
