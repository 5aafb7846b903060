"""`superwsgi config`: what runs, where it is from, and what the file says by now."""

import json

import pytest

from tests.e2e.daemon import saying

pytestmark = pytest.mark.drill

SECRET = "hunter2"


@pytest.fixture
def site(daemon):
    daemon.write("app.py", saying("hello"))
    daemon.write(".env", f"DATABASE={SECRET}\n")
    daemon.site(
        "env_file: .env\nrollout:\n  before: 'true ${TOKEN}'\n  confirm: 100ms\n",
        name="shop",
        workers=1,
        rollout=None,
    )
    return daemon.start(env={"TOKEN": SECRET})


def lines(site, *more):
    done = site.command("config", "shop", *more)
    assert (done.returncode, done.stderr) == (0, "")
    assert SECRET not in done.stdout
    return done.stdout.splitlines()


def test_each_key_with_its_place_and_what_a_reload_would_change(site):
    first, *keys = lines(site)
    assert first == f"# generation 1, from {site.folder}/site.yaml"
    assert [line.split("  # ")[0].strip() for line in keys[:2]] == ["app: app:app", "name: shop"]
    assert "rollout.before: ***                   # site.yaml:7, ${TOKEN}" in keys
    assert "env.DATABASE: ***                     # .env:1" in keys
    site.write(".env", "DATABASE=other\n")
    (site.folder / "site.yaml").write_text((site.folder / "site.yaml").read_text() + "threads: 5\n")
    at = lines(site).index("# The file says something else by now. A reload would change:")
    threads, database = (line.split() for line in lines(site)[at + 1 :])
    assert (threads[1:3], database[1:3]) == (["threads:", "5"], ["env.DATABASE:", "***"])
    site.reload()
    assert not [line for line in lines(site) if "A reload would change" in line]


def test_a_file_that_is_broken_by_now(site):
    (site.folder / "site.yaml").write_text(f"app: app:app\nworkers: {SECRET}\n")
    last = lines(site)[-1]
    assert "would be refused by now, at " in last
    assert "site.yaml:2:10: " in last
    assert f"`superwsgi check -c {site.folder}/site.yaml`" in last


def test_as_json_and_over_an_upgrade_with_another_number_of_workers(site):
    assert site.command("upgrade", "--wait").returncode == 0
    assert site.command("workers", "+1", "--wait").returncode == 0
    (line,) = lines(site, "--json")
    said = json.loads(line)
    found = {key["key"]: key for key in said["keys"]}
    assert (said["type"], said["generation"], said["changed"]) == ("configuration", 2, [])
    assert found["bind"]["source"] == "site.yaml:2"
    assert found["workers"]["source"].endswith(", 2 until the next reload")


def test_of_a_site_without_a_file(daemon):
    daemon.write("app.py", saying("hello"))
    daemon.start("run", "app:app", "--bind", "127.0.0.1:0", "--workers", "1", "--name", "shop")
    first, *keys = lines(daemon)
    assert first == "# generation 1, from the command line"
    assert "bind: 127.0.0.1:0                     # --bind" in keys
