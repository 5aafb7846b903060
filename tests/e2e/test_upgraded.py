"""WebSockets by the libraries that Flask's applications use, with real clients: Flask-Sock and Flask-SocketIO
on threads, plain, over TLS and behind nginx, over reloads and the end."""

import contextlib
import json
import re
import ssl
import threading
import time
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.e2e.behind import NAME
from tests.e2e.daemon import FIXTURE_APPS, IN_ALL_MODELS, wait_for
from tests.tools import needed_package

pytestmark = pytest.mark.drill

PING, CLOSE = 9, 8
MANY = 200
GRACEFUL = 10.0
FOLLOWED = {"PYTHONPATH": str(FIXTURE_APPS)}


@pytest.fixture(autouse=True)
def _packages():
    for name in ("flask_sock", "flask_socketio", "socketio", "websocket"):
        needed_package(name)


@pytest.fixture
def sockets():
    """Opens WebSockets, which are closed with the test."""
    import websocket

    with contextlib.ExitStack() as stack:

        def open_one(url, **more):
            found = websocket.create_connection(url, timeout=60, **more)
            stack.callback(found.shutdown)
            return found

        yield open_one


def serve(daemon, app="e2e_upgraded:app", text="", mode="threading", **keys):
    daemon.site(text, app=app, **{"workers": 1, "threads": 4, **keys})
    daemon.start(env={**FOLLOWED, "MODE": mode})
    return "ws://{}:{}".format(*daemon.address)


def status(daemon):
    return json.loads(daemon.command("status", "-c", "site.yaml", "--json").stdout)["workers"]


def upgraded(daemon):
    return sum(worker["upgraded"] for worker in status(daemon))


def close_code(ws):
    """That of the close frame which comes next."""
    opcode = PING
    while opcode == PING:
        opcode, data = ws.recv_data(control_frame=True)
    assert opcode == CLOSE, (opcode, data)
    return int.from_bytes(data[:2], "big")


@IN_ALL_MODELS
def test_flask_sock(daemon, sockets):
    """A large message leaves in pieces, though simple-websocket sends it once."""
    url = serve(daemon)
    ws = sockets(f"{url}/echo")
    for text in ("hello", "x" * 300_000):
        ws.send(text)
        assert ws.recv() == text
    assert upgraded(daemon) == 1
    assert "e2e_upgraded.py" in daemon.command("stacks", "-c", "site.yaml").stdout
    assert "GET /echo" in daemon.command("status", "-c", "site.yaml", "--requests").stdout
    ws.close()
    ws = sockets(f"{url}/bye")
    assert ws.recv() == "bye"
    assert close_code(ws) == 1000
    daemon.wait_log(r'"GET /echo HTTP/1.1" 101 \d{6}')
    daemon.wait_log(r'"GET /bye HTTP/1.1" 101 \d+')
    wait_for(lambda: upgraded(daemon) == 0, "end of all")
    assert "Traceback" not in daemon.log
    totals = json.loads(daemon.command("status", "-c", "site.yaml", "--json").stdout)["totals"]
    assert totals["upgrades"] == 2


def test_an_error_in_a_websocket_is_logged(daemon, sockets):
    url = serve(daemon)
    ws = sockets(f"{url}/raises")
    ws.send("x")
    daemon.wait_log("LookupError: in a WebSocket")
    daemon.wait_log('"GET /raises HTTP/1.1" 101')
    assert daemon.get("/").status == 200


def test_a_large_message_over_tls_does_not_wait_for_the_next_ping(daemon, sockets, tmp_path):
    url, options = secured(daemon, tmp_path)
    ws = sockets(f"{url}/echo", sslopt=options)
    for size in (5_000, 16_384, 70_000):
        ws.send("x" * size)
        assert len(ws.recv()) == size  # sooner than that ping


def secured(daemon, folder, **keys):
    authority = Authority(folder)
    pair = authority.pair("localhost")
    text = f"tls: {{certificate: {pair.certificate}, key: {pair.key}}}\n"
    serve(daemon, text=text, bind="https://127.0.0.1:0", **keys)
    return "wss://{}:{}".format(*daemon.address), {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}


def sockets_of(pid):
    found = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has just been closed
            found.append(str(each.readlink()))
    return [each for each in found if each.startswith("socket:")]


def test_a_child_of_the_application_does_not_hold_it(daemon, sockets):
    url = serve(daemon)
    other = sockets(f"{url}/echo")
    ws = sockets(f"{url}/forks")
    child = int(ws.recv())
    assert close_code(ws) == 1000
    with pytest.raises(Exception, match=r"closed|lost"):
        ws.recv()
    wait_for(lambda: not sockets_of(child), "a child without sockets")  # it may hardly have begun
    other.send("still there")
    assert other.recv() == "still there"


@IN_ALL_MODELS
def test_a_crash_ends_them_and_the_site_goes_on(daemon, sockets):
    url = serve(daemon)
    other, ws = sockets(f"{url}/echo"), sockets(f"{url}/crashes")
    ws.send("x")
    daemon.wait_log(r"died how=.signal 9.* upgraded=2 .*in_hand=.*GET /crashes")
    with pytest.raises((OSError, Exception), match=r"closed|lost|reset"):
        other.recv()
    daemon.wait_log("(?s)serving.*serving")
    again = sockets(f"{url}/echo")
    again.send("x")
    assert again.recv() == "x"
    assert upgraded(daemon) == 1


@IN_ALL_MODELS
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_many_beside_few_threads_over_a_reload(daemon, sockets, secure, tmp_path):
    keys = {"limits": {"upgraded": MANY + 1}, "timeouts": {"graceful": f"{GRACEFUL}s"}, "threads": 2}
    url, options = secured(daemon, tmp_path, **keys) if secure else (serve(daemon, **keys), {})
    opened = [sockets(f"{url}/echo", sslopt=options) for _ in range(MANY)]
    echo_all(opened)
    assert status(daemon)[0]["upgraded"] == MANY
    if not secure:
        assert daemon.get("/").status == 200
    daemon.reload("worker=1 gen=2 .*serving")
    daemon.wait_log("gen=1 .*drain")
    drained = time.monotonic()
    echo_all(opened[:20])
    if time.monotonic() < drained + GRACEFUL - 1:
        assert all(ws.connected for ws in opened)
    assert [close_code(ws) for ws in opened] == [1001] * MANY
    daemon.wait_log("reload complete")
    assert "Traceback" not in daemon.log


def echo_all(opened):
    for number, ws in enumerate(opened):
        ws.send(f"hello {number}")
    assert [ws.recv() for ws in opened] == [f"hello {number}" for number in range(len(opened))]


def test_more_than_may_be(daemon, sockets):
    import websocket

    url = serve(daemon, limits={"upgraded": 1})
    sockets(f"{url}/echo")
    with pytest.raises(websocket.WebSocketBadStatusException, match="503"):
        sockets(f"{url}/echo")
    daemon.wait_log("request refused .*limits.upgraded")
    assert daemon.get("/").status == 200


def test_behind_nginx(behind, sockets):
    changes = {
        'proxy_set_header Connection "";': (
            'proxy_set_header Connection "upgrade"; proxy_set_header Upgrade $http_upgrade;'
        )
    }
    site = behind.nginx({"app: shop.wsgi:application": 'app: "e2e_upgraded:app"'}, changes)
    host, port = site.front.address()
    ws = sockets(f"ws://{host}:{port}/echo", host=NAME)
    ws.send("through it")
    assert ws.recv() == "through it"
    ws.close()
    ws = sockets(f"ws://{host}:{port}/bye", host=NAME)
    assert ws.recv() == "bye"
    assert close_code(ws) == 1000


@pytest.mark.parametrize(
    ("daemon", "mode", "transports"),
    [
        ("elastic", "threading", ["polling"]),
        ("elastic", "threading", ["websocket"]),
        ("elastic", "threading", ["polling", "websocket"]),
        ("green", "threading", ["polling", "websocket"]),
        ("green", "gevent", ["polling", "websocket"]),
    ],
    indirect=["daemon"],
)
def test_flask_socketio(daemon, mode, transports):
    import socketio

    url = serve(daemon, "e2e_socketio:app", mode=mode).replace("ws:", "http:")
    client, said = socketio.Client(), []
    came = threading.Event()

    @client.on("said")
    def _(text):
        said.append(text)
        came.set()

    client.connect(url, transports=transports, wait_timeout=60)
    try:
        client.emit("say", "hello")
        assert came.wait(60)
        assert client.transport() == transports[-1]
    finally:
        client.disconnect()
    if "websocket" in transports:
        daemon.wait_log(r"gone \S+")
        daemon.wait_log(r'"GET /socket.io/\S*transport=websocket\S* HTTP/1.1" 101')
    assert said == ["HELLO"]
    assert not re.search("Traceback|request failed", daemon.log)
