"""What the environment says of the user whom workers run as."""

import pwd

import pytest

from superwsgi.config.schema import Site
from superwsgi.worker.boot.login import log_in

ROOTS = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "PATH": "/bin"}
NOBODY = pwd.getpwnam("nobody")


def environ(**keys):
    found = {**ROOTS, **keys.get("env", {})}
    log_in(Site(name="x", apps={"/": "app:app"}, **keys), found)
    return found


@pytest.mark.parametrize("user", ["nobody", str(NOBODY.pw_uid)])
def test_a_user_has_its_own_home(user):
    theirs = {"HOME": NOBODY.pw_dir, "USER": "nobody", "LOGNAME": "nobody"}
    assert environ(user=user) == {**ROOTS, **theirs}


def test_a_number_without_a_name_stands_for_itself():
    assert environ(user="54321") == {**ROOTS, "HOME": "/", "USER": "54321", "LOGNAME": "54321"}


def test_what_the_site_sets_stays():
    theirs = {"HOME": "/srv/shop", "USER": "nobody", "LOGNAME": "nobody"}
    assert environ(user="nobody", env={"HOME": "/srv/shop"}) == {**ROOTS, **theirs}


@pytest.mark.parametrize("keys", [{}, {"group": "nogroup"}])
def test_without_a_user_nothing_changes(keys):
    assert environ(**keys) == ROOTS
