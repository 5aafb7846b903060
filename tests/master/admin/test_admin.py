"""What the admin process may say, and what the master makes of anything else; what it needs."""

import os

import pytest

from superwsgi.channel import Forged
from superwsgi.config.listening import TcpAddress
from superwsgi.config.schema import Site
from superwsgi.config.sections import AdminSettings
from superwsgi.log.rate_limit import BURST
from superwsgi.master.admin.handle import CONNECTS, WORDS, AdminHandle
from superwsgi.master.admin.user import user_of
from superwsgi.master.processes.hearing import ADMIN, Said, after
from superwsgi.messages import Alive, Connect, Loaded, Ready, Recycle, Started, WentWrong
from superwsgi.system.privileges import PrivilegeError

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has others' rights to give")


def site(**keys):
    admin = AdminSettings(bind=(TcpAddress("127.0.0.1", 0),), user=keys.pop("admin", None))
    return Site(name="shop", apps={"/": "shop:app"}, admin=admin, **keys)


def test_what_it_may_say():
    assert after(ADMIN, Said.NOTHING, Ready(0.1), sender=7, of=7) is Said.READY
    for word in (Alive(), Connect()):
        assert after(ADMIN, Said.READY, word, sender=7, of=7) is Said.READY


@pytest.mark.parametrize("word", [Alive(), Connect(), Started(7), Loaded(0.1), Recycle("memory")])
def test_what_it_may_not_say_first(word):
    with pytest.raises(Forged):
        after(ADMIN, Said.NOTHING, word, sender=7, of=7)


@pytest.mark.parametrize("word", [Ready(0.1), Started(7), Loaded(0.1), Recycle("memory")])
def test_what_it_may_never_say(word):
    with pytest.raises(Forged):
        after(ADMIN, Said.READY, word, sender=7, of=7)


def test_nobody_else_may_say_it():
    with pytest.raises(Forged):
        after(ADMIN, Said.READY, Connect(), sender=8, of=7)


@pytest.mark.parametrize(
    ("word", "most"),
    [(Alive(), WORDS), (Connect(), CONNECTS), (WentWrong("info", "odd", {}), BURST)],
    ids=["alive", "connect", "went wrong"],
)
def test_it_may_not_say_too_much(word, most):
    """Who floods the channel would have the master read nothing else."""
    process = AdminHandle(7, None, began=5.0, heard_at=5.0)
    process.hear(Ready(0.1), 7, 5.0)

    def say(times):
        for _ in range(times):
            process.hear(word, 7, 5.0)

    say(most - 1)
    with pytest.raises(Forged, match="than our code would send"):
        say(2)
    for at in range(10, 20):
        process.hear(word, 7, float(at))


@ROOT
def test_it_is_nobody_or_somebody():
    assert user_of(site()) == "nobody"
    assert user_of(site(user="www-data")) == "nobody"
    assert user_of(site(admin="daemon")) == "daemon"


@ROOT
@pytest.mark.parametrize(
    "keys", [{"user": "nobody"}, {"user": "65534"}, {"user": "daemon", "admin": "1"}, {"admin": "00"}]
)
def test_it_is_neither_root_nor_the_site_s_user(keys):
    with pytest.raises(PrivilegeError, match="name another one"):
        user_of(site(**keys))


@ROOT
def test_a_user_that_does_not_exist_is_named_with_its_key():
    with pytest.raises(PrivilegeError, match=r"^admin\.user: user 'nosuch' does not exist"):
        user_of(site(admin="nosuch"))
