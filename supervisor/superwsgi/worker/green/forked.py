"""In a child that the application forks, the greenlet that forked it goes on, and no other: these have copies
there of the requests, transactions and loops that their parent goes on with.

A child of threads has only the one that forked. Of greenlets it has all, and gevent's hub would go on with
each: so whatever it switches to is told to wait for ever. What they have on their stacks is left as it is:
their `finally` would undo what is their parent's.
"""

from __future__ import annotations

from typing import Any, Final

import greenlet

from superwsgi.worker import forks
from superwsgi.worker.green import standing

_left_behind: Final[dict[int, Any]] = {}
"""By id(). None of them may be collected: that would end it, and run its `finally`."""


def leave_others_behind(hub: Any) -> None:
    here = greenlet.getcurrent()
    for each in standing.alive():
        if each is not here and each is not hub and not each.dead:
            _left_behind[id(each)] = each

    def switched(event: str, between: tuple[Any, Any]) -> None:
        """Called in the greenlet that was switched to."""
        target = between[1]
        if id(target) in _left_behind:
            if target.parent is None:  # the hub has nothing to go on with
                forks.came_back()
            hub.switch()

    greenlet.settrace(switched)
