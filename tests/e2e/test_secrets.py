"""`env_file` and `${file:...}`: read again at a reload, and shown nowhere."""

import os

import pytest

pytestmark = pytest.mark.drill

APP = """
    import os
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{os.environ['KEY']} {os.environ['WHO']} {os.environ['HOW']}".encode()]
"""


@pytest.fixture
def site(daemon):
    daemon.write("app.py", APP)
    daemon.write(".env", "WHO=s3cret1\nHOW=env_file\n")
    daemon.write("key", "s3cret2\n")
    daemon.site("env_file: .env\nenv: {KEY: '${file:key}', HOW: env}\n", workers=1, log={"level": "debug"})
    return daemon


def test_both_are_read_again_at_a_reload(site):
    site.start(env={"WHO": "process", "KEY": "process", "HOW": "process"})
    assert site.get().text == "s3cret2 s3cret1 env"
    site.write(".env", "WHO=s3cret3\n")
    site.write("key", "s3cret4\n")
    site.reload()
    assert site.get().text == "s3cret4 s3cret3 env"
    said = site.command("status", "--json").stdout + site.command("status").stdout
    checked = site.command("check", "-c", "site.yaml")
    assert checked.returncode == 0
    assert "s3cret" not in site.log + said + checked.stdout + checked.stderr


def test_a_reload_that_cannot_read_them_is_refused(site):
    site.start()
    site.write(".env", "WHO=s3cret5\nwhat is this s3cret\n")
    (site.folder / "key").unlink()
    done = site.command("reload", "--wait", "-c", "site.yaml")
    assert done.returncode == 1
    for text in (done.stderr, site.log):
        assert ".env:2:1: not NAME=value" in text
        assert "key cannot be read: No such file or directory" in text
        assert "s3cret" not in text
    assert site.get().text == "s3cret2 s3cret1 env"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_sites_user_need_not_be_able_to_read_them(site):
    for folder in (site.folder, *site.folder.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    for name in (".env", "key"):
        (site.folder / name).chmod(0o600)
    text = (site.folder / "site.yaml").read_text()
    site.write("site.yaml", f"{text}user: nobody\n")
    site.start()
    assert site.get().text == "s3cret2 s3cret1 env"
