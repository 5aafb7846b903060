import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from superwsgi.log.access import QUEUE_LIMIT, AccessEntry, AccessLog, slice_size
from superwsgi.log.error import ErrorLog
from superwsgi.log.files import STDERR, STDOUT, open_target

ENTRY = AccessEntry(
    when=1795368001.0,
    remote="192.0.2.7",
    method="GET",
    target="/",
    protocol="HTTP/1.1",
    status=200,
    sent=12,
    duration=0.001,
    queued=0.0,
    app=0.001,
    host="example.com",
    referer="",
    agent="curl/8",
    request_id="c0ffee-7",
    traceparent="",
)


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Errors:
    """An error log into a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        fd = open_target(str(path), STDERR)
        assert fd is not None
        self.fd = fd
        self.log = ErrorLog(fd, "info")

    def text(self) -> str:
        return self.path.read_text()


@pytest.fixture
def errors(tmp_path: Path) -> Iterator[Errors]:
    made = Errors(tmp_path / "error.log")
    yield made
    os.close(made.fd)


@pytest.fixture
def nonblocking_pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    yield ends
    for end in ends:
        os.close(end)


def open_file(path: Path) -> int:
    fd = open_target(str(path), STDOUT)
    assert fd is not None
    return fd


def made(fd: int | None, errors: Errors, format: str = "{target}") -> AccessLog:
    return AccessLog(fd, format, errors.log, pid=812, worker=2, generation=3)


def test_entries_are_written_in_order_by_close_at_the_latest(tmp_path: Path, errors: Errors) -> None:
    path = tmp_path / "access.log"
    fd = open_file(path)
    log = made(fd, errors)
    log.log(ENTRY._replace(target="/before-start"))
    log.start()
    for number in range(1000):
        log.log(ENTRY._replace(target=f"/{number}"))
    log.close()
    os.close(fd)
    assert path.read_text().split() == ["/before-start", *(f"/{number}" for number in range(1000))]
    assert errors.text() == ""


@pytest.mark.usefixtures("eager_switching")
def test_close_loses_nothing_however_soon_it_comes(tmp_path: Path, errors: Errors) -> None:
    path = tmp_path / "access.log"
    fd = open_file(path)
    for number in range(300):
        log = made(fd, errors)
        log.start()
        log.log(ENTRY._replace(target=f"/{number}"))
        log.close(timeout=20)
    os.close(fd)
    assert path.read_text().split() == [f"/{number}" for number in range(300)]


def test_an_entry_is_written_soon_without_close(tmp_path: Path, errors: Errors) -> None:
    path = tmp_path / "access.log"
    fd = open_file(path)
    log = made(fd, errors)
    log.start()
    for number in range(3):
        log.log(ENTRY._replace(target=f"/{number}"))
        assert eventually(lambda wanted=f"/{number}\n": wanted in path.read_text())  # type: ignore[misc]
    log.close()
    os.close(fd)


def test_off_takes_no_thread_and_no_entries(errors: Errors) -> None:
    log = made(None, errors)
    before = threading.active_count()
    log.start()
    assert threading.active_count() == before
    assert not log.enabled
    log.close()


def test_close_ends_the_thread(tmp_path: Path, errors: Errors) -> None:
    fd = open_file(tmp_path / "access.log")
    before = threading.active_count()
    log = made(fd, errors)
    log.start()
    assert threading.active_count() == before + 1
    log.close()
    assert threading.active_count() == before
    os.close(fd)


def test_an_idle_writer_does_not_wake_up(tmp_path: Path, errors: Errors) -> None:
    fd = open_file(tmp_path / "access.log")
    log = made(fd, errors)
    log.start()
    log.log(ENTRY)
    assert eventually(lambda: (tmp_path / "access.log").stat().st_size > 0)
    writer = next(thread for thread in threading.enumerate() if thread.name == "superwsgi-access-log")
    status = Path(f"/proc/self/task/{writer.native_id}/status")

    def switches() -> int:
        return sum(
            int(line.split()[1]) for line in status.read_text().splitlines() if "ctxt_switches" in line
        )

    def sleeps() -> bool:
        before = switches()
        time.sleep(0.3)  # long enough for any period below that to show
        return switches() == before

    assert eventually(sleeps)
    log.close()
    os.close(fd)


def test_reopen_between_entries(tmp_path: Path, errors: Errors) -> None:
    path = tmp_path / "access.log"
    fd = open_file(path)
    log = made(fd, errors)
    log.start()
    log.log(ENTRY._replace(target="/old"))
    assert eventually(lambda: path.stat().st_size > 0)
    path.rename(tmp_path / "access.log.1")
    log.reopen(open_file(path))
    log.log(ENTRY._replace(target="/new"))
    log.close()
    os.close(fd)
    assert (tmp_path / "access.log.1").read_text() == "/old\n"
    assert path.read_text() == "/new\n"


def test_reopen_of_a_log_that_is_off_closes_the_descriptor(tmp_path: Path, errors: Errors) -> None:
    fd = open_file(tmp_path / "access.log")
    made(None, errors).reopen(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_stuck_reader_holds_nobody_up_and_what_is_dropped_is_told(errors: Errors) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    log = made(write_end, errors, format="{target} {agent}")
    log.start()
    entry = ENTRY._replace(agent="x" * 100)
    for _ in range(QUEUE_LIMIT + 5000):
        log.log(entry)
    assert eventually(lambda: "access log stuck" in errors.text())
    with open(read_end, "rb") as reader, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(reader.read)
        log.close(timeout=20)
        os.close(write_end)
        lines = reading.result().count(b"\n")
    told = re.findall(r"warning access log dropped lines=(\d+)", errors.text())
    assert lines + sum(map(int, told)) == QUEUE_LIMIT + 5000
    assert lines >= QUEUE_LIMIT


def test_close_does_not_wait_for_a_stuck_reader(nonblocking_pipe: tuple[int, int], errors: Errors) -> None:
    read_end, write_end = nonblocking_pipe
    log = made(write_end, errors)
    log.start()
    for _ in range(QUEUE_LIMIT):
        log.log(ENTRY._replace(target="/" + "x" * 100))
    log.close(timeout=0.1)
    writer = next(thread for thread in threading.enumerate() if thread.name == "superwsgi-access-log")
    while writer.is_alive():
        os.read(read_end, 1 << 16)
        writer.join(0.01)


def test_a_full_disk_is_told_once_and_what_was_lost_when_it_works_again(
    tmp_path: Path, errors: Errors
) -> None:
    path = tmp_path / "access.log"
    fd = open_target("/dev/full", STDOUT)
    assert fd is not None
    log = made(fd, errors)
    log.start()
    for _ in range(3):
        log.log(ENTRY)
        failed = log._unwritten
        assert eventually(lambda failed=failed: log._unwritten > failed)  # type: ignore[misc]
    log.reopen(open_file(path))
    log.log(ENTRY)
    log.close()
    os.close(fd)
    failure, told = errors.text().splitlines()
    assert failure.endswith(
        'access log failed reason="No space left on device" next="lines are dropped until it works"'
    )
    assert told.endswith("access log dropped lines=3")
    assert path.read_text() == "/\n"


def test_many_threads_lose_nothing(tmp_path: Path, errors: Errors) -> None:
    path = tmp_path / "access.log"
    fd = open_file(path)
    log = made(fd, errors)
    log.start()

    def write(name: int) -> None:
        for number in range(1000):
            log.log(ENTRY._replace(target=f"/{name}/{number}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close(timeout=20)
    os.close(fd)
    assert sorted(path.read_text().split()) == sorted(
        f"/{name}/{n}" for name in range(4) for n in range(1000)
    )


@pytest.mark.parametrize(("backlog", "lines"), [(0, 64), (500, 64), (1000, 125), (16_384, 2048)])
def test_a_slice_grows_with_the_backlog(backlog: int, lines: int) -> None:
    assert slice_size(backlog) == lines
