"""What an application gets that takes over its connection: a socket for which greenlets wait, and which sends
like one that blocks. Plain: its base is none of mypyc's."""

from __future__ import annotations

from typing import Any

from gevent.socket import socket


class WholeSocket(socket):  # type: ignore[misc]  # its base is not typed
    """gevent's `send` sends what there is room for. Of a socket that blocks the kernel's sends all (send(2)),
    and libraries rely on that, such as simple-websocket: else the end of long messages is lost."""

    def send(self, data: Any, flags: int = 0) -> int:
        whole = memoryview(data).cast("B")
        sent: int = super().send(whole, flags)
        while sent < whole.nbytes and self.gettimeout() is None:
            sent += super().send(whole[sent:], flags)
        return sent
