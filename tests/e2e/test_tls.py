"""TLS by a real daemon: certificates from files, their reload, and what is wrong with them."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import ssl
import threading
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.e2e.daemon import FIXTURE_APPS, read_all, wait_for

pytestmark = pytest.mark.drill

APP = """
import os, time
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    return [f"{environ['wsgi.url_scheme']} {os.getpid()} {os.getuid()}".encode()]
"""


@pytest.fixture
def ca(tmp_path):
    return Authority(tmp_path)


def site(daemon, pair, text="", bind="https://127.0.0.1:0", **keys):
    daemon.write("app.py", APP)
    shutil.copy(pair.certificate, daemon.folder / "site.pem")
    shutil.copy(pair.key, daemon.folder / "site.key")
    return daemon.site("tls: {certificate: site.pem, key: site.key}\n" + text, bind=bind, **keys)


def fetch(daemon, context, path="/", name="localhost"):
    connection = client(daemon, context, name)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    assert answer.status == 200
    return body


def client(daemon, context, name="localhost", **more):
    connection = http.client.HTTPSConnection(name, context=context, timeout=60)
    connection.sock = context.wrap_socket(daemon.connect(), server_hostname=name, **more)
    return connection


def served_name(daemon, ca):
    """The common name of the certificate that a new client gets."""
    context = ca.client()
    context.check_hostname = False
    with context.wrap_socket(daemon.connect(), server_hostname="localhost") as sock:
        return dict(part[0] for part in sock.getpeercert()["subject"])["commonName"]


def test_plain_and_tls_side_by_side(daemon, ca):
    site(daemon, ca.pair("localhost"), bind=["https://127.0.0.1:0", "127.0.0.1:0", "unix:app.sock"])
    daemon.start()
    assert fetch(daemon, ca.client()).startswith("https ")
    host, port = daemon.wait_log(r"address=http://([\d.]+):(\d+)").groups()
    plain = http.client.HTTPConnection(host, int(port), timeout=60)
    plain.request("GET", "/")
    assert plain.getresponse().read().startswith(b"http ")
    plain.close()
    assert daemon.stop() == 0


def test_without_a_site_file(daemon, ca):
    pair = ca.pair("localhost")
    daemon.write("app.py", APP)
    files = ("--certificate", pair.certificate, "--key", pair.key)
    daemon.start("run", "app:app", "--bind", "https://127.0.0.1:0", *files)
    assert fetch(daemon, ca.client()).startswith("https ")


def test_options_that_make_no_sense(daemon, ca):
    daemon.write("app.py", APP)
    daemon.start("run", "app:app", "--certificate", ca.pair("localhost").certificate, ready=False)
    assert daemon.wait_exit() == 2
    assert "tls.certificate has no effect: no address in bind begins with https://" in daemon.log


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_key_of_another_certificate(daemon, ca, command):
    site(daemon, ca.pair("localhost"))
    shutil.copy(ca.pair("other.example.com").key, daemon.folder / "site.key")
    daemon.start(command, "-c", "site.yaml", ready=False)
    assert daemon.wait_exit() == 2
    folder = daemon.folder
    assert f"tls.key: {folder}/site.key is not the key of the certificate in {folder}/site.pem" in daemon.log
    assert "Traceback" not in daemon.log


def test_check_finds_good_ones_fine(daemon, ca):
    site(daemon, ca.pair("localhost"))
    daemon.start("check", "-c", "site.yaml", ready=False)
    assert daemon.wait_exit() == 0


def test_an_expired_certificate_is_served_with_a_warning(daemon, ca):
    site(daemon, ca.pair("localhost", not_after=datetime(2020, 1, 1, tzinfo=timezone.utc)))
    daemon.start()
    assert "has expired: valid until Jan  1 " in daemon.wait_log(r"warning .* certificate problem=.*")[0]
    with pytest.raises(ssl.SSLError, match="expired"):
        fetch(daemon, ca.client())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_only_root_can_read_the_key(daemon, ca):
    site(daemon, ca.pair("localhost"), user="nobody", workers=1)
    daemon.folder.joinpath("site.key").chmod(0o600)
    for folder in (daemon.folder, *daemon.folder.parents[:-2]):
        folder.chmod(0o755)
    daemon.start()
    scheme, pid, uid = fetch(daemon, ca.client()).split()
    assert (scheme, uid != "0") == ("https", True)
    assert Path("/proc", pid, "mem").stat().st_uid == 0  # no other process of its user reads keys (proc(5))
    daemon.send(signal.SIGKILL, int(pid))
    daemon.wait_log("died")
    assert wait_for(lambda: fetch(daemon, ca.client()).split()[1]) != pid


# Reload.


def test_certificates_are_read_again(daemon, ca):
    linger = {"linger": "30s"}  # whatever else the machine does
    site(daemon, ca.pair("localhost", common_name="first"), workers=1, timeouts=linger)
    daemon.start()
    kept = client(daemon, ca.client())
    kept.request("GET", "/")
    old = kept.getresponse().read()
    assert served_name(daemon, ca) == "first"
    site(daemon, ca.pair("localhost", common_name="second"), workers=1, timeouts=linger)
    waiting = threading.Timer(0, lambda: answers.append(fetch(daemon, ca.client(), "/slow")))
    answers = []
    waiting.start()
    daemon.send(signal.SIGHUP)
    daemon.wait_log(r"gen=2 .*serving")
    kept.request("GET", "/")
    assert kept.getresponse().read() == old
    daemon.wait_log("reload complete")
    assert served_name(daemon, ca) == "second"
    waiting.join()
    kept.close()
    assert len(answers) == 1


def test_no_request_is_lost_while_certificates_change(daemon, ca):
    pairs = [ca.pair("localhost", common_name=f"c{n}") for n in range(3)]
    site(daemon, pairs[0], workers=2)
    daemon.start()
    ended, failures = threading.Event(), []

    def ask():
        while not ended.is_set():
            used = False
            try:
                connection = client(daemon, ca.client())
                while connection.sock is not None and not ended.is_set():
                    connection.request("GET", "/")
                    connection.getresponse().read()
                    used = True
                connection.close()
            except Exception as error:
                # an idle connection that its worker has closed: the client asks again
                if not (used and isinstance(error, (ConnectionResetError, BrokenPipeError))):
                    failures.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for pair in pairs[1:]:
        mark = daemon.mark()
        site(daemon, pair, workers=2)
        daemon.send(signal.SIGHUP)
        daemon.wait_log("reload complete", mark)
    ended.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert served_name(daemon, ca) == "c2"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("site.key", "nothing", "tls.key: no private key in "),
        ("site.pem", None, "cannot be read: No such file or directory"),
    ],
)
def test_bad_certificates_leave_the_old_ones(daemon, ca, name, content, said):
    site(daemon, ca.pair("localhost", common_name="good"), workers=1)
    daemon.start()
    if content is None:
        daemon.folder.joinpath(name).unlink()
    else:
        daemon.write(name, content)
    daemon.send(signal.SIGHUP)
    daemon.wait_log("reload refused(.|\n)*?" + said)
    assert served_name(daemon, ca) == "good"
    assert fetch(daemon, ca.client()).startswith("https ")
    daemon.send(signal.SIGKILL, daemon.workers()[0])
    daemon.wait_log("died")
    assert fetch(daemon, ca.client()).startswith("https ")


def test_from_plain_to_tls_and_back_on_one_port(daemon, ca):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pair = ca.pair("localhost")
    daemon.write("app.py", APP)
    daemon.site(bind=f"127.0.0.1:{port}", workers=1)
    daemon.start()
    assert daemon.get().text.startswith("http ")
    site(daemon, pair, bind=f"https://127.0.0.1:{port}", workers=1)
    daemon.send(signal.SIGHUP)
    daemon.wait_log("reload complete")
    assert fetch(daemon, ca.client()).startswith("https ")
    mark = daemon.mark()
    daemon.site(bind=f"127.0.0.1:{port}", workers=1)
    daemon.send(signal.SIGHUP)
    daemon.wait_log("reload complete", mark)
    assert daemon.get().text.startswith("http ")


# Sessions.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_by_any_worker(daemon, ca, version):
    site(daemon, ca.pair("localhost"), workers=2)
    daemon.start()
    daemon.wait_workers(2)
    context = ca.client()
    context.maximum_version = context.minimum_version = version
    first = client(daemon, context)
    first.request("GET", "/")
    pids, session = {first.getresponse().read()}, first.sock.session
    open_ones = [first]

    def ask():
        again = client(daemon, context, session=session)
        assert again.sock.session_reused
        again.request("GET", "/")
        pids.add(again.getresponse().read())
        open_ones.append(again)  # so that the other worker has fewer, and takes the next
        return len(pids) == 2

    wait_for(ask, "answer by another worker")
    for connection in open_ones:
        connection.close()


# Ends.


def test_a_stop_lets_tls_requests_finish(daemon, ca):
    site(daemon, ca.pair("localhost"), workers=1)
    daemon.start()
    idle, busy = client(daemon, ca.client()), client(daemon, ca.client())
    idle.request("GET", "/")
    idle.getresponse().read()
    half = daemon.connect()
    half.sendall(b"\x16\x03")
    busy.request("GET", "/slow")
    daemon.send(signal.SIGTERM)
    assert busy.getresponse().read().startswith(b"https ")
    for connection in (half, busy, idle):
        connection.close()
    assert daemon.wait_exit() == 0
    assert "cut short" not in daemon.log


def test_clients_that_leave_in_the_middle(daemon, ca):
    site(daemon, ca.pair("localhost"), workers=1, threads=2)
    daemon.start()
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    for n in range(30):
        with daemon.connect() as sock:
            sock.sendall(hello[: n % len(hello)])
        connection = client(daemon, ca.client())
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", "1000")
        connection.endheaders()
        connection.send(b"x" * n)
        connection.close()
    assert fetch(daemon, ca.client()).startswith("https ")
    assert "Traceback" not in daemon.log
    assert daemon.stop() == 0


def test_a_name_that_is_not_ascii(daemon, ca):
    site(daemon, ca.pair("localhost"), workers=1)
    daemon.start()
    outgoing = ssl.MemoryBIO()
    session = ca.client().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="xxxx.example.com")
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    with daemon.connect() as sock:
        sock.sendall(outgoing.read().replace(b"xxxx", b"\xfc\xff\0\n"))
        assert read_all(sock)
    with daemon.connect() as sock:
        sock.sendall(b"\x16\x03\x01\0\x05hello")
        assert read_all(sock)
    assert fetch(daemon, ca.client()).startswith("https ")
    assert "Traceback" not in daemon.log
    assert "Error" not in daemon.log


def test_flask_behind_tls(daemon, ca):
    pytest.importorskip("flask")
    shutil.copy(FIXTURE_APPS / "e2e_flask.py", daemon.folder / "flask_app.py")
    site(daemon, ca.pair("localhost"), app="flask_app:make()")
    daemon.start()
    connection = client(daemon, ca.client())
    connection.request("GET", "/")
    assert connection.getresponse().status in (200, 404)
    connection.close()
