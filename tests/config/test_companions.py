"""`companions:` what a site file may say of them, and what is shown of it."""

import pytest

from superwsgi.config.loading import load
from superwsgi.config.parts.companions import CompanionSettings
from superwsgi.config.sections import Memory
from superwsgi.config.shown.effective import keys
from tests.config.sites import APP, loaded, problems


def companions(folder, text):
    return loaded(folder, f"{APP}companions: {text}\n").all_companions


def test_a_command_alone_or_with_settings(tmp_path):
    found = companions(
        tmp_path,
        '{mail: "celery -A shop worker", beat: {command: celery beat, count: 0, graceful: 5m, signal: QUIT,'
        " memory: {soft: 10%, hard: 300M, measure: pss}}}",
    )
    assert found == {
        "mail": CompanionSettings(command="celery -A shop worker"),
        "beat": CompanionSettings(
            command="celery beat",
            count=0,
            graceful=300.0,
            signal="QUIT",
            memory=Memory(soft=0.1, hard=300 << 20, measure="pss"),
        ),
    }


@pytest.mark.parametrize("text", ["", "{}"])
def test_there_may_be_none(tmp_path, text):
    assert companions(tmp_path, text) == {}


@pytest.mark.parametrize(
    "command",
    [
        "celery -A shop worker -n w1@%h -Q a,b --concurrency=2",
        "sh -c 'exec celery -A shop worker -n $SUPERWSGI_COMPANION_NUMBER > /dev/null'",
        r"python run\ me.py \$HOME",
        'python -c "print(1); print(\\$x)"',
        "./bin/worker {b} it~s a#b",
    ],
)
def test_commands(tmp_path, command):
    quoted = command.replace("'", "''")
    assert companions(tmp_path, f"{{mail: '{quoted}'}}")["mail"].command == command


@pytest.mark.parametrize(
    ("command", "strange"),
    [
        ("migrate && celery", "&"),
        ("celery | tee log", "|"),
        ("celery > log", ">"),
        ("a; b", ";"),
        ("celery -n $HOSTNAME", "$"),
        ('celery -n "$HOSTNAME"', "$"),
        ("celery -n `hostname`", "`"),
        ("(celery)", "("),
        ("A=1 celery", "A="),
        ("celery *.py", "*"),
        ("~/bin/celery", "~"),
        ("celery # worker", "#"),
    ],
)
def test_what_needs_a_shell_is_refused(tmp_path, command, strange):
    (problem,) = problems(tmp_path, f"{APP}companions:\n  mail: {command!r}\n")
    assert problem.startswith("3:9: companions mail: expected a mapping of command, or a command")
    assert f"without a shell's {strange!r}" in problem
    assert "sh -c 'exec ...'" in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{mail: ""}', "2:20: companions mail: expected a mapping of command, or a command such as"),
        ('{mail: "a \'b"}', "2:20: companions mail: expected a mapping of command, or a command such as"),
        ("{1: a}", "2:14: companions 1: expected a name of letters"),
        ("{'mail:2': a}", "2:14: companions mail:2: expected a name of letters"),
        ("{mail: {count: 2}}", "2:20: companions mail: key 'command' is missing"),
        (
            "{mail: {command: a, cuont: 2}}",
            "2:33: unknown key 'companions mail.cuont': did you mean 'count'?",
        ),
        ("{mail: {command: a, count: 1025}}", "2:40: companions mail.count: expected a whole number from 0"),
        ("{mail: {command: a, signal: KILL}}", "2:41: companions mail.signal: expected HUP, INT, QUIT, TERM"),
        (
            "{mail: {command: a, signal: SIGTERM}}",
            "2:41: companions mail.signal: expected HUP, INT, QUIT, TERM, USR1 or USR2, got 'SIGTERM': "
            "did you mean 'TERM'?",
        ),
        (
            "{mail: {command: a, numprocs: 2}}",
            "2:33: unknown key 'companions mail.numprocs': it is 'count' here",
        ),
        (
            "{mail: {command: a, autorestart: true}}",
            "2:33: unknown key 'companions mail.autorestart': leave it out: a companion is started",
        ),
        (
            "{mail: {command: a, user: bob}}",
            "2:33: unknown key 'companions mail.user': it is the site's, at the top level",
        ),
        ("{mail: {command: a, graceful: off}}", "2:43: companions mail.graceful: expected a duration"),
        ("{mail: {command: a, memory: {hard: 1X}}}", "2:48: companions mail.memory.hard: expected a size"),
        (
            "{mail: {command: a, memory: {soft: 2M, hard: 1M}}}",
            "2:58: companions mail.memory.soft must be below companions mail.memory.hard: it is started anew",
        ),
        ("[mail]", "2:13: companions: expected a mapping of keys, got a list"),
    ],
)
def test_mistakes(tmp_path, text, said):
    (problem,) = problems(tmp_path, f"{APP}companions: {text}\n")
    assert problem.startswith(said)


def test_what_others_call_it(tmp_path):
    (problem,) = problems(tmp_path, f"{APP}attach-daemon: celery\n")
    assert problem == "2:1: unknown key 'attach-daemon': it is 'companions' here"


def shown(folder, text, **environ):
    file = folder / "site.yaml"
    file.write_text(f"{APP}companions:\n  mail: {text}\n")
    return {key.name: key.text for key in keys(load(file, environ))}["companions.mail"]


def test_what_is_shown_of_one(tmp_path):
    assert shown(tmp_path, "celery worker") == '"celery worker"'
    assert "command: " in shown(tmp_path, "{command: celery worker, count: 2}")


def test_secrets_in_a_command_are_not_shown(tmp_path):
    (tmp_path / "key").write_text("s3cret")
    assert shown(tmp_path, "celery -b redis://:${PASSWORD}@db", PASSWORD="s3cret") == "***"
    assert shown(tmp_path, '{count: 1, command: "celery -b ${file:key}"}') == "***"
