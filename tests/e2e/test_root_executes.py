"""A root master and a site whose user may write what its interpreter looks at: root executes none of it."""

import os
import pwd
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from tests.e2e.daemon import Daemon
from tests.e2e.releases import Releases
from tests.e2e.users import becoming

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")

NOTES = """
    import os
    with open({path!r}, "a") as notes:
        notes.write(f"{{__name__}} {{os.getuid()}} {{os.geteuid()}}\\n")
"""

APP = """
    import os
    import vendored

    def app(environ, start_response):
        os.spawnvp(os.P_WAIT, "sh", ["sh", "-c", "echo $PYTHONPATH $GREETING > run/program"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [" ".join([str(os.getuid()), *map(os.getenv, ["PYTHONPATH", "GREETING", "HOME"])]).encode()]
"""
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def site():
    """With the folder `run` that its user may write."""
    with tempfile.TemporaryDirectory() as folder:
        site = Daemon(Path(folder))
        site.folder.chmod(0o755)
        (site.folder / "run").mkdir()
        yield site
        site.clean_up()


def give(site, folder):
    """All of it is the user's."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)


def as_line(code):
    """As a .pth file has it, which `site` executes."""
    return f"import os; exec({textwrap.dedent(code)!r})\n"


def noted(site):
    """Who has executed which of the modules that take notes."""
    notes = site.folder / "run" / "notes"
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [(name, int(uid), int(euid)) for name, uid, euid in map(str.split, lines)]


@pytest.mark.parametrize("preload", [True, False], ids=["preload", "import per worker"])
def test_nothing_that_the_environment_names(site, preload):
    home, path = site.folder / "run", str(site.folder / "run" / "vendor")
    notes = NOTES.format(path=str(site.folder / "run" / "notes"))
    site.write("app.py", APP)
    packages = f".local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    for name in ("vendor/sitecustomize", "vendor/vendored", "vendor/warned", f"{packages}/usercustomize"):
        site.write(f"run/{name}.py", notes)
    site.write(f"run/{packages}/notes.pth", as_line(notes))
    env = {"PYTHONPATH": path, "HOME": str(home), "GREETING": "hello", "PYTHONWARNINGS": "error::warned.It"}
    give(site, site.folder / "run")
    site.site(workers=1, user="nobody", preload=preload, env=env)
    site.start()
    assert site.get().text == f"{NOBODY.pw_uid} {path} hello {home}"
    assert (home / "program").read_text() == f"{path} hello\n"
    assert ("vendored", NOBODY.pw_uid, NOBODY.pw_uid) in noted(site)
    assert ("sitecustomize", NOBODY.pw_uid, NOBODY.pw_uid) in noted(site)
    assert {uid for _, *uids in noted(site) for uid in uids} == {NOBODY.pw_uid}


def test_no_interpreter_that_the_user_may_write(site):
    """It is the user's who runs it; where nobody but root can, nobody does."""
    releases = Releases(site)
    for name in "12":
        releases.make(name, user="nobody", bind="127.0.0.1:0")
    notes = NOTES.format(path=str(site.folder / "run" / "notes"))
    (packages,) = (releases.path("2") / "venv").glob("lib/python*/site-packages")
    (packages / "notes.pth").write_text(as_line(notes))
    for folder in (site.folder / "run", releases.path("2")):
        give(site, folder)
    releases.switch("1")
    releases.start("venv/bin/python", "-m", "superwsgi", "-c", "site.yaml")
    releases.switch("2")
    if becoming() == ["--clear-groups"]:
        site.reload()
        assert site.get().text == "2"
        assert {uid for _, *uids in noted(site) for uid in uids} == {NOBODY.pw_uid}
    else:
        site.reload("cannot start a mold.*python: Permission denied")
        assert site.get().text == "1"
        assert noted(site) == []
