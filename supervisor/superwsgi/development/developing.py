"""`superwsgi dev`: the process that watches the files, tells a master of every change, and writes what its
developer is to know. The master is a process of its own (server.py); this one never runs the project's code,
and ends with all that it has started.

One thread does everything here; another one watches the files. What the master and its workers do is known
from their logs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import re
import select
import shutil
import signal
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from superwsgi.config.errors import ConfigError
from superwsgi.control import APP_NOT_LOADED
from superwsgi.development import names, own, shared
from superwsgi.development.ports import require_free
from superwsgi.development.project import Project
from superwsgi.development.running import Server
from superwsgi.development.shared import Breakage, Newest, Settings
from superwsgi.development.shown.summary import facts, title
from superwsgi.development.shown.terminal import Terminal, has_colours
from superwsgi.development.shown.tracebacks import of_application
from superwsgi.development.watching import FileWatcher, can_watch
from superwsgi.system.signals import Signals

_FAILED: Final = frozenset({"reload failed", "reload refused", "application did not load"})

_QUIET: Final = frozenset(
    {
        "program left running",
        "request failed",
        "fork hazards",
        "not preloaded",
        "limits.connections out of reach",
        "control socket has a number",
    }
)
"""Events that are shown in another way, or are nothing to a developer."""

_ENDED: Final = re.compile(r"exit code \d+|SIG[A-Z]+")
"""In a reason: the process of the new code has ended, and could not say why."""

_NO_WORDS: Final = (
    "The process that imported the code was ended before Python could say why: by os._exit(), a crash in a C "
    "extension, or a kill."
)

_OF_BOOT: Final = frozenset({"still booting", "killed"})
"""Events that lead to the failure of what is being loaded."""

_OURS: Final = (names.STATE, "__debugger__=yes")
"""Parts of targets that are asked for by pages of our own, and of the debugger."""


class Development:
    """One run of the command, with its private `folder`."""

    def __init__(self, project: Project, terminal: Terminal, folder: Path, *, colours: bool) -> None:
        self._project = project
        self._terminal = terminal
        self._folder = folder
        self._colours = colours
        self._site = project.read()
        self._signals = Signals()
        self._changes: queue.SimpleQueue[Sequence[Path] | str] = queue.SimpleQueue()
        self._server = Server(folder)
        self._addresses: list[str] = []
        self._digests: dict[Path, bytes | None] = {}
        self._changed: Sequence[Path] = ()  # what the reload that runs is for
        self._asked_at: float | None = time.monotonic()  # since when something is being loaded
        self._serves = False  # some version of the application
        self._introduced = False
        self._up = False  # the master has a generation that serves
        self._stopping = False
        self._had_terminal = _has_terminal()
        self._stacks = ""  # of a process that has not loaded in time

    # Its life.

    def run(self) -> int:
        """Until it is told to end; returns the exit code. Raises AddressTaken, OSError."""
        require_free(self._site.addresses)
        self._signals.begin()
        self._signals.take([signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD])
        watcher = FileWatcher(self._project.watch(self._site), self._note, self._note)
        if can_watch():
            watcher.start()
        try:
            self._start()
            return self._live()
        finally:
            watcher.stop()
            self._server.close()
            self._signals.close()

    def _note(self, news: Sequence[Path] | str) -> None:
        """From the thread that watches: paths that have changed, or why it cannot watch."""
        self._changes.put(news)
        self._signals.wake()

    def _live(self) -> int:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        poll.register(self._server.fileno(), select.POLLIN)
        while True:
            poll.poll(self._server.patience_ms())
            self._heed(self._signals.read())
            for entry in self._server.read():
                self._hear(entry)
            code = self._server.ended()
            if code is not None and not self._goes_on(code):
                return 0 if self._stopping and code < 0 else code
            while not self._changes.empty():
                self._take(self._changes.get())

    def _goes_on(self, code: int) -> bool:
        """After the end of the master: whether there is to be another one."""
        if self._stopping:
            return False
        if code == APP_NOT_LOADED and not self._serves:
            self._start(load=False)  # it says what is wrong until that is mended
            return True
        if code < 0:
            self._terminal.says(f"The server was ended by {signal.Signals(-code).name}", bad=True)
        return False

    def _heed(self, numbers: bytes) -> None:
        if signal.SIGHUP in numbers:
            if self._had_terminal and not _has_terminal():  # it was closed
                numbers += bytes([signal.SIGINT])
            else:
                self._reload([])
        for number in (signal.SIGTERM, signal.SIGINT):
            if number in numbers:
                self._stopping = True
                self._server.stop(number)

    # Telling the master.

    def _start(self, *, load: bool = True) -> None:
        self._write(load=load)
        self._addresses.clear()
        self._up = False
        self._server.start()

    def _write(self, *, load: bool = True) -> None:
        """What the processes of the next generation are told."""
        settings = Settings(
            apps=dict(self._site.apps),
            debugger=own.is_private(self._site),
            colours=self._colours,
            older=self._serves,
            load=load,
        )
        shared.write(self._folder, names.SETTINGS, settings)
        shared.write(self._folder, names.SITE, own.to_run(self._site, self._folder, os.environ))
        (self._folder / names.ATTEMPT).unlink(missing_ok=True)

    def _take(self, news: Sequence[Path] | str) -> None:
        if isinstance(news, str):
            by_hand = f"`kill -HUP {os.getpid()}` reloads"
            self._terminal.says(f"Files are not watched any more: {news}; {by_hand}", bad=True)
            return
        changed = [path for path in news if self._is_news(path)]
        if changed and not self._stopping:
            self._reload(changed)

    def _is_news(self, path: Path) -> bool:
        """Whether it is another file than before. While code is being loaded that has to be its content: what
        an import writes would make it be imported for ever."""
        before, self._digests[path] = self._digests.get(path), _digest(path)
        return self._asked_at is None or self._digests[path] != before

    def _reload(self, changed: Sequence[Path]) -> None:
        """Load what is in the files now."""
        self._changed, self._asked_at, self._stacks = changed, time.monotonic(), ""
        try:
            self._site = self._project.read()
        except ConfigError as error:
            self._broken(Breakage.now(*_divided(str(error))))
            return
        self._write()
        if self._up:
            self._server.reload()
        else:  # the first one is still being loaded, perhaps for ever
            self._start()

    # What the master says.

    def _hear(self, entry: Mapping[str, Any]) -> None:
        event = entry.get("event")
        if not self._server.said(entry):
            return  # of one that is gone
        if event is None:
            if not any(mark in str(entry.get("target")) for mark in _OURS):
                self._terminal.request(entry)
        elif event == "listening":
            self._addresses.append(str(entry["address"]))
        elif event == "serving":
            self._served(int(entry["pid"]))
        elif event in _FAILED:
            self._failed(entry)
        elif event == "stacks" and self._asked_at is not None:
            self._stacks = of_application(str(entry.get("detail", "")))
        elif self._is_shown(entry):
            self._terminal.event(entry)

    def _is_shown(self, entry: Mapping[str, Any]) -> bool:
        """Whether an event is for developers: all are, if the log's level says so."""
        if self._site.log.level == "debug":
            return True
        if self._stopping or entry["event"] in _QUIET or (self._asked_at and entry["event"] in _OF_BOOT):
            return False
        return entry.get("level") in ("warning", "error")

    def _served(self, pid: int) -> None:
        """A worker of the newest generation has begun to."""
        self._up = True
        shared.write(self._folder, names.NEWEST, Newest(pid=pid, at=time.time_ns()))
        self._introduce()
        failure = shared.read(self._folder, names.ATTEMPT, Breakage)
        began, self._asked_at = self._asked_at, None
        if failure is not None:
            self._broken(failure)
        elif began is not None and self._runs():
            if self._serves:
                self._terminal.reloaded(_names(self._changed), time.monotonic() - began)
            self._serves = True

    def _runs(self) -> bool:
        """Whether what serves is the application, and not only what is wrong with it."""
        settings = shared.read(self._folder, names.SETTINGS, Settings)
        return settings is not None and settings.load

    def _introduce(self) -> None:
        if not self._introduced:
            self._introduced = True
            told = facts(self._project, self._site, self._addresses, watches=can_watch())
            self._terminal.summary(title(), told)

    def _failed(self, entry: Mapping[str, Any]) -> None:
        """The newest generation has; its mold may have told more than the log has room for."""
        told = shared.read(self._folder, names.ATTEMPT, Breakage)
        reason, detail = str(entry.get("reason")), str(entry.get("detail") or self._stacks)
        if told is None and entry["event"] == "reload refused":
            reason, detail = _divided(str(entry.get("reason") or entry["event"]))
        if not detail and _ENDED.search(reason):
            detail = _NO_WORDS
        self._asked_at = None
        self._broken(told or Breakage.now(reason, detail))

    def _broken(self, failure: Breakage) -> None:
        self._asked_at = None
        shared.write(self._folder, names.FAILURE, failure)
        kept = (
            "The last version that ran goes on serving; pages show this"
            if self._serves
            else "Pages show this"
        )
        self._terminal.broken(failure, f"{kept} until it is mended")


def _names(paths: Sequence[Path]) -> str:
    """`app.py`, or `app.py and 3 more`."""
    if not paths:
        return "as asked"
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0].name}{more}"


def _divided(text: str) -> tuple[str, str]:
    """The first line, and the others."""
    first, _, rest = text.partition("\n")
    return first, rest


def _digest(path: Path) -> bytes | None:
    """Of its content; None if there is none."""
    try:
        return hashlib.blake2b(path.read_bytes()).digest()
    except OSError:
        return None


def _has_terminal() -> bool:
    """Whether this process has one that controls it (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def run(project: Project) -> int:
    """Develop it until told to end; returns the exit code. Raises ConfigError, AddressTaken, OSError."""
    colours = has_colours(sys.stdout, os.environ)
    terminal = Terminal(sys.stdout, colours=colours)
    folder = Path(tempfile.mkdtemp(prefix="superwsgi-dev-"))
    try:
        with _kept_terminal():
            return Development(project, terminal, folder, colours=colours).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _kept_terminal() -> Iterator[None]:
    """Put the terminal's settings back: a debugger in a worker may end while it reads a line."""
    try:
        before = termios.tcgetattr(0)
    except (termios.error, OSError):  # no terminal
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(0, termios.TCSANOW, before)
