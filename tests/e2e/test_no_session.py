"""Users whom no session has given a folder for sockets: their sites have control sockets all the same."""

import os
import shutil
import signal
import stat

import pytest

from tests.e2e.daemon import wait_for
from tests.e2e.users import people, served

if os.geteuid() != 0:  # the folder is that of everything else which this user runs
    pytestmark = pytest.mark.alone

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def make():
    with people() as make:
        yield make


@pytest.fixture
def nobody(make):
    return make(session=False)


class TestWithoutASession:
    def test_has_a_control_socket_in_a_folder_of_its_own(self, nobody):
        site = nobody.site("shop").start()
        assert stat.S_IMODE(nobody.temporary.stat().st_mode) == 0o700
        assert nobody.temporary.stat().st_uid == nobody.uid
        assert served(nobody, "shop") == {"shop": site.pid}
        assert "no control socket" not in site.log
        assert nobody.command("stop", "shop", "--wait").returncode == 0
        assert not (nobody.temporary / "shop.sock").exists()

    def test_is_found_from_a_session_and_makes_its_folder_anew_at_hup(self, nobody):
        site = nobody.site("shop").start()
        nobody.environ["XDG_RUNTIME_DIR"] = str(nobody.session)
        assert served(nobody, "shop") == {"shop": site.pid}
        site.send(signal.SIGSTOP)  # it also looks for its folder by itself
        shutil.rmtree(nobody.temporary)
        assert nobody.command("status", "shop").returncode == 2
        site.send(signal.SIGCONT)
        site.reload()
        wait_for((nobody.temporary / "shop.sock").exists, "socket")
        assert served(nobody) == {"shop": site.pid}

    @pytest.mark.parametrize("session", ["/nonexistent", "/", "relative"])
    def test_nor_one_that_can_be_used(self, nobody, session):
        nobody.environ["XDG_RUNTIME_DIR"] = session
        site = nobody.site("shop").start()
        assert served(nobody, "shop") == {"shop": site.pid}

    @as_root
    @pytest.mark.parametrize("made", ["a folder", "a link", "a link to one of the user's own"])
    def test_a_folder_that_another_user_has_made_first(self, nobody, made):
        if made == "a folder":
            nobody.temporary.mkdir(mode=0o777)
        else:
            target = nobody.session if "own" in made else nobody.folder
            nobody.temporary.symlink_to(target)
        site = nobody.site("shop").start()
        said = site.wait_log(r"warning .*no control socket reason=(.*) next=(.*)")
        assert str(nobody.temporary) in said[1]
        assert "send HUP" in said[2]
        assert site.get().status == 200
        assert not list(nobody.session.iterdir())
        done = nobody.command("status")
        assert done.returncode == 2
        assert f"skipped: {nobody.temporary}" in done.stderr
        if made == "a folder":
            assert not list(nobody.temporary.iterdir())
            nobody.temporary.rmdir()
            site.reload()
            assert served(nobody) == {"shop": site.pid}, "once it is gone"

    @as_root
    def test_a_socket_that_another_user_has_put_there_is_not_met(self, nobody, make):
        other = make(session=False)
        shop = other.site("shop").start()
        (other.temporary / "shop.sock").chmod(0o666)
        nobody.temporary.symlink_to(other.temporary)
        done = nobody.command("stop")
        assert done.returncode == 2
        assert "skipped: " in done.stderr
        assert "connection refused" not in shop.log, "nothing was asked of it"
