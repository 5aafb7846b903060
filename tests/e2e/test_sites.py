"""Several sites of one user: their names, their control sockets, and commands that mean one of them."""

import contextlib
import signal
import sys

import pytest

from tests.e2e.daemon import wait_for
from tests.e2e.users import people, served

pytestmark = pytest.mark.drill


@contextlib.contextmanager
def in_a_session():
    """A user with a folder for sockets."""
    with people() as make:
        yield make(session=True)


@pytest.fixture
def user():
    with in_a_session() as user:
        yield user


@pytest.fixture(scope="class")
def onlooker():
    """Whose sites all tests of a class look at, and none changes."""
    with in_a_session() as user:
        yield user


@pytest.fixture(scope="class")
def shop_and_blog(onlooker):
    return [onlooker.site(name).start() for name in ("shop", "blog")]


@pytest.fixture(scope="class")
def two_shops(onlooker):
    return [onlooker.site(f"{place}/shop").start() for place in ("a", "b")]


def names(folder):
    return sorted(path.name for path in folder.glob("*.sock"))


class TestTwoFilesOfOneName:
    """Both called site.yaml, as tutorials have it."""

    def test_each_is_called_by_its_folder(self, onlooker, shop_and_blog):
        shop, blog = shop_and_blog
        assert served(onlooker) == {"shop": shop.pid, "blog": blog.pid}
        assert served(onlooker, "shop") == {"shop": shop.pid}
        assert served(onlooker, "-c", blog.folder / "site.yaml") == {"blog": blog.pid}
        assert names(onlooker.session / "superwsgi") == ["blog.sock", "shop.sock"]

    @pytest.mark.parametrize("command", ["reload", "upgrade", "stop"])
    def test_without_a_name_it_asks_for_one(self, onlooker, shop_and_blog, command):
        done = onlooker.command(command)
        assert (done.returncode, done.stdout) == (2, "")
        first, *ways = done.stderr.splitlines()
        assert first == "superwsgi: 2 sites run here; say which one is meant:"
        assert [way.split("(")[0].strip() for way in ways] == [
            f"superwsgi {command} blog",
            f"superwsgi {command} shop",
        ]
        assert str(shop_and_blog[1].folder / "site.yaml") in ways[0]
        assert not any("asked to" in site.log or "stopping" in site.log for site in shop_and_blog)

    @pytest.mark.parametrize("command", ["status", "reload", "upgrade", "stop"])
    def test_names_that_are_none(self, onlooker, shop_and_blog, command):
        done = onlooker.command(command, "shpo")
        assert done.returncode == 2
        assert done.stderr == "superwsgi: no site called shpo runs here; running: blog, shop\n"
        done = onlooker.command(command, "shpo/site.yaml")
        assert (done.returncode, "shpo/site.yaml: cannot be read" in done.stderr) == (2, True)
        for more in (["-c", "shop/site.yaml"], ["--control", onlooker.session / "superwsgi" / "shop.sock"]):
            done = onlooker.command(command, "shop", *more)
            assert (done.returncode, "give only one of" in done.stderr) == (2, True)
        assert not any("asked to" in site.log or "stopping" in site.log for site in shop_and_blog)


class TestCommandsThatNameOne:
    def test_reach_it_alone(self, user):
        shop, blog = [user.site(name).start() for name in ("shop", "blog")]
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


class TestTwoOfOneName:
    def test_the_second_one_has_a_socket_too(self, onlooker, two_shops):
        first, second = two_shops
        folder = onlooker.session / "superwsgi"
        assert names(folder) == ["shop-2.sock", "shop.sock"]
        assert "control socket has a number" not in first.log
        said = second.wait_log("control socket has a number socket=(.*) reason=(.*) next=(.*)")
        assert said[1] == str(folder / "shop-2.sock")
        assert f"another site listens at {folder / 'shop.sock'}" in said[2]
        assert "-c FILE or --control SOCKET" in said[3]

    def test_status_tells_them_apart(self, onlooker, two_shops):
        done = onlooker.command("status", "shop")
        assert done.returncode == 0
        for site in two_shops:
            assert f"\n{site.folder / 'site.yaml'}, " in done.stdout


class TestCommandsAmongTwoOfOneName:
    @pytest.fixture
    def sites(self, user):
        return [user.site(f"{place}/shop").start() for place in ("a", "b")]

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
        assert done.returncode == 2
        assert f"belongs to {second.folder / 'site.yaml'}" in done.stderr
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
        assert done.returncode == 2
        assert "shop.sock does not answer" in done.stderr
        first.send(signal.SIGCONT)
        wait_for(lambda: len(user.command("status", "--json").stdout.splitlines()) == 2, "answer of both")
        assert "stopping" not in first.log + second.log


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
