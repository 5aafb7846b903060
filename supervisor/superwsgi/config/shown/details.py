"""What is to be said of some keys beyond their one line in the schema: details.md, read on demand."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("details.md")


@cache
def details() -> dict[str, str]:
    """Text by the path of its key, such as `log.sample`; lines that are indented are to stay as they are."""
    _, *parts = re.split(r"^## (.+)\n", _FILE.read_text("utf-8"), flags=re.MULTILINE)
    return {key: text.strip("\n") for key, text in zip(parts[::2], parts[1::2], strict=True)}
