"""The files of certificates and keys, handed by a root master to a mold, which is no longer root and may not
read them. In memory only: one memfd for the handover, and one per file for OpenSSL, which wants paths.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from superwsgi import unpatched
from superwsgi.config.sections import TlsSettings
from superwsgi.system import libc


def hand_over(tls: TlsSettings) -> int:
    """In the master: a descriptor with all the files, except those that cannot be read."""
    files: dict[str, bytes] = {}
    for name in _named(tls):
        with contextlib.suppress(OSError):
            files[name] = Path(name).read_bytes()
    return _in_memory(msgspec.json.encode(files))


@contextlib.contextmanager
def copies(fd: int | None) -> Iterator[Mapping[str, str]]:
    """In the mold: the files by the names that the site file gives them, as paths that can be opened until
    the block ends. From now on no other process of this user may trace this one (ptrace(2)): it has the keys.
    """
    if fd is None:
        yield {}
        return
    libc.refuse_tracing()
    with contextlib.ExitStack() as stack:
        opened: dict[str, str] = {}
        for name, content in _read(fd).items():
            copy = _in_memory(content)
            stack.callback(unpatched.close, copy)
            opened[name] = f"/proc/self/fd/{copy}"
        yield opened


def _read(fd: int) -> dict[str, bytes]:
    with open(fd, "rb") as file:
        file.seek(0)
        return msgspec.json.decode(file.read(), type=dict[str, bytes])


def _named(tls: TlsSettings) -> Iterator[str]:
    names = [tls.certificate, tls.key, tls.client_ca]
    names += [name for entry in tls.sni for name in (entry.certificate, entry.key)]
    yield from (name for name in names if name is not None)


def _in_memory(content: bytes) -> int:
    fd = os.memfd_create("superwsgi-certificates", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(content)
    return fd
