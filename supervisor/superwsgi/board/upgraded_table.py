"""Which connections an application has taken over: a record for each that there may be, with the request
that began it, as threads have theirs for what they have in hand."""

from __future__ import annotations

import struct
from typing import Final

from superwsgi.board.counts import InFlight
from superwsgi.board.layout import ID_BYTES, METHOD_BYTES, PATH_BYTES, WORD

_RECORD: Final = struct.Struct(f"=QQ{METHOD_BYTES}s{PATH_BYTES}s{ID_BYTES}s")
"""ident, which is 0 where there is none, and the fields of a thread from `started` on."""

RECORD_WORDS: Final = _RECORD.size // WORD


class UpgradedWriter:
    """One record. `memory` is the board's, in which it begins at byte `at`."""

    __slots__ = ("_at", "_memory")

    def __init__(self, memory: memoryview, at: int) -> None:
        self._memory = memory
        self._at = at

    def begin(self, ident: int, began: int, method: bytes, path: bytes, request_id: bytes) -> None:
        """The thread with that threading.get_ident() has it, since its request `began`, monotonic ns."""
        _RECORD.pack_into(self._memory, self._at, ident, began, method, path, request_id)

    def end(self) -> None:
        self.begin(0, 0, b"", b"", b"")


def read_upgraded(memory: memoryview, first: int) -> tuple[InFlight, ...]:
    """Those that are there; they have no thread's number, but those from `first` on."""
    found = []
    for number, (ident, began, *texts) in enumerate(_RECORD.iter_unpack(memory), start=first):
        if ident:
            method, path, request_id = [text.split(b"\0", 1)[0].decode("latin-1") for text in texts]
            found.append(InFlight(number, ident, began / 1e9, method, path, request_id))
    return tuple(found)
