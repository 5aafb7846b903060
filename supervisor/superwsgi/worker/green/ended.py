"""How a greenlet learns that its request has been ended in its place. Plain: applications may catch it."""

from __future__ import annotations

from greenlet import GreenletExit


class RequestEnded(GreenletExit):  # type: ignore[misc]  # its base is not typed
    """Raised in the application where it waits; no Exception, so that `finally` sees it, and hardly an
    `except`."""

    def __init__(self) -> None:
        super().__init__("the request was ended at timeouts.request")
