"""That the fuzzer's target runs: a few of its inputs, and without the fuzzer a word of advice."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fuzz.properties import check, seeds, write_dictionary, write_seeds


def test_the_seeds_hold():
    for seed in seeds()[::10]:
        check(seed)


def test_inputs_that_are_too_short():
    check(b"")
    check(b"\0\xff")


def test_what_the_fuzzer_is_given(tmp_path):
    write_dictionary(tmp_path / "words")
    assert '"\\x0d\\x0a"\n' in (tmp_path / "words").read_text()
    (tmp_path / "seeds").mkdir()
    write_seeds(tmp_path / "seeds")
    assert len(list((tmp_path / "seeds").iterdir())) == len(seeds())


def test_without_atheris_it_says_how_to_get_it(monkeypatch):
    from tests.fuzz import __main__ as fuzz

    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(SystemExit, match="pip install atheris"):
        fuzz.main()


def test_with_atheris_it_runs(tmp_path):
    pytest.importorskip("atheris")
    command = [sys.executable, "-m", "tests.fuzz", "-runs=2000", f"-artifact_prefix={tmp_path}/"]
    subprocess.run(command, check=True, timeout=120)
