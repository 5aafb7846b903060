"""`python -m tests.bench.jumps NAME`: count one story, each module here that has a `main()`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_STORIES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in ("__init__", "__main__", "record")
)


def main(names: list[str]) -> int:
    if len(names) != 1 or names[0] not in _STORIES:
        print(f"usage: python -m tests.bench.jumps {{{','.join(_STORIES)}}}", file=sys.stderr)
        return 2
    importlib.import_module(f"tests.bench.jumps.{names[0]}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
