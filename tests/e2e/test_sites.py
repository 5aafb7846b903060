"""Several sites of one user: their names, their control sockets, and commands that mean one of them."""

import contextlib
import json
import os
import shutil
import signal
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from tests.e2e.daemon import wait_for
from tests.e2e.users import User

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def people():
    """Make users, in a folder that all may enter, which pytest's own are not."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)

        def make(**more):
            user = User(folder, **more)
            stack.callback(user.clean_up)
            return user

        yield make


@pytest.fixture
def user(people):
    """In a session that has a folder for sockets."""
    return people(session=True)


@pytest.fixture
def nobody(people):
    """Without any."""
    return people(session=False)


def served(user, *which):
    """Site → process id of its master, by `superwsgi status`."""
    done = user.command("status", "--json", *which)
    assert done.returncode == 0, done.stderr
    return {(said := json.loads(line))["site"]: said["pid"] for line in done.stdout.splitlines()}


def names(folder):
    return sorted(path.name for path in folder.glob("*.sock"))


class TestTwoFilesOfOneName:
    """Both called site.yaml, as tutorials have it."""

    @pytest.fixture
    def sites(self, user):
        return [user.site(name).start() for name in ("shop", "blog")]

    def test_each_is_called_by_its_folder(self, user, sites):
        shop, blog = sites
        assert served(user) == {"shop": shop.pid, "blog": blog.pid}
        assert served(user, "shop") == {"shop": shop.pid}
        assert served(user, "-c", blog.folder / "site.yaml") == {"blog": blog.pid}
        assert names(user.session / "superwsgi") == ["blog.sock", "shop.sock"]

    def test_a_command_reaches_the_one_that_it_names(self, user, sites):
        shop, blog = sites
        for command in ("reload", "upgrade"):
            mark = blog.mark()
            done = user.command(command, "--wait", "blog")
            assert done.returncode == 0, done.stderr
            blog.wait_log("reload complete", since=mark)
        assert user.command("stop", "--wait", "blog").returncode == 0
        assert blog.wait_exit() == 0
        assert "asked to" not in shop.log
        assert user.command("reload", "--wait").returncode == 0, "now that only one runs"
        assert "asked to reload" in shop.log

    @pytest.mark.parametrize("command", ["reload", "upgrade", "stop"])
    def test_without_a_name_it_asks_for_one(self, user, sites, command):
        done = user.command(command)
        assert (done.returncode, done.stdout) == (2, "")
        first, *ways = done.stderr.splitlines()
        assert first == "superwsgi: 2 sites run here; say which one is meant:"
        assert [way.split("(")[0].strip() for way in ways] == [
            f"superwsgi {command} blog",
            f"superwsgi {command} shop",
        ]
        assert str(sites[1].folder / "site.yaml") in ways[0]
        assert not any("asked to" in site.log or "stopping" in site.log for site in sites)

    @pytest.mark.parametrize("command", ["status", "reload", "upgrade", "stop"])
    def test_names_that_are_none(self, user, sites, command):
        done = user.command(command, "shpo")
        assert done.returncode == 3
        assert done.stderr == "superwsgi: no site called shpo runs here; these do: blog, shop\n"
        done = user.command(command, "shop/site.yaml")
        assert "; for a site file write -c shop/site.yaml" in done.stderr
        for more in (["-c", "shop/site.yaml"], ["--control", user.session / "superwsgi" / "shop.sock"]):
            done = user.command(command, "shop", *more)
            assert (done.returncode, "give one of them" in done.stderr) == (2, True)
        assert not any("asked to" in site.log or "stopping" in site.log for site in sites)


class TestOneName:
    @pytest.fixture
    def sites(self, user):
        return [user.site(f"{place}/shop").start() for place in ("a", "b")]

    def test_the_second_one_has_a_socket_too(self, user, sites):
        first, second = sites
        folder = user.session / "superwsgi"
        assert names(folder) == ["shop-2.sock", "shop.sock"]
        assert "control socket has a number" not in first.log
        said = second.wait_log("control socket has a number socket=(.*) reason=(.*) next=(.*)")
        assert said[1] == str(folder / "shop-2.sock")
        assert f"another site listens at {folder / 'shop.sock'}" in said[2]
        assert "-c FILE or --control SOCKET" in said[3]

    def test_commands_reach_the_right_one_or_none(self, user, sites):
        first, second = sites
        done = user.command("reload", "shop")
        assert done.returncode == 2
        assert "2 sites are called shop; say which one is meant:" in done.stderr
        for site in sites:
            assert f"superwsgi reload -c {site.folder / 'site.yaml'}" in done.stderr
        assert user.command("reload").returncode == 2
        assert user.command("reload", "--wait", "-c", second.folder / "site.yaml").returncode == 0
        assert "asked to reload" in second.log
        assert "asked to" not in first.log

    def test_status_tells_them_apart(self, user, sites):
        done = user.command("status", "shop")
        assert done.returncode == 0
        for site in sites:
            assert f"\n{site.folder / 'site.yaml'}, " in done.stdout

    def test_neither_takes_what_belongs_to_the_other(self, user, sites):
        first, second = sites
        folder = user.session / "superwsgi"
        second.reload()
        assert names(folder) == ["shop-2.sock", "shop.sock"]
        assert first.stop() == 0
        assert names(folder) == ["shop-2.sock"]
        second.reload()
        assert names(folder) == ["shop-2.sock"], "a site stays where it is"
        assert served(user, "shop") == {"shop": second.pid}
        again = user.site("a/shop").start()
        assert names(folder) == ["shop-2.sock", "shop.sock"]
        assert second.stop() == 0
        assert served(user) == {"shop": again.pid}
        assert again.stop() == 0
        assert names(folder) == []

    def test_a_reload_renames_the_second(self, user, sites):
        second = sites[1]
        second.site(workers=1, preload=False, name="blog")
        second.reload()
        assert names(user.session / "superwsgi") == ["blog.sock", "shop.sock"]
        assert served(user, "blog") == {"blog": second.pid}

    def test_a_killed_one_leaves_a_socket_and_the_others_stay(self, user, sites):
        first, second = sites
        first.send(signal.SIGKILL)
        first.wait_exit()
        again = user.site("c/shop").start()
        assert "control socket has a number" not in again.log, "it was dead, and is taken over"
        assert served(user, "-c", second.folder / "site.yaml") == {"shop": second.pid}
        done = user.command("reload", "-c", first.folder / "site.yaml")
        assert done.returncode == 3
        assert f"is that of {second.folder / 'site.yaml'}" in done.stderr
        assert "asked to" not in second.log + again.log

    def test_at_the_same_moment(self, user):
        sites = [user.site(f"{place}/shop") for place in "abcd"]
        for site in sites:
            site.start(ready=False)
        for site in sites:
            site.wait_ready()
        for site in sites:
            assert served(user, "-c", site.folder / "site.yaml") == {"shop": site.pid}
        assert len(names(user.session / "superwsgi")) == len(sites)

    def test_one_that_hangs_gets_no_command_later(self, user, sites):
        first, second = sites
        first.send(signal.SIGSTOP)
        done = user.command("stop", "-c", first.folder / "site.yaml")
        assert done.returncode == 3
        assert "shop.sock does not answer" in done.stderr
        first.send(signal.SIGCONT)
        wait_for(lambda: len(user.command("status", "--json").stdout.splitlines()) == 2, "answer of both")
        assert "stopping" not in first.log + second.log


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
        shutil.rmtree(nobody.temporary)
        assert nobody.command("status", "shop").returncode == 3
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
        assert done.returncode == 3
        assert f"not looked into: {nobody.temporary}" in done.stderr
        if made == "a folder":
            assert not list(nobody.temporary.iterdir())
            nobody.temporary.rmdir()
            site.reload()
            assert served(nobody) == {"shop": site.pid}, "once it is gone"

    @as_root
    def test_a_socket_that_another_user_has_put_there_is_not_met(self, nobody, people):
        other = people(session=False)
        shop = other.site("shop").start()
        (other.temporary / "shop.sock").chmod(0o666)
        nobody.temporary.symlink_to(other.temporary)
        done = nobody.command("stop")
        assert done.returncode == 3
        assert "not looked into" in done.stderr
        assert "connection refused" not in shop.log, "nothing was asked of it"


class TestFromScripts:
    """`superwsgi.run(app)` in files that are all called app.py, and `superwsgi run app:app`."""

    def test_they_are_called_by_their_folders(self, user):
        shop, blog = user.site("shop"), user.site("blog")
        shop.write("app.py", SCRIPT)
        shop.spawn([sys.executable, "app.py"])
        blog.start("run", "app:app", "--bind", "127.0.0.1:0", "--workers", "1")
        assert served(user) == {"shop": shop.pid, "blog": blog.pid}
        done = user.command("reload")
        assert done.returncode == 2
        assert "no site file" in done.stderr
        assert user.command("stop", "--wait", "blog").returncode == 0
        assert blog.wait_exit() == 0
        assert served(user) == {"shop": shop.pid}

    def test_of_one_name(self, user):
        first, second = user.site("a/shop"), user.site("b/shop")
        for site in (first, second):
            site.start("run", "app:app", "--bind", "127.0.0.1:0", "--workers", "1")
        done = user.command("stop", "shop")
        assert done.returncode == 2
        socket = user.session / "superwsgi" / "shop-2.sock"
        assert f"superwsgi stop --control {socket}" in done.stderr
        assert user.command("stop", "--control", socket).returncode == 0
        assert second.wait_exit() == 0
        third = user.site("b/shop")
        third.start("run", "app:app", "-b", "127.0.0.1:0", "-w", "1", "--name", "other")
        assert served(user, "other") == {"other": third.pid}


SCRIPT = """
    import superwsgi

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    if __name__ == "__main__":
        superwsgi.run(app, port=0)
"""
