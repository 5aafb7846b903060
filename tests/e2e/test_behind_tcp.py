"""Behind nginx and HAProxy, as config/ has them, that pass on connections and tell whose they are."""

import json

import pytest

from tests.e2e.behind import NAME
from tests.e2e.load import Load
from tests.e2e.wire import Wire

pytestmark = pytest.mark.drill

LIES = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6"]

FRONTS = {
    "nginx, version 1": lambda behind: behind.nginx_stream(),
    "haproxy, version 1": lambda behind: behind.haproxy_tcp("send-proxy"),
    "haproxy, version 2": lambda behind: behind.haproxy_tcp(),
}


@pytest.fixture(params=FRONTS)
def site(behind, request):
    return FRONTS[request.param](behind)


def check_client(site, wire, scheme):
    said = json.loads(wire.ask("/echo", fields=LIES).body)
    assert (said["REMOTE_ADDR"], int(said["REMOTE_PORT"])) == wire.sock.getsockname()
    assert (said["SERVER_NAME"], int(said["SERVER_PORT"])) == site.front.address("443")
    assert said["wsgi.url_scheme"] == scheme
    assert not [key for key in said if "FORWARDED" in key]


def wait_checks(site):
    """Until HAProxy has asked for the site's health, and nothing was wrong with that."""
    site.front.wait_log(r"Health check for server \S+ succeeded, reason: Layer7 check passed, code: 200")
    assert "refused" not in site.daemon.log
    assert "DOWN" not in site.front.log


def test_clients_and_reloads(site):
    with Wire(site.front.connect("443", source="127.0.0.5")) as wire:
        check_client(site, wire, "http")
    address = site.front.address("443")
    with (
        Load(address, clients=4, pause=0.005) as kept,
        Load(address, clients=4, pause=0.01, keep_alive=False) as new,
    ):
        site.reload()
        site.reload()
    assert kept.broken == new.broken == []


def test_health_checks(behind):
    wait_checks(behind.haproxy_tcp())


def test_tls_from_the_client_to_the_site(behind):
    behind.haproxy_tls()
    sock = behind.front.connect("443", source="127.0.0.5")
    with Wire(behind.authority.client().wrap_socket(sock, server_hostname=NAME)) as wire:
        check_client(behind, wire, "https")
    wait_checks(behind)
