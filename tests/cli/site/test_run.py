"""What `run` refuses before it starts anything, and what it says of options that other servers have."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from superwsgi.cli.main import main
from superwsgi.cli.site.dev import dev
from superwsgi.cli.site.options import OPTION_OF
from superwsgi.cli.site.run import run
from superwsgi.config.given import other_options
from superwsgi.config.text.reader import SITE, key_paths


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    return tmp_path


def refused(*words: str, **environ: str) -> str:
    done = CliRunner().invoke(main, ["run", *words], env=environ)
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    return done.output


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("--timeout 120", "write --set timeouts.request=120\n"),
        ("--timeout=120", "write --set timeouts.request=120\n"),
        ("--access-logfile -", "write --set log.access=-\n"),
        ("--keyfile key.pem", "write --key key.pem\n"),
        ("--forwarded-allow-ips 10.0.0.1", "write --trusted 10.0.0.1\n"),
        ("-u www-data", "write --user www-data\n"),
        ("--umask 0027", "write --set umask=0027\n"),
        ("--rollout.batch=2", "write --set rollout.batch=2\n"),
        ("--rollout-batch 2", "write --set rollout.batch=2\n"),
        ("--max-requests", "write --set requests.max=VALUE\n"),
        ("--no-access-log", "write --set log.access=off\n"),
        ("-k gthread", "leave it out: every worker runs --threads threads\n"),
        ("--worker-class gthread", "leave it out: every worker runs --threads threads\n"),
        ("--daemon", "leave it out: the master stays in the foreground"),
        ("-D", "leave it out: the master stays in the foreground"),
        ("--config gunicorn.conf.py", "name it as TARGET, as in superwsgi run site.yaml\n"),
        ("--host 0.0.0.0", "it is --bind HOST:PORT here\n"),
        ("--port 80", "it is --bind HOST:PORT here\n"),
        ("--paste shop.ini", "name it as TARGET, as in superwsgi run production.ini\n"),
        ("--root-path /shop", "write --set root=/shop\n"),
        ("--url-prefix=/shop", "write --set root=/shop\n"),
        ("--max-worker-lifetime 3600", "write --set requests.age=3600\n"),
        ("--threds 4", "--threads"),
        ("--nonsense", "No such option"),
    ],
)
def test_options_of_other_servers_are_answered_with_ours(typed: str, said: str) -> None:
    assert said in refused("app:app", *typed.split())


def test_what_they_are_answered_with_exists() -> None:
    known = {*key_paths(SITE), "app"}
    assert {key.partition("=")[0] for key in other_options._KEYS.values()} <= known
    options = {opt for parameter in run.params for opt in parameter.opts}
    assert {*OPTION_OF.values()} <= options
    of_dev = {opt for parameter in dev.params for opt in parameter.opts}
    assert not {f"--{name.replace('_', '-')}" for name in other_options._WORDS} & options & of_dev


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "x"], "--set takes KEY=VALUE, as in --set timeouts.request=5m"),
        (["--set", "=x"], "--set takes KEY=VALUE"),
        (["--env", "hunter2"], "--env takes NAME=VALUE, as in --env DEBUG=0"),
        (["--user", "a b"], "--user: expected the name of a user or group, got 'a b'"),
        (["--log-level", "loud"], "--log-level: expected debug, error, info or warning, got 'loud'"),
        (["--trusted", "10.0.0.0/8,x"], "--trusted: expected "),
        (["--control", ""], "--control: expected "),
        (["--env", "A-B=x"], "--env: expected a variable's name"),
        (["--env-file", "none"], "none cannot be read"),
        (["-w", "4", "--set", "workers=3"], "--set workers=3: --workers says this, too: keep one of them"),
        (["--set", "app=x:y"], "--set app=x:y: TARGET is an application, too: keep one of them"),
        (
            ["--set", "threads.mn=5"],
            "--set threads.mn=5: unknown key 'threads.mn': did you mean 'threads.min'?",
        ),
        (["x"], "unexpected extra argument"),
    ],
)
def test_what_is_wrong_names_the_option(words: list[str], said: str) -> None:
    output = refused("app:app", *words)
    assert said in output
    assert "hunter2" not in output


def test_dev_lists_no_option_without_effect() -> None:
    """It takes them all the same, and its summary says so."""
    listed = CliRunner().invoke(main, ["dev", "--help"]).output
    assert "--workers" not in listed
    assert "--preload" not in listed
    assert "[$PORT of 127.0.0.1" in " ".join(listed.split())
    assert "--workers" in CliRunner().invoke(main, ["run", "--help"]).output


def test_dev_answers_as_run_does() -> None:
    for words in (["dev"], ["run", "--reload"]):
        for typed, said in (
            (["app:app", "--timeout", "9"], "write --set timeouts.request=9\n"),
            (["app:app", "--set", "bnd=1"], "--set bnd=1: unknown key 'bnd': did you mean 'bind'?"),
            ([""], "for what this folder has type superwsgi dev"),
            (["--debug"], "There is no --debug here: superwsgi dev does so, without an option"),
            (["--reload-dir", "x"], "it is superwsgi dev --watch PATH here"),
            (["nope.py"], "there is no file nope.py"),
        ):
            done = CliRunner().invoke(main, [*words, *typed])
            assert (done.exit_code, said in done.output) == (2, True), done.output


def test_a_platform_that_says_no_number() -> None:
    said = refused("app:app", PORT="http", WEB_CONCURRENCY="many")
    assert "environment variable PORT: expected the number of a port, got 'http'" in said
    assert "environment variable WEB_CONCURRENCY: expected a number of workers" in said


def test_a_folder_with_nothing_to_serve() -> None:
    assert "no application found" in refused()
    assert "TARGET is empty" in refused("")


def test_what_the_project_says(folder: Path) -> None:
    (folder / "app.py").write_text("def app(environ, start_response): return []")
    (folder / "pyproject.toml").write_text('[tool.superwsgi]\nworkers = 0\nlog = {level = "loud"}\nbnd = 1\n')
    said = refused("--bind", "x", PORT="5000")
    where = "[tool.superwsgi] of pyproject.toml"
    assert f"{where}: workers: expected" in said
    assert f"{where}: log.level: expected" in said
    assert f"{where}: unknown key 'bnd': did you mean 'bind'?" in said
    assert "workers" not in refused("--bind", "x", "--set", "workers=1")
