"""For `green`: gevent's patches of the standard library.

They are applied in a mold before anything of the application's is imported: all workers that are forked from
it have them, and no library has kept anything from before.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from superwsgi import unpatched


def patch() -> None:
    """For the rest of this process, and those that it forks. Raises ImportError."""
    from gevent import monkey
    from gevent.lock import Semaphore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", monkey.MonkeyPatchWarning)  # ours has been imported before
        monkey.patch_all()
    unpatched.share(Semaphore)


def leave_to_main(error: type[BaseException]) -> None:
    """Where such an error is raised while the main thread waits in gevent's hub, it is raised in the main
    greenlet, and is nothing to tell of."""
    hub = existing_hub()
    if hub is not None and error not in hub.NOT_ERROR:
        hub.NOT_ERROR = (*hub.NOT_ERROR, error)


def renew_hub() -> None:
    """In a process that has just been forked: gevent's hub, if its parent had one, goes on by descriptors of
    its own."""
    if existing_hub() is not None:
        from gevent import reinit

        reinit()


def wait(seconds: float) -> None:
    """Let greenlets run, if there are any."""
    from gevent import sleep

    sleep(seconds)


def existing_hub() -> Any:
    """gevent's hub of this thread; None if there is none, as before anything has waited."""
    local = sys.modules.get("gevent._hub_local")
    return None if local is None else local.get_hub_if_exists()
