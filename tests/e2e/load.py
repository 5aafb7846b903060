"""Clients that keep asking while something happens to the server, and count what goes wrong.

An exchange is broken when a request that was sent is not answered whole, whatever the reason: nothing is
sent twice here.
"""

import contextlib
import http.client
import itertools
import threading
import time
from collections import Counter
from typing import NamedTuple

from tests.e2e.daemon import wait_for


class Reply(NamedTuple):
    body: bytes
    seconds: float
    began: float


class ClientThreads:
    """Threads that ask `address` while the context lasts; each is given its number."""

    def __init__(self, address, clients):
        self._address = address
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(at,), daemon=True) for at in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a client hangs"


class Load(ClientThreads):
    """`clients` threads, each with a connection of its own or one a request; asks while its context lasts."""

    def __init__(
        self, address, clients=8, path="/", pause=0.01, expect=None, keep_alive=True, method="GET", body=None
    ):
        super().__init__(address, clients)
        self._request = (method, path, body)
        self._pause = pause
        self._expect = expect
        self._keep_alive = keep_alive
        self.broken = []
        self.lost = []  # of each connection that broke, its last answer; empty where it had none
        self.answers = []

    def bodies(self):
        return {answer.body for answer in self.answers}

    def bodies_from_now(self, count=10):
        """What so many requests get, or more, that nobody has begun yet."""
        now = time.monotonic()

        def fresh():
            return [answer.body for answer in self.answers if answer.began > now]

        wait_for(lambda: len(fresh()) >= count, "answers")
        return set(fresh())

    def p99(self, since=0):
        """Seconds, over the answers after the first `since`."""
        taken = sorted(answer.seconds for answer in self.answers[since:])
        return taken[int(len(taken) * 0.99)]

    def _ask(self, _):
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        last = b""
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                connection.request(*self._request)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.broken.append(repr(error))
                self.lost.append(last)
                connection.close()
                last = b""
                self._stop.wait(self._pause)
                continue
            self.answers.append(Reply(body, time.monotonic() - began, began))
            if response.status != 200 or (self._expect is not None and body not in self._expect):
                self.broken.append(f"{response.status} {body[:80]!r}")
            last = body
            if not self._keep_alive:
                connection.close()
            if connection.sock is None:
                last = b""
            if self._pause:
                self._stop.wait(self._pause)
        with contextlib.suppress(OSError):
            connection.close()


class Counting(ClientThreads):
    """`clients` threads that ask for one of `requests` (method, path, fields) after another while its context
    lasts, whatever becomes of the server, and count what they are answered: `statuses`, `asked` by method,
    path and status, and in `seconds` how long each took. A request that is not answered whole is `lost`."""

    def __init__(self, address, requests, clients=4):
        super().__init__(address, clients)
        self._requests = requests
        self.statuses = Counter()
        self.asked = Counter()
        self.seconds = []
        self.lost = 0

    def quantile(self, share):
        return sorted(self.seconds)[int(len(self.seconds) * share)]

    def _ask(self, at):
        asked, connection = Counter(), http.client.HTTPConnection(*self._address, timeout=60)
        for method, path, fields in itertools.islice(itertools.cycle(self._requests), at, None):
            if self._stop.is_set():
                break
            began = time.monotonic()
            try:
                connection.request(method, path, headers=fields)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                self.lost += 1
                connection.close()
                continue
            asked[method, path, response.status] += 1
            self.seconds.append(time.monotonic() - began)
        connection.close()
        self.asked.update(asked)
        for (_, _, status), count in asked.items():
            self.statuses[status] += count
