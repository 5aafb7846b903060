"""HUP changes what belongs to the site, and not to one generation of it: addresses, pid file, name."""

import fcntl
import socket
import stat

import psutil
import pytest

from tests.e2e.daemon import saying, wait_for
from tests.e2e.load import Load

pytestmark = pytest.mark.drill


@pytest.fixture
def site(daemon):
    daemon.write("app.py", saying("one"))
    daemon.site(workers=2)
    daemon.start()
    daemon.wait_workers(2)
    return daemon


def test_to_all_interfaces_and_back_without_losing_a_connection(site):
    host, port = site.address
    with Load((host, port), clients=4, keep_alive=False) as load:
        for bind in (f"0.0.0.0:{port}", f"127.0.0.1:{port}", f":{port}", f"localhost:{port}"):
            site.site(workers=2, bind=bind)
            site.reload()
            wide = bind.startswith(("0", ":"))
            wait_for(lambda wide=wide: _answers("127.0.0.2", port) == wide, f"what {bind} says")
    assert load.broken == []
    assert len(load.answers) > 20


def test_to_one_interface_is_refused_with_the_reason(site):
    port = site.address[1]
    site.stop()
    mark = site.mark()
    site.site(workers=2, bind=f":{port}")
    site.start(ready=False)
    site.wait_log("serving", since=mark)
    site.site(workers=2, bind=f"127.0.0.1:{port}")
    site.reload(r"reload refused[^\n]*\n.*cannot be narrowed")
    assert _answers("127.0.0.2", port)


def test_a_second_start_beside_a_widened_address_is_refused(site):
    port = site.address[1]
    site.site(workers=2, bind=f":{port}")
    site.reload()
    other = [socket.socket() for _ in range(2)]
    for sock, host in zip(other, ("127.0.0.1", "0.0.0.0"), strict=True):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with sock, pytest.raises(OSError, match="in use"):
            sock.bind((host, port))


def test_a_mode_changes_only_with_the_generation(site):
    path = site.folder / "x.sock"
    site.site(workers=1, bind=["127.0.0.1:0", {"unix": "x.sock", "mode": "0600"}])
    site.reload()
    site.write("app.py", "import nosuchmodule\n")
    site.site(workers=1, bind=["127.0.0.1:0", {"unix": "x.sock", "mode": "0660"}])
    site.reload("reload failed")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    site.write("app.py", saying("two"))
    site.reload()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def _answers(host, port):
    try:
        socket.create_connection((host, port), 60).close()
    except ConnectionRefusedError:
        return False
    return True


def test_pid_file_and_name_change_with_the_generation(site):
    """Not before, and not at all if it does not take over."""
    old, new = site.folder / "old.pid", site.folder / "new.pid"
    site.site(workers=1, pidfile="old.pid")
    site.reload()
    assert old.read_text() == f"{site.pid}\n"
    site.write("app.py", "import nosuchmodule\n")
    site.site(workers=1, pidfile="new.pid", name="other")
    site.reload("reload failed")
    assert old.exists()
    assert not new.exists()
    site.write("app.py", saying("two"))
    site.reload()
    assert new.read_text() == f"{site.pid}\n"
    assert not old.exists()
    assert "superwsgi: master [other]" in " ".join(psutil.Process(site.pid).cmdline())
    site.site(workers=1)
    site.reload()
    assert not new.exists()


def test_after_a_pid_file_was_taken_by_others_the_way_back_is_open(site):
    old, new = site.folder / "old.pid", site.folder / "new.pid"
    site.site(workers=1, pidfile="old.pid")
    site.reload()
    site.site(workers=1, pidfile="new.pid")
    mark = site.mark()
    site.reload("rolled out")
    with new.open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        site.wait_log("not changed what=.pid file. reason=.*is held by process", since=mark)
    site.site(workers=1, pidfile="old.pid")
    site.reload()
    assert old.read_text() == f"{site.pid}\n"


def test_a_pid_file_that_cannot_be_had_does_not_take_over(site):
    taken = site.folder / "taken.pid"
    with taken.open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        for pidfile, words in (("taken.pid", "is held by process"), ("no/such.pid", "cannot write pid file")):
            site.site(workers=2, pidfile=pidfile)
            site.reload(rf"reload refused[^\n]*\n.*{words}")
    assert site.get().text == "one"
