"""The master of a site that is being developed, when whoever has started it is gone."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_private_folder_goes_with_a_parent_that_ended_before_it_was_looked_for(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir()
    stranger = str(os.getpid() + 1)  # no parent of what is started here
    program = "from superwsgi.development.server import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(folder), stranger], text=True, capture_output=True, timeout=60
    )
    assert ended.stderr == ""
    assert not folder.exists()
