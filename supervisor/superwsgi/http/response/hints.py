"""103 Early Hints (RFC 8297): what a client may fetch while the application still works on its answer."""

from __future__ import annotations

from typing import Any, Final

from superwsgi.http.fields import HOP_BY_HOP, ResponseNames, check_value, exact_field

_LINE: Final = "HTTP/1.1 103 Early Hints\r\n"
_NAMES: Final = ResponseNames()
_NEVER: Final = HOP_BY_HOP | {"content-length"}
"""Fields that frame a message: a reader that takes this one for the answer could look for a body."""


def hints(fields: Any) -> bytes:
    """The response with these fields, pairs of name and value, text or bytes; empty if none is left. Raises
    WsgiError."""
    pairs = [exact_field([_text(part) for part in field]) for field in fields]
    lines = [f"{name}: {value}\r\n" for name, value in pairs if _passes(name, value)]
    return "".join([_LINE, *lines, "\r\n"]).encode("latin-1") if lines else b""


def _text(part: Any) -> Any:
    return part.decode("latin-1") if isinstance(part, bytes) else part


def _passes(name: str, value: str) -> bool:
    check_value(name, value)
    return _NAMES[name] not in _NEVER
