"""Addresses to listen on, as data; addresses.py has the grammar of their text."""

from __future__ import annotations

from msgspec import Struct, field

from superwsgi.config.kinds import Account, Octal, SocketPath


class TcpAddress(Struct, frozen=True, tag="tcp"):
    """`host:port` or `[IPv6]:port`, behind `https://` where TLS is spoken; port 0 lets the kernel choose one,
    which the log then names."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https://' if self.tls else ''}{host}:{self.port}"


class UnixAddress(Struct, frozen=True, tag="unix"):
    """`unix:/path`, or the mapping `{unix: /path, mode: "0660", owner: www-data, group: www-data}`."""

    path: SocketPath = field(name="unix")
    mode: Octal = 0o666
    owner: Account | None = None
    group: Account | None = None

    def __str__(self) -> str:
        return f"unix:{self.path}"


class InheritedAddress(Struct, frozen=True, tag="inherited"):
    """`systemd`, `systemd:NAME` or `fd://N`: listening sockets that the master is started with.

    `systemd` is all that socket units have passed, `systemd:NAME` those with this FileDescriptorName=,
    `fd://N` the descriptor of that number. Behind `https://` they speak TLS.
    """

    name: str = ""
    fd: int | None = None
    tls: bool = False

    def __str__(self) -> str:
        name = f"systemd:{self.name}" if self.name else "systemd"
        return f"{'https://' if self.tls else ''}{name if self.fd is None else f'fd://{self.fd}'}"


Address = TcpAddress | UnixAddress | InheritedAddress


def speaks_tls(address: Address) -> bool:
    return not isinstance(address, UnixAddress) and address.tls
