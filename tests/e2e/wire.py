"""A client that sees every byte: requests as typed, answers read by their own framing and no further.

Strict where a client library is lenient, so that a framing mistake shows as an error or a wait.
"""

import re
from typing import NamedTuple


class Reply(NamedTuple):
    """A response; `fields` by lower-case name, `body` without its chunks."""

    status: int
    fields: dict[str, str]
    body: bytes


class Wire:
    """One connection; a context manager."""

    def __init__(self, sock):
        self.sock = sock
        self._file = sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def ask(self, path="/", method="GET", fields=(), body=b"", version="HTTP/1.1"):
        """Send a whole request and return its answer."""
        self.send(request(path, method, fields, body, version))
        return self.answer(method)

    def answer(self, method="GET"):
        """The next response, which answers a request of this method."""
        status_line, fields = self._head()
        match = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [^\r\n]*", status_line)
        assert match, status_line
        status = int(match[1])
        if method == "HEAD" or status < 200 or status in (204, 304):
            return Reply(status, fields, b"")
        return Reply(status, fields, self._body(fields))

    def ended(self):
        """Whether the server has closed, with nothing more said."""
        return self._file.read(1) == b""

    def _head(self):
        status_line, *lines = iter(self._line, b"")
        fields = {}
        for line in lines:
            name, colon, value = line.decode("latin-1").partition(": ")
            assert colon, line
            fields[name.lower()] = value
        return status_line, fields

    def _line(self):
        line = self._file.readline()
        if not line:
            raise ConnectionError("closed")
        assert line.endswith(b"\r\n"), line
        return line[:-2]

    def _body(self, fields):
        if "transfer-encoding" in fields:
            assert fields["transfer-encoding"] == "chunked"
            assert "content-length" not in fields
            return b"".join(iter(self._chunk, b""))
        if "content-length" in fields:
            return self._exactly(int(fields["content-length"]))
        return self._file.read()

    def _chunk(self):
        data = self._exactly(int(self._line(), 16))
        assert self._line() == b""
        return data

    def _exactly(self, size):
        data = self._file.read(size)
        if len(data) < size:
            raise ConnectionError(f"closed after {len(data)} of {size} bytes")
        return data


def request(path="/", method="GET", fields=(), body=b"", version="HTTP/1.1"):
    lines = [f"{method} {path} {version}", "Host: example.org", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
