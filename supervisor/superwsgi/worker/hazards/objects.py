"""The Python objects that use descriptors: what libraries know about these that the kernel does not.

The garbage collector knows the objects. An application may have created anything among them: an object that
fails to answer counts as having no descriptor.
"""

from __future__ import annotations

import contextlib
import gc
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_RAW: Final = "_io.FileIO"
_BUFFERS: Final = ("_io.BufferedReader", "_io.BufferedWriter", "_io.BufferedRandom", "_io.TextIOWrapper")
_LOOP: Final = "asyncio.events.AbstractEventLoop"

_SHAREABLE: Final = {
    # Reads by pread(2), which leaves the offset where it is.
    "maxminddb.file.FileBuffer": "_handle",
    # Belongs to the process that opened it: worker/boot/loading/prometheus.py takes care of that.
    "prometheus_client.mmap_dict.MmapedDict": "_f",
}
"""Classes whose files forks may share, and the attribute that holds the file."""

_SENDERS: Final = {
    "datadog.dogstatsd.base.DogStatsd": "socket",
    "ddtrace.vendor.dogstatsd.base.DogStatsd": "socket",
    "logging.handlers.DatagramHandler": "sock",
    "logging.handlers.SysLogHandler": "socket",
    "statsd.client.udp.StatsClient": "_sock",
}
"""Classes that send datagrams without waiting for an answer, and the attribute that holds the socket."""


class Objects:
    """The objects that are alive when this is made."""

    def __init__(self) -> None:
        found = alive({_RAW, *_BUFFERS, _LOOP, *_SHAREABLE, *_SENDERS})
        self._buffers = [each for name in _BUFFERS for each in found[name]]
        self.buffered = set(_descriptors(self._buffers))
        self.files = set(_descriptors(found[_RAW]))
        self.shareable = set(_descriptors(_owned(found, _SHAREABLE)))
        self.senders = set(_descriptors(_owned(found, _SENDERS)))
        self.loops = [each for each in found[_LOOP] if _is_open(each)]

    def flush(self, fds: Iterable[int]) -> None:
        """What the import printed belongs to this process; each fork would write it again."""
        wanted = set(fds)
        for each in self._buffers:
            if wanted.intersection(_descriptors([each])):
                with contextlib.suppress(Exception):
                    each.flush()


def alive(names: Iterable[str]) -> Mapping[str, list[Any]]:
    """Objects by the names of their classes or base classes."""
    wanted, found = frozenset(names), defaultdict[str, list[Any]](list)
    known: dict[int, str | None] = {}
    for each in gc.get_objects():
        # Not isinstance: it asks a lazy proxy for its __class__, which would load the object behind it.
        kind = type(each)
        if id(kind) not in known:
            known[id(kind)] = next((name for name in _ancestry(kind) if name in wanted), None)
        name = known[id(kind)]
        if name is not None:
            found[name].append(each)
    return found


def loop_descriptors(loop: Any) -> list[int]:
    """Those of an asyncio loop: its epoll instance and both ends of the socket pair that wakes it."""
    return list(_descriptors(getattr(loop, name, None) for name in ("_selector", "_ssock", "_csock")))


def _ancestry(kind: type) -> Iterator[str]:
    for each in kind.__mro__:
        yield f"{each.__module__}.{each.__qualname__}"


def _owned(found: Mapping[str, list[Any]], table: Mapping[str, str]) -> Iterator[Any]:
    for name, attribute in table.items():
        for owner in found[name]:
            with contextlib.suppress(Exception):
                yield getattr(owner, attribute)


def _descriptors(files: Iterable[Any]) -> Iterator[int]:
    for each in files:
        with contextlib.suppress(Exception):  # closed, detached, never opened
            yield each.fileno()


def _is_open(loop: Any) -> bool:
    with contextlib.suppress(Exception):  # another library's, which lacks some of its methods
        return not loop.is_closed()
    return False
