"""Bytecode of files that have just changed, in an interpreter of its own."""

import os
import subprocess
import sys

PROGRAM = """
import sys
sys.path.insert(0, ".")
from superwsgi.development.inside.fresh import trust_no_new_bytecode
trust_no_new_bytecode()
import module
print(module.VALUE)
"""


def imported(folder, program=PROGRAM):
    command = [sys.executable, "-c", program]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_another_edit_within_the_second_counts(tmp_path):
    for value in "123":
        (tmp_path / "module.py").write_text(f"VALUE = {value}")
        assert imported(tmp_path) == value


def test_bytecode_of_older_files_is_used(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("VALUE = 1")
    os.utime(module, (1e9, 1e9))
    assert imported(tmp_path) == "1"
    assert [*tmp_path.glob("__pycache__/module.*.pyc")]
