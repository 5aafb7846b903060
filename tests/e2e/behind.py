"""A site and what stands in front of it, both with the files of config/ that go together."""

import contextlib
import http.client
import os
import select
import signal
import sys
import time

from tests.certificates import Authority
from tests.e2e.daemon import FIXTURE_APPS, Daemon, wait_for
from tests.e2e.fronts import Apache, HAProxy, Nginx, shipped
from tests.e2e.wire import Wire, request

NAME = "shop.example"
APPS = 'apps: {/: "app:app", /echo: "e2e_right:echo"}'
CHECKS = {"option httpchk": "option log-health-checks\n    option httpchk"}
"""Has HAProxy say how its checks end."""


class Behind:
    """`daemon`, and a `front` before it; the application is e2e_work, on /echo also e2e_right.echo."""

    def __init__(self, folder):
        self.folder = folder
        self.daemon = Daemon(folder)
        self.front = None
        self.page, self.status = "/", 200  # where its application is, and what that is answered with
        self.authority = Authority(folder)
        (folder / "run").mkdir()

    def version(self, number):
        self.daemon.write("app.py", f"import e2e_work\napp = e2e_work.make({number!r})\n")

    def nginx(self, changes=None, front=None):
        """`changes` are those of the site file, `front` of nginx's."""
        self._site("behind-nginx.yaml", changes or {})
        self.nginx_alone(front)
        return self._ready()

    def nginx_alone(self, changes=None):
        """Before whatever listens at run/shop.sock."""
        pair = self.authority.pair(NAME)
        paths = {
            "/srv/shop/run": f"{self.folder}/run",
            "/var/log/nginx/shop.log": f"{self.folder}/front.log",
            "/etc/ssl/shop.pem": str(pair.certificate),
            "/etc/ssl/shop.key": str(pair.key),
        }
        self.front = Nginx(self.folder, "80", "443")
        self.front.start("nginx.conf", {**(changes or {}), **paths})

    def apache(self, directives, changes):
        """Before the site file for HAProxy with these changes; it passes on what is below `page`."""
        self._tcp_site("behind-haproxy.yaml", **changes)
        self.front = Apache(self.folder)
        self.front.start(directives, self.page, "http://{}:{}".format(*self.daemon.address))
        return self._ready()

    def haproxy(self, changes=None, front=None):
        """`changes` are those of the site file, `front` of HAProxy's."""
        upstream = self._tcp_site("behind-haproxy.yaml", **(changes or {}))
        both = self.folder / "with-key.pem"
        both.write_bytes(b"".join(file.read_bytes() for file in self.authority.pair(NAME)))
        self.front = HAProxy(self.folder, "80", "443")
        changes = {"/etc/ssl/shop-with-key.pem": str(both), **upstream, **(front or {})}
        self.front.start("haproxy.cfg", changes)
        return self._ready()

    def haproxy_for_two(self, other):
        """Before two machines, which say when they leave; `other` is the daemon of the second. Faster than
        shipped, in the same proportions."""
        upstreams = {}
        for daemon, spelled in ((self.daemon, "127.0.0.1:8000"), (other, "127.0.0.2:8000")):
            self._site(
                "behind-haproxy.yaml",
                {"bind: 127.0.0.1:8000": "bind: 127.0.0.1:0", "# lame_duck: 5s": "lame_duck: 2s"},
                daemon,
            )
            host, port = daemon.address
            upstreams[spelled] = f"{host}:{port}"
            site = daemon.folder / "site.yaml"  # to be found there again when it has restarted
            site.write_text(site.read_text().replace("bind: 127.0.0.1:0", f"bind: {host}:{port}"))
        both = self.folder / "with-key.pem"
        both.write_bytes(b"".join(file.read_bytes() for file in self.authority.pair(NAME)))
        faster = {"inter 2s fastinter 500ms": "inter 800ms fastinter 200ms", "# server": "server"}
        self.front = HAProxy(self.folder, "80", "443")
        self.front.start("haproxy.cfg", {"/etc/ssl/shop-with-key.pem": str(both), **faster, **upstreams})
        return self._ready()

    def nginx_stream(self):
        upstream = self._tcp_site("behind-tcp.yaml")
        self.front = Nginx(self.folder, "443")
        self.front.start("nginx-stream.conf", upstream)
        return self._ready("443")

    def haproxy_tcp(self, send="send-proxy-v2"):
        upstream = self._tcp_site("behind-tcp.yaml")
        self.front = HAProxy(self.folder, "443")
        self.front.start("haproxy-tcp.cfg", {**upstream, **CHECKS, "send-proxy-v2": send})
        return self._ready("443")

    def haproxy_tls(self):
        """The same where superwsgi is the one who speaks TLS."""
        pair = self.authority.pair(NAME)
        bind = f"bind: https://127.0.0.1:0\ntls: {{certificate: {pair.certificate}, key: {pair.key}}}"
        upstream = self._tcp_site("behind-tcp.yaml", bind)
        self.front = HAProxy(self.folder, "443")
        tls = {"check check": "check check-ssl verify none check"}
        self.front.start("haproxy-tcp.cfg", {**upstream, **CHECKS, **tls})
        return self

    def _tcp_site(self, name, bind="bind: 127.0.0.1:0", **changes):
        """Starts it on a port of the kernel's; returns what to change in the front's file."""
        self._site(name, {"bind: 127.0.0.1:8000": bind, **changes})
        host, port = self.daemon.address
        return {"127.0.0.1:8000": f"{host}:{port}"}

    def _site(self, name, changes, daemon=None):
        daemon = daemon or self.daemon
        daemon.write("app.py", "import e2e_work\napp = e2e_work.make(0)\n")
        changes = {"app: shop.wsgi:application": APPS, "workers: auto": "workers: 2", **changes}
        daemon.write("site.yaml", shipped(name, changes))
        self.start(daemon)

    def start(self, daemon):
        """A site of _site's."""
        daemon.start(env={"PYTHONPATH": os.pathsep.join([str(FIXTURE_APPS), *sys.path])})
        daemon.wait_workers(2)

    def _ready(self, port="80"):
        """Its first answer. A front that did not start has said why."""
        with Wire(self.front.connect(port)) as wire:
            wire.send(request(self.page))
            answered = select.poll()  # select(2) refuses a descriptor above 1023
            answered.register(wire.sock, select.POLLIN)
            wait_for(
                lambda: answered.poll(100) or self.front.process.poll() is not None,
                "answer",
                context=lambda: self.front.log,
            )
            assert self.front.process.poll() is None, self.front.log
            assert wire.answer().status == self.status
        return self

    # What clients do.

    @contextlib.contextmanager
    def client(self):
        """A connection of http.client."""
        connection = http.client.HTTPConnection(*self.front.address(), timeout=60)
        try:
            yield connection
        finally:
            connection.close()

    def quick(self, count):
        """The slowest of so many requests on connections of their own, in seconds."""
        slowest = 0.0
        for _ in range(count):
            began = time.monotonic()
            with Wire(self.front.connect()) as wire:
                assert wire.ask().status == 200
            slowest = max(slowest, time.monotonic() - began)
        return slowest

    def reload(self):
        self.daemon.reload("rolled out")

    def kill_a_worker(self):
        before = self.daemon.wait_workers(2)
        self.daemon.send(signal.SIGKILL, before[0])
        wait_for(lambda: set(self.daemon.workers()) - set(before), "replacement")

    def clean_up(self):
        if self.front is not None:
            self.front.clean_up()
        self.daemon.clean_up()
