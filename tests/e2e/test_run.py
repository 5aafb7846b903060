"""`superwsgi run`, with a real daemon: what it finds, what it is told, and what HUP loads."""

import json
import signal

import pytest

from tests.e2e.daemon import COMMAND, saying
from tests.e2e.development import hello

ECHO = """
    import json, os

    def app(environ, start_response):
        start_response("200 OK", [])
        said = [os.environ.get("COLOR"), os.environ.get("SIZE"), environ["wsgi.url_scheme"]]
        return [json.dumps(said).encode()]
"""
ONE = ("-w", "1", "-b", "127.0.0.1:0")
SOON = ("--set", "rollout.confirm=1s")


@pytest.fixture
def project(daemon):
    daemon.write("app.py", ECHO)
    return daemon


def sources(project, *which):
    done = project.command("config", "--json", *which)
    assert done.returncode == 0, done.stderr
    return {key["key"]: (key["value"], key["source"]) for key in json.loads(done.stdout)["keys"]}


def test_a_folder_is_searched_and_hup_loads_its_new_code(project):
    project.start("run", *ONE, *SOON)
    assert project.log.startswith("superwsgi: app.py defines app\n")
    assert project.get().json() == [None, None, "http"]
    assert sources(project)["app"] == ("app:app", "app.py defines app")
    project.write("app.py", saying("new"))
    project.reload()
    assert project.get().text == "new"


@pytest.mark.parametrize("words", [["app:app"], ["run", "app:app"]])
def test_what_was_named_in_full_is_not_explained(project, words):
    project.start(*words, *ONE)
    assert "defines" not in project.log
    assert project.get().status == 200
    assert project.stop(signal.SIGTERM) == 0


def test_all_that_a_site_file_says(project):
    project.write(".env", "SIZE=large\n")
    options = ("--name", "shop", "--env", "COLOR=red", "--env-file", ".env", "--log-level", "debug")
    settings = ("--set", "paths./slow.request=5m", "--set", "env.SIZE=small", *SOON)
    more = ("--control", "c.sock", "--trusted", "10.0.0.0/8,127.0.0.1", "--set", "log.access=access.log")
    project.start("run", "app.py", *ONE, *options, *settings, *more)
    answer = project.get(headers={"X-Forwarded-Proto": "https"})
    assert answer.json() == ["red", "small", "https"]
    assert (project.folder / "access.log").exists()
    found = sources(project, "--control", "c.sock")
    assert found["workers"] == ("1", "--workers")
    assert found["env.COLOR"] == ("***", "--env")
    assert found["env.SIZE"] == ("***", "--set")
    assert found["paths./slow"] == ("{request: 300s}", "--set")
    assert found["proxy.trusted"] == ("[10.0.0.0/8, 127.0.0.1/32]", "--trusted")


def test_a_platform_says_where_and_how_many(project):
    project.count = 2
    project.start("run", env={"PORT": "0", "WEB_CONCURRENCY": "2"})
    found = sources(project)
    assert found["bind"] == ("0.0.0.0:0", "${PORT}")
    assert found["workers"] == ("2", "${WEB_CONCURRENCY}")
    assert project.get().status == 200


def test_the_project_says_more_than_the_platform_and_less_than_options(project):
    project.write("pyproject.toml", '[tool.superwsgi]\nworkers = 1\nthreads = 3\nenv = {COLOR = "blue"}\n')
    project.start("run", "-b", "127.0.0.1:0", "-t", "2", env={"WEB_CONCURRENCY": "many"})
    assert project.get().json()[0] == "blue"
    found = sources(project)
    assert (found["workers"], found["threads"]) == (("1", "[tool.superwsgi]"), ("2", "--threads"))


def test_a_site_file_with_options_on_top_is_read_again_at_a_reload(project):
    project.site(env={"COLOR": "red"}, workers=1, threads={"min": 1, "max": 2})
    project.start("site.yaml", "--set", "env.SIZE=small", "--set", "threads.max=5")
    assert project.get().json()[:2] == ["red", "small"]
    assert sources(project)["threads"] == ("{min: 1, max: 5, idle: 30s}", "site.yaml:7, --set")
    project.site(env={"COLOR": "green", "SIZE": "large"}, workers=1, threads={"min": 1, "max": 2})
    done = project.command("reload", "--wait", "site.yaml")
    assert done.returncode == 0, done.stderr
    assert project.get().json()[:2] == ["green", "small"]


@pytest.mark.drill
def test_it_is_found_again_by_an_upgrade(project):
    project.start("run", ".", *ONE, *SOON)
    assert project.command("upgrade", "--wait").returncode == 0
    assert project.get().status == 200
    assert sources(project)["bind"] == ("127.0.0.1:0", "--bind")


def test_reload_is_dev(dev):
    dev.write("app.py", hello("one"))
    dev.spawn([*COMMAND, "run", "--reload", "-b", "127.0.0.1:0"])
    assert "app:app (app.py defines app)" in dev.log
    assert dev.get().text == "one"
    assert dev.stop(signal.SIGINT) == 0
