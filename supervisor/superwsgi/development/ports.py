"""Whether somebody else listens where the site is to, and who."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable
from typing import Any

import psutil

from superwsgi.config.listening import Address, TcpAddress
from superwsgi.log.spelling import printable
from superwsgi.system.procfs import title


class AddressTaken(Exception):
    """An address that cannot be had; the text says who has it, and what to do."""


def require_free(addresses: Iterable[Address]) -> None:
    """Raises AddressTaken. Other reasons not to bind an address are for the master to tell."""
    for address in addresses:
        if isinstance(address, TcpAddress) and address.port and _is_taken(address):
            other = TcpAddress(address.host, address.port + 1)
            raise AddressTaken(
                f"{address} is in use{_by(address.port)}; end that, or take another: -b {other}"
            )


def _is_taken(address: TcpAddress) -> bool:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((address.host, address.port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _by(port: int) -> str:
    """Who listens there, as far as this user may know."""
    for each in _listening():
        if each.laddr.port == port and each.pid:
            return f" by {printable(title(each.pid)[:80])} (pid {each.pid})"
    return " by another program"


def _listening() -> list[Any]:
    with contextlib.suppress(psutil.Error):
        return [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return []
