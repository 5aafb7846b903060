"""What an operator hears where a control socket does not lead to a master."""

import os
import socket
from pathlib import Path

import click
import pytest

from superwsgi.cli.server import reach
from superwsgi.control import WhyRequest


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_socket_of_somebody_else(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        os.seteuid(65534)
        try:
            with pytest.raises(reach.NoAccess, match=r"no access to .*control\.sock: only root and the user"):
                reach.Conversation(tmp_path / "control.sock")
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("no.sock", "No such file"), ("dead.sock", "Connection refused"), ("x" * 120, "AF_UNIX path too long")],
)
def test_nobody_is_there(tmp_path: Path, name: str, reason: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    with pytest.raises(
        reach.NotReached, match=rf"no master answers at {tmp_path}/{name}: {reason}"
    ) as caught:
        reach.Conversation(tmp_path / name)
    assert caught.value.code == reach.NOT_RUNNING


def test_what_is_asked_has_to_be_text(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()
        with (
            reach.Conversation(tmp_path / "control.sock") as master,
            pytest.raises(click.UsageError, match=r"/\\udcff is not text in UTF-8"),
        ):
            next(master.ask(WhyRequest(concerning=os.fsdecode(b"/\xff"))))
