"""The master of a site that is being developed: a process of its own, below the one that watches the files.
It runs what `superwsgi serve` does, with the site in the private folder, and ends with its parent, however
that ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import msgspec

from superwsgi.config.schema import Site
from superwsgi.control import FAILED
from superwsgi.development import names
from superwsgi.development.ahead import Ahead
from superwsgi.master.serve import serve
from superwsgi.system import orphan


def main() -> None:
    """The program, with the folder and the parent's process id as arguments."""
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    code = FAILED
    try:
        if orphan.follow(parent, signal.SIGINT):
            code = serve(lambda: _site(folder), Ahead())
    finally:
        if os.getppid() != parent:  # nobody else tidies up
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)
    sys.exit(code)


def _site(folder: Path) -> Site:
    return msgspec.json.decode((folder / names.SITE).read_bytes(), type=Site)
