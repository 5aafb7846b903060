"""Which listeners a site gets: bound, kept, taken over, given up."""

import socket

import pytest

from superwsgi.config.grammar.addresses import address
from superwsgi.config.schema import Site
from superwsgi.config.sections import HealthSettings, Limits
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.inherited import Inherited
from superwsgi.master.sockets.listener import BindError


@pytest.fixture
def prepare(tmp_path):
    """The listeners of a site with these addresses; all are closed at the end."""
    made = []

    def prepared(*bind, checks=(), already=(), inherited=None, **more):
        asked = site(tmp_path, *bind, checks=checks, **more)
        listeners = sockets.prepare(asked, already, inherited or Inherited())
        made.extend(listeners)
        return listeners

    yield prepared
    for listener in made:
        listener.close()
        listener.sock.close()


def site(folder, *bind, checks=(), **more):
    """`checks` are addresses of health.bind."""
    serving, checked = (tuple(address(each, folder) for each in spelled) for spelled in (bind, checks))
    health = HealthSettings(live="/livez", bind=checked)
    return Site(name="x", apps={"/": "app:app"}, bind=serving, health=health, **more)


def accepts(listener):
    with socket.socket(listener.sock.family) as client:
        return client.connect_ex(listener.sock.getsockname()) == 0


def port(listener):
    return listener.sock.getsockname()[1]


class TestBinding:
    def test_in_the_order_of_the_site_file(self, prepare):
        tcp, unix = prepare("127.0.0.1:0", "unix:shop.sock")
        assert tcp.sock.family == socket.AF_INET
        assert unix.sock.family == socket.AF_UNIX
        assert accepts(tcp)
        assert accepts(unix)

    def test_one_address_twice_is_one_too_many(self, prepare):
        (other,) = prepare("127.0.0.1:0")
        with pytest.raises(BindError, match="it is the same as"):
            prepare(f"127.0.0.1:{port(other)}", f"127.0.0.1:{port(other)}", already=[other])

    def test_where_one_cannot_be_had_nothing_is_left_bound(self, prepare, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BindError, match=r"127\.0\.0\.1"):
            prepare("unix:shop.sock", f"127.0.0.1:{taken.getsockname()[1]}")
        assert not (tmp_path / "shop.sock").exists()

    def test_what_was_open_already_stays_open_then(self, prepare, tmp_path):
        already = prepare("unix:shop.sock")
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BindError):
            prepare("unix:shop.sock", f"127.0.0.1:{taken.getsockname()[1]}", already=already)
        assert accepts(already[0])


class TestReload:
    def test_keeps_what_stays_and_binds_what_is_new(self, prepare):
        before = prepare("unix:shop.sock", "unix:old.sock")
        after = prepare("unix:shop.sock", "unix:new.sock", already=before)
        assert after[0].sock is before[0].sock
        assert len(after) == 2
        assert accepts(before[1]), "it is given up when the new generation has taken over"

    def test_a_unix_socket_whose_file_is_gone_is_bound_anew(self, prepare, tmp_path):
        before = prepare("unix:shop.sock")
        (tmp_path / "shop.sock").unlink()
        after = prepare("unix:shop.sock", already=before)
        assert after[0].sock is not before[0].sock
        assert accepts(after[0])

    def test_a_wildcard_keeps_what_it_covers(self, prepare):
        """The kernel prefers the more exact one: who waits there would be refused."""
        (exact,) = prepare("127.0.0.1:0")
        wild, kept = prepare(f"0.0.0.0:{port(exact)}", already=[exact])
        assert wild.sock is not exact.sock
        assert kept.sock is exact.sock

    def test_adapts_mode_and_backlog_of_what_was_kept(self, prepare, tmp_path):
        before = prepare("unix:shop.sock")
        (tmp_path / "shop.sock").chmod(0o600)
        sockets.adapt(before, site(tmp_path, "unix:shop.sock", limits=Limits(backlog=7)))
        assert (tmp_path / "shop.sock").stat().st_mode & 0o777 != 0o600


class TestHealthChecks:
    def test_have_addresses_beside_the_others(self, prepare):
        listeners = prepare("127.0.0.1:0", checks=["127.0.0.1:0", "unix:health.sock"])
        assert [each.checks for each in listeners] == [False, True, True]
        assert len({each.sock for each in listeners}) == 3
        kept = prepare("127.0.0.1:0", checks=["127.0.0.1:0", "unix:health.sock"], already=listeners)
        assert [each.sock for each in kept] == [each.sock for each in listeners]

    def test_and_these_may_change_sides(self, prepare):
        before = prepare("unix:a.sock", checks=["unix:b.sock"])
        after = prepare("unix:b.sock", checks=["unix:a.sock"], already=before)
        assert [each.sock for each in after] == [before[1].sock, before[0].sock]
        assert [each.checks for each in after] == [False, True]
        assert [each.checks for each in before] == [False, True], "as the running generation has them"

    def test_what_a_wildcard_keeps_is_for_the_same(self, prepare):
        (_, exact) = prepare("unix:a.sock", checks=["127.0.0.1:0"])
        *_, kept = prepare("unix:b.sock", checks=[f"0.0.0.0:{port(exact)}"], already=[exact])
        assert (kept.sock, kept.checks) == (exact.sock, True)
        *_, kept = prepare(f"0.0.0.0:{port(exact)}", already=[exact])
        assert (kept.sock, kept.checks) == (exact.sock, False)

    def test_adapt_them_too(self, prepare, tmp_path):
        before = prepare("unix:a.sock", checks=["unix:b.sock"])
        (tmp_path / "b.sock").chmod(0o600)
        sockets.adapt(before, site(tmp_path, "unix:a.sock", checks=["unix:b.sock"]))
        assert (tmp_path / "b.sock").stat().st_mode & 0o777 == 0o666

    def test_one_that_systemd_has_passed_is_for_one_or_the_other(self, prepare):
        with socket.create_server(("127.0.0.1", 0)) as web, socket.create_server(("127.0.0.1", 0)) as checks:
            passed = Inherited(given=[("web", web), ("checks", checks)])
            found = prepare("systemd:web", checks=["systemd:checks"], inherited=passed)
            assert [(each.sock, each.checks) for each in found] == [(web, False), (checks, True)]
            with pytest.raises(BindError, match=r"bind systemd:checks: systemd has that socket already"):
                prepare("systemd", checks=["systemd:checks"], inherited=passed)


class TestTheEnd:
    def test_of_a_unix_socket_removes_its_file(self, prepare, tmp_path):
        listeners = prepare("unix:shop.sock")
        sockets.close(listeners)
        assert not (tmp_path / "shop.sock").exists()

    def test_but_not_somebody_elses(self, prepare, tmp_path):
        listeners = prepare("unix:shop.sock")
        (tmp_path / "shop.sock").unlink()
        (tmp_path / "shop.sock").write_text("another one's")
        sockets.close(listeners)
        assert (tmp_path / "shop.sock").exists()

    def test_giving_up_refuses_who_comes_even_while_a_mold_has_it_open(self, prepare):
        (listener,) = prepare("127.0.0.1:0")
        where = listener.sock.getsockname()
        with listener.sock.dup():
            sockets.give_up([listener])
            with socket.socket() as client:
                assert client.connect_ex(where) != 0

    def test_what_systemd_has_passed_is_not_ours_to_close(self, prepare):
        with socket.create_server(("127.0.0.1", 0)) as passed:
            (listener,) = prepare("systemd:web", inherited=Inherited(given=[("web", passed)]))
            sockets.close([listener])
            assert accepts(listener)


class TestTheStore:
    def test_has_a_name_for_each_address_without_colons(self, tmp_path):
        spelled = "127.0.0.1:80", "[::1]:80", "unix:shop.sock"
        names = {sockets.stored_name(address(each, tmp_path)) for each in spelled}
        assert len(names) == 3
        assert not any(":" in name for name in names)

    def test_gives_back_the_socket_of_an_earlier_start(self, prepare, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as stored:
            spelled = f"127.0.0.1:{stored.getsockname()[1]}"
            name = sockets.stored_name(address(spelled, tmp_path))
            (listener,) = prepare(spelled, inherited=Inherited(stored={name: stored}))
            assert listener.sock is stored
