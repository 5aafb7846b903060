"""A superwsgi master whose reactions are noted: `watch` starts one; executed, this file is that master.

From SIGWINCH on sys.setprofile notes each call and return in the main thread, from the signal that is asked
for until the system call that ends the reaction. It is the command line of superwsgi in everything else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from superwsgi.cli.main import main as superwsgi_main
from tests.bench.jumps.record import ROOT
from tests.e2e.daemon import Daemon, wait_for

CHECKOUT: Final = Path(__file__).parents[2]
ARMED: Final = Path("armed")
TRACE: Final = Path("trace.json")
APP: Final = """
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"hello"]
"""


class Recorder:
    """Notes in which file of superwsgi/ the main thread is, from the reading of signal `begin` until the
    builtin function `end` has returned."""

    def __init__(self, begin: int, end: str) -> None:
        self._begin = begin
        self._end = end
        self._pid = os.getpid()
        self._recording = False
        self._files: list[str] = []

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        self._recording = self._recording or self._is_read(frame, event, arg)
        if not self._recording:
            return
        self._note(frame, event)
        if event == "c_return" and arg.__name__ == self._end:
            sys.setprofile(None)
            if os.getpid() != self._pid:  # a child, where a fork has returned, too
                return
            TRACE.with_suffix(".part").write_text(json.dumps(self._files))
            TRACE.with_suffix(".part").rename(TRACE)

    def _is_read(self, frame: FrameType, event: str, arg: Any) -> bool:
        reads = frame.f_code.co_name == "read" and frame.f_code.co_filename == f"{ROOT}system/signals.py"
        return reads and event == "return" and self._begin in (arg or b"")

    def _note(self, frame: FrameType, event: str) -> None:
        where = {"call": frame, "return": frame.f_back}.get(event)
        if where is not None and where.f_code.co_filename.startswith(ROOT):
            self._files.append(where.f_code.co_filename.removeprefix(ROOT))


def watch(begin: int, end: str, cause: Callable[[Daemon], None]) -> list[str]:
    """The files of superwsgi/ that a master went through, one for each call and return, after `cause`."""
    with tempfile.TemporaryDirectory() as folder:
        site = Daemon(Path(folder))
        site.write("app.py", APP)
        site.site(workers=2)
        command = [sys.executable, "-m", "tests.bench.watched", str(begin), end, "-c", "site.yaml"]
        try:
            site.spawn(command, env={"PYTHONPATH": str(CHECKOUT)})
            site.send(signal.SIGWINCH)
            wait_for((site.folder / ARMED).exists, "recorder", context=lambda: site.log)
            cause(site)
            wait_for((site.folder / TRACE).exists, "end of the reaction", context=lambda: site.log)
            trace: list[str] = json.loads((site.folder / TRACE).read_text())
            return trace
        finally:
            site.clean_up()


def _be_the_master(begin: int, end: str) -> None:
    def arm(*_: object) -> None:
        sys.setprofile(Recorder(begin, end))
        ARMED.touch()

    signal.signal(signal.SIGWINCH, arm)
    superwsgi_main(sys.argv[3:], prog_name="superwsgi")


if __name__ == "__main__":
    _be_the_master(int(sys.argv[1]), sys.argv[2])
