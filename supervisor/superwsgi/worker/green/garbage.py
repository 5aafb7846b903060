"""Garbage is collected in a greenlet of its own: the finalizers of what an application has left behind may
wait, and whoever happens to collect waits with them. In the hub they could not, and where the poller did,
nobody would poll.

Python collects by itself only much later: where an application allocates for long without waiting.
"""

from __future__ import annotations

import gc
from typing import Any, Final

from greenlet import greenlet

LATER: Final = 20
"""How many times as many allocations Python waits for."""


class Collector:
    """Python's own rules say what is collected; here is only where. Plain: in compiled code it does not look
    whether to collect."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._greenlet = greenlet(self._live, hub)
        self._working = False
        self._raise_threshold()

    def look(self) -> None:
        """Have garbage collected, if that is due."""
        if gc.get_count()[0] > self._usual[0] > 0 and not self._working and gc.isenabled():
            self._working = True
            self._hub.loop.run_callback(self._greenlet.switch)

    def end(self) -> None:
        """From now on Python does all of it."""
        gc.set_threshold(*self._usual)

    def _raise_threshold(self) -> None:
        self._usual = first, *others = gc.get_threshold()
        self._raised = LATER * first, *others
        gc.set_threshold(*self._raised)

    def _live(self) -> None:
        while True:
            if gc.get_threshold() != self._raised:  # the application has changed it
                self._raise_threshold()
            gc.set_threshold(*self._usual)
            for _ in range(2):
                [].copy()  # makes Python notice that it is time
            gc.set_threshold(*self._raised)
            self._working = False
            self._hub.switch()
