"""Which environment a bench measures in. None is made here: that takes a network, and minutes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench.environment import Environment
from tests.bench.process import BenchError


@pytest.mark.parametrize("program", ["/bin/true", "/bin/false", "/etc/passwd", "/no/such/python"])
def test_what_is_no_python_is_said(program: str) -> None:
    with pytest.raises(BenchError, match=f"{program} is no Python"):
        Environment(Path(program)).prepare(())


def test_each_python_and_another_checkout_have_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    python = Path(sys.executable)
    ours, before = Environment(python), Environment(python, tmp_path / "before")
    assert ours.python_version.split()[1] in ours.folder.name
    assert (ours.folder.parent, before.folder.parent) == (tmp_path / "superwsgi-bench",) * 2
    assert before.folder.name == f"{ours.folder.name}-before"
