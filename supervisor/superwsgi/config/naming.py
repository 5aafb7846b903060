"""The name of a site that has been given none: that of its file or module, or, if it is one that many sites
use (`site.yaml`, `app:app`), that of its folder.

The path is taken as the operator has written it, with no link resolved: if `current` is a link to the newest
release, a deploy must not rename the site.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from superwsgi.config.grammar import values
from superwsgi.config.grammar.import_strings import AppKind, parse
from superwsgi.config.grammar.values import Invalid

COMMON: Final = frozenset(
    {
        *("site", "superwsgi", "config", "conf", "configuration", "settings", "default"),
        *("app", "application", "wsgi", "asgi", "main", "__main__", "index", "manage", "run", "serve"),
        *("development", "production", "staging", "paste"),
        *("server", "service", "web", "webapp", "website", "project", "src"),
    }
)
"""Names of files and modules that say nothing about the site."""

_NAMELESS: Final = frozenset({"__init__", "production", "development"})
"""Files of applications that say nothing about the site either."""

_PASSED: Final = frozenset(
    {
        *("current", "previous", "latest", "release", "releases"),
        *("config", "conf", "etc", "deploy"),
    }
)
"""Folders that say nothing about the site: it is named after the one above."""


_OF_RELEASES: Final = frozenset({"release", "releases"})

# 42, 20260131120000, 2026-01-31_12-00-00, v1.2.3; a commit's hash, short or long
_RELEASE: Final = re.compile(r"v?\d+(?:[._:t-]?\d+)*|(?=[a-f]*\d)[0-9a-f]{7,40}")

_OF_SITE_FILES: Final = re.compile(r"/etc/superwsgi|.*/\.config/superwsgi")
"""Folders of many site files, which are told apart by their own names, as in `superwsgi@shop`."""


def of_file(file: str) -> str:
    """`shop` for `shop.yaml` wherever it is, and for `/srv/shop/site.yaml`; the path is absolute."""
    path = Path(os.path.normpath(file))
    if _OF_SITE_FILES.fullmatch(str(path.parent)):
        return values.name_from(path.stem)
    return _of(path.stem, path.parent)


def of_module(app: str, folder: Path) -> str:
    """`shop` for `shop.wsgi:application`, for `app:app` in the folder `shop`, an absolute path, and for
    `/srv/shop/app.py`."""
    try:
        found = parse(app)
    except Invalid:  # who reads it says so
        return _of("app", folder)
    if found.kind is not AppKind.MODULE:
        path = Path(os.path.normpath(folder / found.source))
        return _of("app" if path.stem in _NAMELESS else path.stem, path.parent)
    return _of(found.source.partition(".")[0], Path(os.path.normpath(folder)))


def _of(own: str, folder: Path) -> str:
    name = values.name_from(own)
    if name.lower() not in COMMON:
        return name
    above = (each for each in (folder, *folder.parents) if not _is_passed(each))
    return next((values.name_from(each.name) for each in above), name)


def _is_passed(folder: Path) -> bool:
    """Whether a folder says nothing about the site: it is one release of it, for example."""
    name = folder.name.lower().lstrip(".")
    nameless = re.search("[a-z0-9]", name) is None
    return nameless or name in _PASSED or bool(_RELEASE.fullmatch(name)) or folder.parent.name in _OF_RELEASES
