"""Who is believed about the client: real frameworks, behind trusted peers and others."""

import contextlib
import json
import socket

import pytest

from superwsgi.http.claims import FORWARDING
from tests.e2e.daemon import FIXTURE_APPS
from tests.e2e.wire import Wire, request
from tests.http.client.proxy_headers import SSL, V1, summed

FRAMEWORKS = pytest.mark.parametrize("framework", ["flask", "django"])

CLAIMS = [
    "X-Forwarded-For: 6.6.6.6, 2001:db8::7, 10.1.2.3",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: www.shop.example:8443",
]


@pytest.fixture(scope="module")
def site(shared_daemon):
    shared_daemon.site(
        app=None,
        apps={"/flask": "e2e_flask:make()", "/django": "e2e_django.wsgi:application"},
        chdir=str(FIXTURE_APPS),
        env={"DJANGO_SETTINGS_MODULE": "e2e_django.settings"},
        bind=["127.0.0.1:0", f"unix:{shared_daemon.folder}/sock"],
        workers=1,
        proxy={"trusted": ["127.0.0.1", "10.0.0.0/8", "unix"]},
    )
    return shared_daemon.start()


def connect(site, source):
    """From 127.0.0.1 or a unix socket, which are trusted, or from another loopback address, which is not."""
    if source == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(site.folder / "sock"))
        return Wire(sock)
    return Wire(socket.create_connection(site.address, source_address=(source, 0)))


def client(site, source, framework, *fields):
    """What the application says of the client."""
    with connect(site, source) as wire:
        answer = wire.ask(f"/{framework}/client", fields=fields)
        assert answer.status == 200, answer
        return json.loads(answer.body)


@FRAMEWORKS
@pytest.mark.parametrize("source", ["127.0.0.1", "unix"])
def test_a_trusted_proxy_is_believed(site, source, framework):
    assert client(site, source, framework, *CLAIMS) == {
        "address": "2001:db8::7",
        "secure": True,
        "page": f"https://example.org/{framework}/page/new",
        "server": "www.shop.example",
        "port": "8443",
        "forwarded": ["HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO"],
    }


@FRAMEWORKS
def test_a_trusted_proxy_that_speaks_rfc_7239(site, framework):
    field = 'Forwarded: for=6.6.6.6, for="[2001:db8::7]:4711";proto=https, for=10.1.2.3;proto=http'
    said = client(site, "127.0.0.1", framework, field)
    assert (said["address"], said["secure"]) == ("2001:db8::7", True)


@FRAMEWORKS
@pytest.mark.parametrize("spelled", [str, str.lower, str.upper])
def test_nobody_else_is(site, framework, spelled):
    claims = [
        *CLAIMS,
        "Forwarded: for=6.6.6.6;proto=https",
        "X-Forwarded-Prefix: /evil",
        "X_Forwarded_For: 6.6.6.6",
    ]
    said = client(site, "127.0.0.2", framework, *map(spelled, claims))
    host, port = site.address
    assert said == {
        "address": "127.0.0.2",
        "secure": False,
        "page": f"http://example.org/{framework}/page/new",
        "server": host,
        "port": str(port),
        "forwarded": [],
    }


def fields(site, source, sent):
    """The fields that the application sees."""
    with connect(site, source) as wire:
        answer = wire.ask("/flask/fields", fields=sent)
        assert answer.status == 200, answer
        return json.loads(answer.body)


NAMES = sorted(FORWARDING.keys() - {"forwarded", "x-forwarded-for", "x-request-id"})  # these are understood


@pytest.mark.parametrize("names", [NAMES[at : at + 60] for at in range(0, len(NAMES), 60)], ids=len)
def test_all_that_proxies_may_say_is_passed_on_from_trusted_ones_alone(site, names):
    keys = {f"HTTP_{name.upper().replace('-', '_')}" for name in names}
    sent = [f"{name.title()}: claimed" for name in names]
    sent += [f"{name.replace('-', '_')}: confused" for name in names if "-" in name][:30]
    believed = fields(site, "127.0.0.1", sent)
    assert {believed[key] for key in keys} == {"claimed"}
    assert "confused" not in believed.values()
    told = fields(site, "127.0.0.2", sent)
    assert not keys & told.keys()
    assert not {"claimed", "confused"} & set(told.values())


@pytest.mark.parametrize("field", ["X-Forwarded-Ssl: on", "X-Forwarded-Protocol: ssl"])
@FRAMEWORKS
def test_other_names_of_the_scheme(site, framework, field):
    assert client(site, "127.0.0.1", framework, field)["secure"] is True
    assert client(site, "127.0.0.3", framework, field)["secure"] is False
    with connect(site, "127.0.0.1") as wire:
        assert wire.ask("/", fields=[field, "X-Forwarded-Proto: http"]).status == 400


@pytest.mark.parametrize("source", ["127.0.0.3", "unix"])
def test_who_is_not_trusted_and_speaks_for_clients_is_named_once(daemon, source):
    daemon.site(
        app="wsgi_hello:app",
        chdir=str(FIXTURE_APPS),
        bind=["127.0.0.1:0", f"unix:{daemon.folder}/sock"],
        workers=1,
    )
    daemon.start()
    with connect(daemon, source) as wire:
        assert wire.ask("/").status == 200
        assert "forwarded fields ignored" not in daemon.log
        for field in [*CLAIMS, "Forwarded: for=6.6.6.6"]:
            assert wire.ask("/", fields=[field]).status == 200
    peer = "unix" if source == "unix" else source
    said = f"forwarded fields ignored peer={peer} field=X-Forwarded-For"
    daemon.wait_log(rf"warning worker=1 .*{said} .*trusted: \[{peer}\]")
    with connect(daemon, "127.0.0.4") as wire:  # a stranger may have been here before a proxy
        assert wire.ask("/", fields=CLAIMS[:1]).status == 200
    daemon.wait_log("forwarded fields ignored peer=127.0.0.4 ")
    assert daemon.stop() == 0
    assert daemon.log.count("forwarded fields ignored") == 2


def test_requests_of_one_connection_have_nothing_of_each_other(site):
    with connect(site, "127.0.0.1") as wire:
        for fields, address in (CLAIMS, "2001:db8::7"), ([], "127.0.0.1"), (CLAIMS[:1], "2001:db8::7"):
            said = json.loads(wire.ask("/flask/client", fields=fields).body)
            assert (said["address"], said["secure"]) == (address, len(fields) == 3)


def test_a_client_that_adds_the_kind_of_field_that_its_proxy_does_not_write_is_refused(site):
    with connect(site, "127.0.0.1") as wire:
        answer = wire.ask("/flask/client", fields=["X-Forwarded-For: 192.0.2.1", "Forwarded: for=6.6.6.6"])
        assert answer.status == 400
        assert wire.ended()


def test_the_access_log_names_the_client(site):
    mark = site.mark()
    client(site, "127.0.0.1", "flask", "X-Forwarded-For: 192.0.2.55")
    client(site, "127.0.0.3", "flask", "X-Forwarded-For: 192.0.2.66")
    with connect(site, "unix") as wire:
        wire.ask("/flask/")
    for remote in ("192.0.2.55", "127.0.0.3", "-"):
        site.wait_log(rf'(?m)^{remote} - - \[.*"GET /flask/', since=mark)
    assert "192.0.2.66" not in site.log


@pytest.mark.parametrize(("trusted", "believed"), [([], False), (["unix"], False), (["127.0.0.0/8"], True)])
def test_who_is_trusted_is_the_operators_word(daemon, trusted, believed):
    daemon.site(app="e2e_flask:make()", chdir=str(FIXTURE_APPS), workers=1, proxy={"trusted": trusted})
    daemon.start()
    with contextlib.closing(daemon.client()) as http:
        http.request("GET", "/client", headers={"X-Forwarded-For": "192.0.2.1"})
        said = json.loads(http.getresponse().read())
    assert said["address"] == ("192.0.2.1" if believed else "127.0.0.1")


@FRAMEWORKS
def test_the_proxy_protocol(daemon, framework):
    daemon.site(
        app=None,
        apps={"/flask": "e2e_flask:make()", "/django": "e2e_django.wsgi:application"},
        chdir=str(FIXTURE_APPS),
        env={"DJANGO_SETTINGS_MODULE": "e2e_django.settings"},
        workers=1,
        log={"access": "access.log"},
        text="proxy: {protocol: on}",
    )
    daemon.start()
    for number, header in enumerate((V1, summed(tlvs=SSL))):
        with connect(daemon, "127.0.0.1") as wire:
            wire.send(header + request(f"/{framework}/client", fields=CLAIMS))
            said = json.loads(wire.answer().body)
        assert (said["address"], said["server"], said["port"]) == ("192.0.2.1", "198.51.100.7", "443")
        assert (said["secure"], said["forwarded"]) == (number == 1, [])
    with connect(daemon, "127.0.0.2") as wire:
        assert wire.ended()
    daemon.wait_log('connection refused peer=127.0.0.2 reason="not in proxy.trusted')
    assert daemon.stop() == 0
    lines = (daemon.folder / "access.log").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["192.0.2.1", "192.0.2.1"]
