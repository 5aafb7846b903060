"""What WhiteNoise knows of a file, from its name: its type, and for how long browsers may keep it.

Imported only where a site has `static`. WhiteNoise sends nothing here: its answers are made anew for each
request, which takes five times as long as ours.
"""

from __future__ import annotations

import os
from wsgiref.headers import Headers

from whitenoise import WhiteNoise

from superwsgi.files.hashed import is_hashed

Fields = list[tuple[str, str]]


class Knowledge:
    """Fields of a response, by the path of the file."""

    def __init__(self) -> None:
        self._noise = WhiteNoise(None, immutable_file_test=_is_immutable)

    def fields(self, path: str) -> Fields:
        """Content-Type, Cache-Control, and that pages of other sites may use it, as for fonts they must."""
        headers = Headers([])
        self._noise.add_mime_headers(headers, path, path)
        self._noise.add_cache_headers(headers, path, path)
        if self._noise.allow_all_origins:
            headers["Access-Control-Allow-Origin"] = "*"
        return headers.items()


def _is_immutable(path: str, _url: str) -> bool:
    folder, name = os.path.split(path)
    return is_hashed(name, lambda: _names_in(folder))


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # it may be entered, but not read
        return []
