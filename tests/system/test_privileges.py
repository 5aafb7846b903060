"""Who workers become, without becoming anybody; and what the environment says of them."""

import os
import pwd
import subprocess
import sys

import pytest

from superwsgi.system.privileges import Identity, PrivilegeError, account, group_id, identity, log_in

NAMELESS = 54321


@pytest.fixture(autouse=True)
def nameless():
    with pytest.raises(KeyError):
        pwd.getpwuid(NAMELESS)


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
    assert identity(str(NAMELESS), "0") == Identity(None, NAMELESS, 0)


def test_nobody_named_stays_who_it_is():
    assert identity(None, None) is None


def test_a_group_alone_goes_with_the_user_that_we_are():
    who = identity(None, str(os.getegid()))
    assert who is not None
    assert (who.uid, who.gid) == (os.geteuid(), os.getegid())


@pytest.mark.parametrize("look_up", [account, group_id])
@pytest.mark.parametrize(("name", "words"), [("no-such-name", "does not exist"), ("4294967295", "too large")])
def test_what_cannot_be_had(look_up, name, words):
    with pytest.raises(PrivilegeError, match=words):
        look_up(name)


PRELUDES = {
    "root": "",
    "inheritable capabilities": "inheritable()",
    "capabilities that are kept": "libc.prctl(8, 1, 0, 0, 0)",  # PR_SET_KEEPCAPS
    "no fixup of capabilities": "libc.prctl(28, 1 << 2, 0, 0, 0)",  # PR_SET_SECUREBITS, NO_SETUID_FIXUP
}

BECOMES = """
import ctypes, os, sys
from superwsgi.system.libc import capget, capset
from superwsgi.system import privileges

libc = ctypes.CDLL(None)

def inheritable():
    data = capget()
    data[2], data[5] = data[1], data[4]
    capset(data)

%s
privileges.drop("nobody", None, None)
print(os.getresuid(), os.getresgid(), privileges.has_capabilities())
for call, ids in ((os.setuid, 0), (os.seteuid, 0), (os.setgid, 0), (os.setegid, 0), (os.setgroups, [0])):
    try:
        call(ids)
        sys.exit("regained")
    except PermissionError:
        pass
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("prelude", PRELUDES.values(), ids=PRELUDES)
def test_nothing_of_root_is_left_nor_can_be_had_back(prelude):
    """In a process of its own."""
    nobody = pwd.getpwnam("nobody")
    done = subprocess.run(
        [sys.executable, "-c", BECOMES % prelude], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{(nobody.pw_uid,) * 3} {(nobody.pw_gid,) * 3} False\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has them")
@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("pass", "not those of the site file"),
        (
            "os.setgroups(who.groups()); os.setresgid(*[who.gid] * 3); os.setresuid(who.uid, who.uid, 0)",
            "not those",
        ),
        (
            "os.setgroups([0, who.gid]); os.setresgid(*[who.gid] * 3); os.setresuid(*[who.uid] * 3)",
            "not those",
        ),
        ("keep(); privileges._become(who)", "no error"),
        (
            "keep(); privileges.give_up_capabilities = lambda: None; privileges._become(who)",
            "become root again",
        ),
    ],
)
def test_rights_that_are_left_are_found(before, words):
    script = (
        "import ctypes, os\n"
        "from superwsgi.system import privileges\n"
        "who = privileges.account('nobody')\n"
        "keep = lambda: ctypes.CDLL(None).prctl(28, 1 << 2, 0, 0, 0)\n"
        f"{before}\n"
        "privileges.require_gone(who)\n"
        "print('no error')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert words in done.stdout + done.stderr


ROOTS = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "PATH": "/bin"}
NOBODY = pwd.getpwnam("nobody")


def logged_in(user, **env):
    found = {**ROOTS, **env}
    log_in(user, found, env)
    return found


@pytest.mark.parametrize("user", ["nobody", str(NOBODY.pw_uid)])
def test_a_user_has_its_own_home(user):
    theirs = {"HOME": NOBODY.pw_dir, "USER": "nobody", "LOGNAME": "nobody"}
    assert logged_in(user) == {**ROOTS, **theirs}


def test_a_number_without_a_name_stands_for_itself():
    assert logged_in("54321") == {**ROOTS, "HOME": "/", "USER": "54321", "LOGNAME": "54321"}


def test_what_the_site_sets_stays():
    theirs = {"HOME": "/srv/shop", "USER": "nobody", "LOGNAME": "nobody"}
    assert logged_in("nobody", HOME="/srv/shop") == {**ROOTS, **theirs}


def test_without_a_user_nothing_changes():
    assert logged_in(None) == ROOTS
