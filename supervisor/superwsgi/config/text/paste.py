"""What Paste files, the ini files of Pyramid for example, say that concerns a site. The rest is read by
PasteDeploy, which is of the application's packages.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from superwsgi.config.text.variables import UnusableFile, read_text

_LARGEST: Final = 1 << 20
_APPLICATION: Final = re.compile(r"(?:app|application|composite|composit|pipeline|filter-app):\s*(.+)")
_SERVER: Final = re.compile(r"server:\s*.+")


def sections(path: Path) -> Mapping[str, Mapping[str, str]]:
    """What each section says, uninterpreted. Raises FileNotFoundError, UnusableFile."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(read_text(path, _LARGEST), str(path))
    except configparser.Error as error:
        raise UnusableFile(f"is no ini file: {' '.join(str(error).split())}") from None
    return {name: dict(parser[name]) for name in parser.sections()}


def applications(names: Sequence[str]) -> list[str]:
    """Those of the sections that are applications, as a URI names them: `main` for `app:main`."""
    found = (_APPLICATION.fullmatch(name) for name in names)
    return [each[1] for each in found if each]


def servers(names: Sequence[str]) -> list[str]:
    """Those of the sections that describe a server."""
    return [name for name in names if _SERVER.fullmatch(name)]
