"""Who workers become; without becoming anybody."""

import os
import pwd

import pytest

from superwsgi.config.schema import Site
from superwsgi.worker.privileges import Identity, PrivilegeError, account, group_id, identity

NAMELESS = 54321


@pytest.fixture(autouse=True)
def nameless():
    with pytest.raises(KeyError):
        pwd.getpwuid(NAMELESS)


def site(**keys):
    return Site(name="x", apps={"/": "app:app"}, **keys)


def test_a_name():
    nobody = pwd.getpwnam("nobody")
    who = account("nobody")
    assert who == account(str(nobody.pw_uid)) == Identity("nobody", nobody.pw_uid, nobody.pw_gid)
    assert who.groups() == os.getgrouplist("nobody", nobody.pw_gid)


def test_a_number_without_a_name_has_the_group_of_the_same_number():
    who = account(str(NAMELESS))
    assert who == Identity(None, NAMELESS, NAMELESS)
    assert who.groups() == [NAMELESS]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_its_group_may_be_another():
    assert identity(site(user=str(NAMELESS), group="0")) == Identity(None, NAMELESS, 0)


def test_nobody_named_stays_who_it_is():
    assert identity(site()) is None


def test_a_group_alone_goes_with_the_user_that_we_are():
    who = identity(site(group=str(os.getegid())))
    assert who is not None
    assert (who.uid, who.gid) == (os.geteuid(), os.getegid())


@pytest.mark.parametrize("look_up", [account, group_id])
@pytest.mark.parametrize(("name", "words"), [("no-such-name", "does not exist"), ("4294967295", "beyond")])
def test_what_cannot_be_had(look_up, name, words):
    with pytest.raises(PrivilegeError, match=words):
        look_up(name)
