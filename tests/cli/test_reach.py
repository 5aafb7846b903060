import os
import socket
from pathlib import Path

import pytest

from superwsgi.cli import reach


def test_a_user_without_a_folder_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "no-such-site.yaml"
    site.write_text("app: app:app\n")
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    for name in ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as ended:
        reach.find(str(site), None)
    assert ended.value.code == reach.NOT_RUNNING
    assert "XDG_RUNTIME_DIR is not set: let `control` in the site file name one" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_socket_of_somebody_else(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        os.seteuid(65534)
        try:
            with pytest.raises(
                reach.NotReached, match=r"no access to .*control\.sock: only root and the user"
            ):
                reach.Conversation(tmp_path / "control.sock")
        finally:
            os.seteuid(0)
