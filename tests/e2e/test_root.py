"""A root master and an application whose user may write the folders of socket, pid file and logs: nothing of
root's changes hands, whatever that user puts there.
"""

import os
import pwd
import signal
import stat
import tempfile
from pathlib import Path

import pytest

from tests.e2e.daemon import Daemon

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")

APP = """
    import os
    from pathlib import Path

    def app(environ, start_response):
        \"\"\"Puts a link to the victim in the place of a file.\"\"\"
        if environ["QUERY_STRING"]:
            path = Path(environ["QUERY_STRING"])
            path.unlink()
            path.symlink_to(Path("victim/file").absolute())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getuid()).encode()]
"""


@pytest.fixture
def site():
    """With a file that only root may read or write, and what it is like at the end."""
    with tempfile.TemporaryDirectory() as folder:
        site = Daemon(Path(folder))
        site.folder.chmod(0o755)
        site.write("app.py", APP)
        victim = site.write("victim/file", "precious")
        victim.chmod(0o600)
        (site.folder / "run").mkdir()
        os.chown(site.folder / "run", pwd.getpwnam("nobody").pw_uid, -1)
        site.site(
            workers=1,
            user="nobody",
            bind=["127.0.0.1:0", "unix:run/x.sock"],
            pidfile="run/pid",
            control="run/control.sock",
            log={"access": "run/access.log"},
            rollout={"confirm": "100ms"},
        )
        try:
            yield site.start()
        finally:
            site.clean_up()
        status = victim.stat()
        assert (victim.read_text(), stat.S_IMODE(status.st_mode)) == ("precious", 0o600)
        assert (status.st_uid, status.st_gid) == (0, 0)


def replace(site, name):
    """Let the application do it."""
    assert site.get(f"/?run/{name}").text == str(pwd.getpwnam("nobody").pw_uid)
    assert (site.folder / "run" / name).is_symlink()


def restarted(site):
    mark = site.mark()
    site.start(ready=False)
    return site.wait_exit(), site.log[mark:]


def test_the_socket(site):
    replace(site, "x.sock")
    site.reload("(?s)reload refused.*?a file that is not a socket is there")
    assert site.stop() == 0
    assert (site.folder / "run" / "x.sock").is_symlink()
    code, said = restarted(site)
    assert (code, "a file that is not a socket is there; move it away" in said) == (4, True)


def test_the_control_socket(site):
    replace(site, "control.sock")
    site.reload("reload complete|reload refused")
    assert site.stop() == 0
    assert (site.folder / "run" / "control.sock").is_symlink()


def test_the_pid_file(site):
    replace(site, "pid")
    site.reload()
    mark = site.mark()
    site.send(signal.SIGUSR2)
    site.wait_log("program replaced", since=mark)
    site.wait_log("reload complete", since=mark)
    assert site.stop() == 0
    assert (site.folder / "run" / "pid").is_symlink()
    code, said = restarted(site)
    assert (code, "leads by a link of user" in said) == (1, True)


def test_a_log(site):
    replace(site, "access.log")
    mark = site.mark()
    site.send(signal.SIGUSR1)
    assert "leads by a link of user" in site.wait_log("log files not reopened .*", since=mark)[0]
    site.reload("(?s)reload failed.*?leads by a link of user")
    assert site.get().status == 200
    done = site.command("check", "-c", "site.yaml")
    assert (done.returncode, "log.access: " in done.stderr) == (2, True)
    assert "name the file itself, or let root make the link" in done.stderr
    assert site.stop() == 0
    code, said = restarted(site)
    assert (code, "let root make the link" in said) == (2, True)
