import sys
from pathlib import Path

import pytest

from superwsgi.checking.apart import load_apart
from superwsgi.config.loading import load
from superwsgi.config.schema import Site
from superwsgi.messages import LoadFailed


def test_an_interpreter_that_cannot_be_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade of Python that took the old one's place away."""
    (tmp_path / "site.yaml").write_text("app: app:app\n")
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    result = load_apart(load(tmp_path / "site.yaml", {}))
    assert result == LoadFailed("cannot start a mold: /no/such/python: No such file or directory")


def test_an_application_that_speaks_for_its_process(tmp_path):
    """Its import writes to the process's channel."""
    for word in ("hello", '{"type":"unforkable","hazards":[]}', '{"type":"started","pid":1}'):
        (tmp_path / "app.py").write_text(f"import os, time\nos.write(3, b'{word}')\ntime.sleep(60)\n")
        result = load_apart(Site(name="x", apps={"/": "app:app"}, chdir=str(tmp_path)))
        assert "impossible message" in result.reason
