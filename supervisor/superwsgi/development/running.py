"""The master as the process that watches the files sees it: started, told, heard and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from superwsgi.development import names

_PROGRAM: Final = """\
import sys
if sys.path[:1] == ['']: del sys.path[0]
from superwsgi.development.server import main
main()
"""
"""Modules in the working folder are the project's: they are not for the master."""

_PATIENCE: Final = 3.0
"""Seconds for it to end once it was told to at once."""

_HEEDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_AT_ONCE: Final = 65536


class Server:
    """At most one process at a time; its log is read from the pipe in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        pipe = folder / names.LOG
        os.mkfifo(pipe, 0o600)
        self._folder = folder
        self._pipe = os.open(
            pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
        )  # a writer of our own: it never ends
        self._rest = b""
        self._process: subprocess.Popen[bytes] | None = None
        self._end_by: float | None = None

    def fileno(self) -> int:
        return self._pipe

    def start(self) -> None:
        """In the place of one that may still be there. Raises OSError."""
        self.kill()
        self._end_by = None
        command = [sys.executable, "-c", _PROGRAM, str(self._folder), str(os.getpid())]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)  # until it can heed them
        try:
            self._process = subprocess.Popen(command)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def said(self, entry: Mapping[str, Any]) -> bool:
        """Whether a line is of this process, if it is of a master."""
        return self._process is None or entry.get("master", self._process.pid) == self._process.pid

    def reload(self) -> None:
        self._signal(signal.SIGHUP)

    def stop(self, number: int) -> None:
        """Have it end: by SIGINT at once; the second time without asking."""
        if number == signal.SIGINT and self._end_by is not None:
            self.kill()
        elif number == signal.SIGINT:
            self._end_by = time.monotonic() + _PATIENCE
        self._signal(number)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)  # unless it is known to have ended

    def patience_ms(self) -> int | None:
        """Until when `ended` is to be asked again, if nothing happens."""
        if self._end_by is None:
            return None
        return max(0, int((self._end_by - time.monotonic()) * 1000) + 1)

    def ended(self) -> int | None:
        """Its exit code once it has, negative for a signal. It is killed if it takes too long."""
        if self._end_by is not None and time.monotonic() >= self._end_by:
            self.kill()
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """With all that is below it."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(psutil.Error):
            master = psutil.Process(process.pid)
            for each in [master, *master.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    each.kill()
        process.wait()

    def close(self) -> None:
        self.kill()
        os.close(self._pipe)

    def read(self) -> Iterator[dict[str, Any]]:
        """The lines of both logs that have arrived."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._pipe, _AT_ONCE):
                *lines, self._rest = (self._rest + data).split(b"\n")
                yield from _decoded(lines)


def _decoded(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Without those that were torn, as by a full pipe."""
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            yield msgspec.json.decode(line, type=dict[str, Any])
