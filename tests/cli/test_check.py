import sys
from pathlib import Path

import pytest

from superwsgi.cli.check import load_apart
from superwsgi.config.loading import load
from superwsgi.messages import LoadFailed


def test_an_interpreter_that_cannot_be_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade of Python that took the old one's place away."""
    (tmp_path / "site.yaml").write_text("app: app:app\n")
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    result = load_apart(load(tmp_path / "site.yaml", {}))
    assert result == LoadFailed("cannot start a mold: /no/such/python: No such file or directory")
