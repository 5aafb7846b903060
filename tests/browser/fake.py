"""What the admin process answers, made up: for states that a real site is seldom in, and to work on the page.
`python -m tests.browser.fake [healthy|crowded|degraded|quiet|hostile]` serves it.

The answers are built from the types of control.py, so that they cannot say what a master does not.
"""

import base64
import hashlib
import json
import math
import random
import re
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

import superwsgi
from superwsgi.control import AllStacks, ProcessStacks, Snapshot, ThreadStack
from superwsgi.incidents import Incident, RequestInHand
from superwsgi.snapshot import (
    CompanionStatus,
    DeathStatus,
    MinuteStatus,
    RunningStatus,
    ThreadsStatus,
    WorkerStatus,
)

PAGE = Path(superwsgi.__file__).parent / "admin" / "page.html"
TOKEN = "open sesame"
HOSTILE = '<img src=x onerror="document.title=1"></script><script>document.title=1</script>\u202e\x1b[2J'
COLUMNS = ["t", "rate", "p50", "p95", "p99", "queued", "busy", "threads", "errors", "generation"]
PATHS = [
    "/",
    "/cart",
    "/products/1841",
    "/report/weekly/2026-11?format=pdf",
    "/api/v1/orders",
    "/thumb/9f3c.png",
]


class Site:
    """A site that goes on by itself: so many workers and threads, `wrong` in the way of its name."""

    def __init__(self, wrong="healthy"):
        self.wrong = wrong
        self.workers, self.threads = {"crowded": (16, 64), "quiet": (1, 4)}.get(wrong, (4, 8))
        self.began = time.time() - (40 if wrong == "quiet" else 3700)
        self.asked = []  # paths and bodies of POSTs

    def snapshot(self):
        degraded = self.wrong == "degraded"
        workers = [self._worker(number) for number in range(1, self.workers + 1)]
        running = [each for worker in workers for each in self._running(worker)]
        busy = len(running)
        failed = 273 if degraded else 0
        reasons = [
            "236 of 8,112 requests answered 503 in the last minute: none of their threads was free in time",
            "worker 3 hangs: no sign of life for 8.2s",
        ]
        return Snapshot(
            site=HOSTILE if self.wrong == "hostile" else "shop",
            program="0.1.0",
            pid=812,
            uptime=time.time() - self.began,
            phase="running",
            generation=3,
            candidate=None,
            wanted=self.workers,
            addresses=["https://0.0.0.0:443", "http://127.0.0.1:8000"],
            trouble="",
            workers=workers,
            file="/srv/shop/site.yaml",
            threads=ThreadsStatus(
                busy,
                self.workers * self.threads,
                self.workers * self.threads,
                31 if degraded else 0,
                2.4 if degraded else None,
                int(degraded),
            ),
            health="degraded" if degraded else "healthy",
            reasons=[HOSTILE] if self.wrong == "hostile" else reasons if degraded else [],
            serving=self.workers,
            minute=MinuteStatus(
                requests=0 if self.wrong == "quiet" else 8112,
                answers={"2xx": 7700, "3xx": 32, "4xx": 107, "5xx": failed},
                refused={"503": 236} if degraded else {},
                accepted=90,
                turned_away=0,
                sent=1 << 24,
                seconds=60.0,
                rate=0.0 if self.wrong == "quiet" else 138.2,
                p50=None if self.wrong == "quiet" else 0.0042,
                p99=None if self.wrong == "quiet" else 0.048,
            ),
            running=running,
            companions=self._companions() if self.wrong == "companions" else [],
        )

    def _companions(self):
        end = DeathStatus("exit code 1", 3.2, 17)
        return [
            CompanionStatus("beat", "crash-loop", restarts=9, why="exit code 1", last_end=end),
            CompanionStatus("mail:1", "running", 4711, 3, 120.0, 1, 80 << 20),
            CompanionStatus("mail:2", "ending", 4712, 2, 130.0, 0, 81 << 20, "generation 3 has taken over"),
        ]

    def _worker(self, number):
        hangs = self.wrong == "degraded" and number == 3
        return WorkerStatus(
            number=number,
            generation=3,
            state="hangs" if hangs else "serving",
            pid=1000 + number,
            age=3600.0 + number,
            requests=int(time.time() * (number + 1)) % 1_000_000,
            failures=number,
            connections=4 * number,
            rss=(100 + 9 * number) << 20,
            recycle=HOSTILE if self.wrong == "hostile" else None,
            threads=ThreadsStatus(0, self.threads, self.threads, abandoned=int(hangs)),
            cpu=0.11 * number % 1,
        )

    def _running(self, worker):
        if self.wrong == "quiet":
            return
        dice = random.Random(f"{worker.number}/{int(time.time())}")
        for thread in range(1, self.threads + 1):
            stays = thread % 5 == 2 and worker.number % 2
            if stays or dice.random() < (0.9 if self.wrong == "degraded" else 0.3):
                seconds = (time.time() / (thread + 1)) % 14 if stays else dice.random() / 20
                target = HOSTILE if self.wrong == "hostile" else PATHS[thread % len(PATHS)]
                yield RunningStatus(
                    worker.number, 3, worker.pid, thread, "GET", target, f"c0ffee-{thread}", seconds
                )

    def history(self, since=0.0):
        now = time.time()
        times = [t for t in self._times(now) if t > since]
        workers = {
            str(number): {
                "t": times,
                "rss": [int((90 + 9 * number + 6 * math.sin(t / 300 + number)) * (1 << 20)) for t in times],
                "cpu": [max(0.0, 0.2 + 0.03 * number + 0.1 * math.sin(t / 120 + number)) for t in times],
            }
            for number in range(1, self.workers + 1)
        }
        return {
            "now": now,
            "columns": COLUMNS,
            "samples": [self._sample(t) for t in times],
            "workers": workers,
            "marks": [each for each in self._marks(now) if each["t"] > since],
        }

    def _times(self, now):
        """Each second of the last five minutes, each tenth before; with a gap."""
        whole = [int(now) - ago for ago in (*range(3600, 300, -10), *range(300, 0, -1))]
        return [t for t in whole if t >= self.began and not 1500 < now - t < 1700]

    def _sample(self, t):
        dice = random.Random(t)
        if self.wrong == "quiet":
            return [t, 0.0, None, None, None, 0, 0, 4, 0.0, 3]
        rate = 140 + 60 * math.sin(t / 400) + 14 * dice.random()
        p50 = 0.004 * (1 + 0.3 * math.sin(t / 200)) * (1 + 0.2 * dice.random())
        queued = int(max(0, 30 * math.sin(t / 150) - 22))
        threads = self.workers * self.threads
        busy = int(threads * (0.35 + 0.2 * math.sin(t / 400) + 0.1 * dice.random()))
        return [t, rate, p50, p50 * 3.1, p50 * 11, queued, busy, threads, queued / 6, 3]

    def _marks(self, now):
        if self.wrong == "quiet":
            return []
        text = HOSTILE if self.wrong == "hostile" else "worker 1 died: signal 11 (SIGSEGV)"
        return [
            {
                "t": now // 60 * 60 - 2900,
                "kind": "reload",
                "text": "reload complete, generation 3",
                "incident": 0,
            },
            {
                "t": now // 60 * 60 - 1200,
                "kind": "recycle",
                "text": "worker 2 recycled: memory.soft",
                "incident": 4,
            },
            {"t": now // 60 * 60 - 620, "kind": "incident", "text": "worker 3 slow request", "incident": 5},
            {"t": now // 60 * 60 - 240, "kind": "death", "text": text, "incident": 6},
        ]

    def incidents(self, of=None):
        if self.wrong == "quiet":
            return {"type": "why", "version": 1, "site": "shop", "kept": 0, "incidents": []}
        text = HOSTILE if self.wrong == "hostile" else "signal 11 (SIGSEGV): Segmentation fault in thumbnail"
        died = Incident(
            number=6,
            event="died",
            level="error",
            when=time.time() - 240,
            last=time.time() - 240,
            worker=1,
            gen=3,
            pid=1001,
            cause=text,
            consequence="1 request lost",
            then="replaced, served again after 54ms",
            requests=(RequestInHand("GET", "/thumb", "33a0-2", 0.017, 3),),
            fields={"core": "no"},
            detail='  File "/srv/shop/views.py", line 7 in thumbnail\n  File "/srv/shop/wsgi.py", line 12',
        )
        slow = Incident(
            number=5,
            event="slow request",
            level="warning",
            when=time.time() - 900,
            last=time.time() - 620,
            times=3,
            worker=3,
            consequence="its client waits",
            requests=(RequestInHand("GET", "/report", "46ea-4", 5.0, 1),),
        )
        kept = [died, slow]
        found = [each for each in kept if of is None or each.concerns(of)]
        return {"type": "why", "version": 1, "site": "shop", "kept": 6, "incidents": found}

    def stacks(self):
        text = HOSTILE if self.wrong == "hostile" else 'File "/srv/shop/views.py", line 71, in report'
        stack = f'File "/srv/shop/wsgi.py", line 12, in application\n  return report(environ)\n{text}'
        in_hand = [RequestInHand("GET", f"/report/{n}", f"c0ffee-{n}", 4.2 * n, n) for n in (1, 2)]
        threads = [
            *(
                ThreadStack(n, f"thread-{n}", "request", stack, each, each.seconds)
                for n, each in enumerate(in_hand, 1)
            ),
            ThreadStack(3, "mail", "application", 'File "/srv/shop/mail.py", line 9, in send'),
            ThreadStack(4, "thread-4", "idle", ""),
            ThreadStack(5, "monitor", "server", ""),
        ]
        hung = ProcessStacks(3, 3, 1003, "hangs", "it did not answer within a second", [], 0, True, in_hand)
        return AllStacks(processes=[ProcessStacks(1, 3, 1001, "serving", threads=threads), hung])

    def configuration(self):
        keys = [
            ("app", "shop.wsgi:application", "site.yaml:1"),
            ("bind", "[https://0.0.0.0:443, 127.0.0.1:8000]", "site.yaml:2"),
            ("env.SECRET_KEY", "(hidden)", "site.yaml:9"),
            ("log.slow", HOSTILE if self.wrong == "hostile" else "5s", "default"),
            ("threads.max", str(self.threads), "default"),
            ("workers", str(self.workers), "--workers"),
        ]
        entries = [{"key": key, "value": value, "source": source} for key, value, source in keys]
        return {"type": "configuration", "version": 1, "file": "/srv/shop/site.yaml", "keys": entries}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """Says nothing."""

    def do_GET(self):
        site = self.server.site
        path, _, query = self.path.partition("?")
        word = re.search(r"of=%23(\d+)", query)
        since = re.search(r"since=([\d.]+)", query)
        if path == "/":
            self._answer(200, PAGE.read_bytes(), "text/html; charset=utf-8")
        elif path == "/api/events":
            self._events()
        elif path == "/api/history":
            self._json(200, site.history(float(since[1]) if since else 0.0))
        elif path == "/api/incidents":
            self._json(200, site.incidents(f"#{word[1]}" if word else None))
        elif path == "/api/config":
            self._json(200, site.configuration())
        else:
            self._json(404, {"error": f"there is no {path}"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self._json(401, {"error": "this is not the token of the site file (admin.token)"})
        self.server.site.asked.append((self.path, json.loads(body)))
        if self.path == "/api/stacks":
            return self._json(200, self.server.site.stacks())
        if self.path == "/api/profile":
            return self._json(200, {"id": "8c1f", "samples": 990, "notes": []})
        return self._json(200, {"type": "ended", "outcome": "complete", "seconds": 0.2, "reason": ""})

    def _events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        while not self.server.closing.wait(0):
            data = msgspec.json.encode(self.server.site.snapshot())
            try:
                self.wfile.write(b"event: status\ndata: " + data + b"\n\n")
            except OSError:
                return
            self.server.closing.wait(1)

    def _json(self, status, value):
        self._answer(status, msgspec.json.encode(value), "application/json")

    def _answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy(body.decode()))
        self.end_headers()
        self.wfile.write(body)


def policy(page):
    """Just the inline parts of the page, by their hashes."""
    parts = {
        tag: base64.b64encode(
            hashlib.sha256(re.search(f"(?s)<{tag}>(.*?)</{tag}>", page)[1].encode()).digest()
        )
        for tag in ("script", "style")
        if f"<{tag}>" in page
    }
    sources = " ".join(f"{tag}-src 'sha256-{digest.decode()}';" for tag, digest in parts.items())
    return f"default-src 'none'; {sources} connect-src 'self'; img-src data:; form-action 'none'"


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.site = site
        self.closing = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"

    def server_close(self):
        self.closing.set()
        super().server_close()


@contextmanager
def served(site, port=0):
    with Server(site, port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    with served(Site(*sys.argv[1:2]), 9000) as running:
        print(running.url)
        threading.Event().wait()
