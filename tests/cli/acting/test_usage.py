"""What is refused before any master is asked, and how progress is spelled."""

import pytest
from click.testing import CliRunner

from superwsgi.cli.acting.follow import spell
from superwsgi.cli.main import main
from superwsgi.control import Progress, Stage


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("recycle shop 1x", "WORKER is a number, a process id or the name of a companion, not '1x'"),
        ("recycle shop ''", "WORKER is a number, a process id or the name of a companion, not ''"),
        ("recycle shop -1", "No such option"),
        ("recycle shop 2 -c site.yaml", "give only one of"),
        ("kill", "say which WORKER"),
        ("kill shop", "say which WORKER"),
        ("kill shop mail:x", "WORKER is a number, a process id or the name of a companion, not 'mail:x'"),
        ("workers", "COUNT is +1, -1, =4 or auto"),
        ("workers shop 2", "COUNT is +1, -1, =4 or auto, not '2'"),
        ("workers shop +", "COUNT is +1, -1, =4 or auto, not '+'"),
        ("workers shop =-1", "COUNT is +1, -1, =4 or auto, not '=-1'"),
        ("workers shop +1.5", "COUNT is +1, -1, =4 or auto, not '+1.5'"),
        ("workers shop --all", "COUNT is +1, -1, =4 or auto, not '--all'"),
        ("profile shop --seconds nan", "--seconds and --rate are numbers"),
        ("profile shop --rate nan", "--seconds and --rate are numbers"),
        ("logs shop x", "unexpected extra argument"),
        ("config shop x", "unexpected extra argument"),
    ],
)
def test_usage(command, said):
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize("command", ["recycle", "kill", "workers", "logs", "config"])
def test_help_has_the_exit_codes(command):
    assert "Exit codes:\n    0 " in CliRunner().invoke(main, [command, "--help"]).output


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        (Progress(stage=Stage.NOTED), "waiting for another roll-out to end"),
        (
            Progress(stage=Stage.STOPPING, total=1, waits_for="worker 1 ends"),
            "stopping, 1 worker left; worker 1 ends",
        ),
        (
            Progress(stage=Stage.RECYCLING, done=1, total=3, waits_for="its turn comes"),
            "1 of 3 recycled; its turn comes",
        ),
        (Progress(stage=Stage.KILLING, total=1, waits_for="worker 1 ends"), "worker 1 ends"),
        (
            Progress(stage=Stage.STOPPING, total=2, waits_for="\x1b[2J"),
            "stopping, 2 workers left; \\u001b[2J",
        ),
    ],
)
def test_progress(progress, said):
    assert spell(progress) == said
