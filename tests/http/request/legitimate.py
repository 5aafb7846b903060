"""Requests that look odd and are right, and what the application sees of each."""

from __future__ import annotations

from typing import Final

from tests.http.request.corpus import Accepted, chunked, fields, host, line, post, target, trailer

_LONG: Final = b"/" + b"a" * (8192 - len("GET / HTTP/1.1"))

LEGITIMATE: Final = [
    # The request line and what comes before it.
    Accepted("plain", fields(), {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": "a"}, "9112 2.1"),
    Accepted("empty line first", b"\r\n" + fields(), {"PATH_INFO": "/"}, "9112 2.2"),
    Accepted("empty lines first", b"\r\n" * 5 + fields(), {"PATH_INFO": "/"}, "9112 2.2"),
    *(
        Accepted(f"method {name}", line(f"{name} / HTTP/1.1".encode()), {"REQUEST_METHOD": name}, "9110 9.1")
        for name in (
            "POST",
            "PUT",
            "DELETE",
            "TRACE",
            "PATCH",
            "PROPFIND",
            "M-SEARCH",
            "PURGE",
        )
    ),
    Accepted("OPTIONS *", line(b"OPTIONS * HTTP/1.1"), {"PATH_INFO": "/", "RAW_URI": "*"}, "9112 3.2.4"),
    Accepted("OPTIONS of a path", line(b"OPTIONS /a HTTP/1.1"), {"PATH_INFO": "/a"}, "9112 3.2.1"),
    Accepted("double slash first", target(b"//b/c"), {"PATH_INFO": "//b/c", "HTTP_HOST": "a"}, "9112 3.2.1"),
    Accepted("double slash inside", target(b"/b//c"), {"PATH_INFO": "/b//c"}, "3986 3.3"),
    Accepted("dot segments", target(b"/a/../b/./c"), {"PATH_INFO": "/a/../b/./c"}, "3986 5.2.4"),
    Accepted(
        "percent-encoded UTF-8", target(b"/%C3%A9"), {"PATH_INFO": "/\xc3\xa9"}, "RFC 3986 2.1, PEP 3333"
    ),
    Accepted(
        "percent-encoded slash", target(b"/a%2Fb"), {"PATH_INFO": "/a/b", "RAW_URI": "/a%2Fb"}, "3986 2.2"
    ),
    Accepted("percent-encoded in small letters", target(b"/%c3%a9"), {"PATH_INFO": "/\xc3\xa9"}, "3986 2.1"),
    Accepted("percent sign", target(b"/100%"), {"PATH_INFO": "/100%"}, "the application's to judge"),
    Accepted("no percent-encoding", target(b"/%zz"), {"PATH_INFO": "/%zz"}, "the application's to judge"),
    Accepted("parameters", target(b"/a;b=c/d;e"), {"PATH_INFO": "/a;b=c/d;e"}, "3986 3.3"),
    Accepted("colon in the path", target(b"/http://b/"), {"PATH_INFO": "/http://b/"}, "9112 3.2.1"),
    Accepted("empty query", target(b"/?"), {"PATH_INFO": "/", "QUERY_STRING": ""}, "3986 3.4"),
    Accepted("question marks in the query", target(b"/?a?b"), {"QUERY_STRING": "a?b"}, "3986 3.4"),
    Accepted("encoded query", target(b"/?a=%20+b"), {"QUERY_STRING": "a=%20+b"}, "3986 3.4"),
    Accepted(
        "what browsers do not encode",
        target(b"/?a[]={b}|c^d`e\"f<g>h'\\"),
        {"QUERY_STRING": "a[]={b}|c^d`e\"f<g>h'\\"},
        "URL standard, query percent-encode set",
    ),
    Accepted(
        "longest target", target(_LONG), {"PATH_INFO": _LONG.decode()}, "RFC 9112 3: at least 8000 octets"
    ),
    # The absolute form.
    Accepted("URL", target(b"http://b/c?d"), {"PATH_INFO": "/c", "QUERY_STRING": "d"}, "9112 3.2.2"),
    Accepted("URL's host wins", target(b"http://b/"), {"HTTP_HOST": "b"}, "9112 3.2.2"),
    Accepted("URL's port, too", target(b"http://b:81/"), {"HTTP_HOST": "b:81"}, "9112 3.2.2"),
    Accepted(
        "https URL within a path",
        target(b"/https://b/?https://c/"),
        {"PATH_INFO": "/https://b/"},
        "9112 3.2.1",
    ),
    Accepted("URL in capitals", target(b"HTTP://B/"), {"HTTP_HOST": "B"}, "3986 3.1"),
    Accepted("URL without path", target(b"http://b"), {"PATH_INFO": "/", "HTTP_HOST": "b"}, "9112 3.2.2"),
    Accepted(
        "URL of a query", target(b"http://b?c/d"), {"PATH_INFO": "/", "QUERY_STRING": "c/d"}, "9112 3.2.2"
    ),
    Accepted("URL of IPv6", target(b"http://[::1]:80/"), {"HTTP_HOST": "[::1]:80"}, "3986 3.2.2"),
    Accepted("at in the path of a URL", target(b"http://b/c@d"), {"PATH_INFO": "/c@d"}, "3986 3.3"),
    Accepted(
        "URL in HTTP/1.0 without Host", b"GET http://b/ HTTP/1.0\r\n\r\n", {"HTTP_HOST": "b"}, "9112 3.2.2"
    ),
    # Host.
    *(
        Accepted(f"Host {name}", host(name.encode()), {"HTTP_HOST": name}, "9110 7.2, 3986 3.2.2")
        for name in (
            "example.com",
            "EXAMPLE.com",
            "example.com.",
            "a:80",
            "a:",
            "a:0",
            "a:65535",
            "127.0.0.1",
            "127.0.0.1:80",
            "256.1.1.1",
            "[::1]",
            "[::1]:8080",
            "[::1]:",
            "[2001:DB8::1]",
            "[::ffff:10.0.0.1]",
            "a_b",
            "a-b.c",
            "a~b",
            "%C3%A9.example",
            "a!$&'()*+;=b",
            "xn--bcher-kva.example",
            "a" * 63 + "." + "b" * 63,
        )
    ),
    Accepted("Host last", b"GET / HTTP/1.1\r\nA: b\r\nHost: c\r\n\r\n", {"HTTP_HOST": "c"}, "9110 5.3"),
    Accepted("Host with white space around", host(b" \t a \t "), {"HTTP_HOST": "a"}, "9112 5"),
    Accepted("Host without white space", b"GET / HTTP/1.1\r\nHost:a\r\n\r\n", {"HTTP_HOST": "a"}, "9112 5"),
    Accepted("HOST", b"GET / HTTP/1.1\r\nHOST: a\r\n\r\n", {"HTTP_HOST": "a"}, "9110 5.1"),
    # HTTP/1.0.
    Accepted("HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", {"SERVER_PROTOCOL": "HTTP/1.0"}, "9112 3.2"),
    Accepted("HTTP/1.0 with Host", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", {"HTTP_HOST": "a"}, "9112 3.2"),
    Accepted(
        "HTTP/1.0 that goes on",
        b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        {"HTTP_CONNECTION": "Keep-Alive"},
        "9112 9.3",
    ),
    Accepted(
        "HTTP/1.0 with a length",
        b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
        {"CONTENT_LENGTH": "5"},
        "9112 6.3",
        b"hello",
    ),
    # Fields.
    Accepted("name in small letters", fields(b"x-a: b"), {"HTTP_X_A": "b"}, "9110 5.1"),
    Accepted(
        "every character of a token",
        fields(b"!#$%&'*+-.^`|~0aA: b"),
        {"HTTP_!#$%&'*+_.^`|~0AA": "b"},
        "9110 5.6.2",
    ),
    Accepted("empty value", fields(b"A:"), {"HTTP_A": ""}, "9110 5.5"),
    Accepted("value of white space", fields(b"A: \t "), {"HTTP_A": ""}, "9110 5.5"),
    Accepted("white space around the value", fields(b"A: \t b c \t"), {"HTTP_A": "b c"}, "9112 5"),
    Accepted("tab in the value", fields(b"A: b\tc"), {"HTTP_A": "b\tc"}, "9110 5.5"),
    Accepted("Latin-1 in the value", fields(b"A: \xe9\xff\x80"), {"HTTP_A": "\xe9\xff\x80"}, "9110 5.5"),
    Accepted("UTF-8 in the value", fields("A: é".encode()), {"HTTP_A": "\xc3\xa9"}, "RFC 9110 5.5, PEP 3333"),
    Accepted("colons in the value", fields(b"A: b: c:d"), {"HTTP_A": "b: c:d"}, "9110 5.5"),
    Accepted("quotes in the value", fields(b'A: "b, \\"c"'), {"HTTP_A": '"b, \\"c"'}, "9110 5.6.4"),
    Accepted("repeated field", fields(b"A: b", b"a: c"), {"HTTP_A": "b,c"}, "9110 5.3"),
    Accepted(
        "repeated Cookie", fields(b"Cookie: a=b", b"Cookie: c"), {"HTTP_COOKIE": "a=b; c"}, "9113 8.2.3"
    ),
    Accepted("underscore", fields(b"X_Sum: b", b"X-Sum: c"), {"HTTP_X_SUM": "c"}, "dropped, as nginx"),
    Accepted("Proxy", fields(b"Proxy: http://b/"), {}, "CVE-2016-5385: dropped"),
    Accepted("length with an underscore", fields(b"Content_Length: 5"), {}, "dropped: it frames nothing"),
    Accepted(
        "coding with an underscore", fields(b"Transfer_Encoding: chunked"), {}, "dropped: it frames nothing"
    ),
    Accepted(
        "100 fields", fields(*(b"A: b" for _ in range(99))), {"HTTP_A": ",".join("b" * 99)}, "limits.fields"
    ),
    Accepted(
        "long value within the limit", fields(b"A: " + b"b" * 65000), {"HTTP_A": "b" * 65000}, "limits.head"
    ),
    Accepted("long name", fields(b"A" * 5000 + b": b"), {"HTTP_" + "A" * 5000: "b"}, "limits.head"),
    Accepted("close", fields(b"Connection: close"), {"HTTP_CONNECTION": "close"}, "9112 9.6"),
    Accepted("list of options", fields(b"Connection: a, keep-alive"), {"PATH_INFO": "/"}, "9110 7.6.1"),
    Accepted("close in a list", fields(b"Connection: a , CLOSE,"), {"PATH_INFO": "/"}, "9110 7.6.1"),
    Accepted(
        "TE", fields(b"TE: trailers, gzip", b"Connection: TE"), {"HTTP_TE": "trailers, gzip"}, "9110 10.1.4"
    ),
    Accepted(
        "WebSocket, which nobody takes up",
        fields(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        {"HTTP_UPGRADE": "websocket"},
        "9110 7.8",
    ),
    Accepted(
        "h2c, which nobody takes up, with a body",
        post(
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AA",
            b"Content-Length: 5",
            body=b"hello",
        ),
        {"CONTENT_LENGTH": "5"},
        "9110 7.8",
        b"hello",
    ),
    Accepted("unknown protocol", fields(b"Upgrade: IRC/6.9"), {"HTTP_UPGRADE": "IRC/6.9"}, "9110 7.8"),
    Accepted(
        "expectation without a body", fields(b"Expect: 100-continue"), {"PATH_INFO": "/"}, "9110 10.1.1"
    ),
    *(
        Accepted(
            f"expectation {data.decode()!r}", fields(b"Expect:" + data), {"HTTP_EXPECT": None}, "9110 10.1.1"
        )
        for data in (b"", b" \t ", b" ,", b" , ,", b" 100-continue", b" 100-continue,", b" , 100-Continue")
    ),
    Accepted("expected twice, nothing", fields(b"Expect:", b"Expect:"), {"HTTP_EXPECT": None}, "9110 10.1.1"),
    Accepted(
        "empty expectation of a body",
        post(b"Expect:", b"Content-Length: 5", body=b"hello"),
        {"HTTP_EXPECT": None},
        "9110 10.1.1",
        b"hello",
    ),
    Accepted(
        "expectation before it was invented",
        b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        {"HTTP_EXPECT": None},
        "9110 10.1.1",
        b"hello",
    ),
    Accepted(
        "Content-Type",
        fields(b'Content-Type: text/html;a="b, c"'),
        {"CONTENT_TYPE": 'text/html;a="b, c"'},
        "9110 8.3",
    ),
    # Bodies.
    Accepted("no length", post(), {"REQUEST_METHOD": "POST"}, "9112 6.3"),
    Accepted("length 0", post(b"Content-Length: 0"), {"CONTENT_LENGTH": "0"}, "9112 6.3"),
    Accepted("length 000", post(b"Content-Length: 000"), {"CONTENT_LENGTH": "0"}, "9110 8.6"),
    Accepted(
        "length 0 that int() refuses",
        post(b"Content-Length: " + b"0" * 5000),
        {"CONTENT_LENGTH": "0"},
        "9110 8.6",
    ),
    Accepted(
        "length", post(b"Content-Length: 5", body=b"hello"), {"CONTENT_LENGTH": "5"}, "9112 6.2", b"hello"
    ),
    Accepted("length with zeros", post(b"Content-Length: 0005", body=b"hello"), {}, "9110 8.6", b"hello"),
    Accepted("length with spaces", post(b"Content-Length:  5  ", body=b"hello"), {}, "9112 5", b"hello"),
    Accepted(
        "body of a GET",
        fields(b"Content-Length: 5") + b"hello",
        {"REQUEST_METHOD": "GET"},
        "9110 9.3.1",
        b"hello",
    ),
    Accepted(
        "body like a request",
        post(b"Content-Length: 40", body=fields(b"A: bcdefghi")),
        {},
        "9112 6.2",
        fields(b"A: bcdefghi"),
    ),
    Accepted(
        "binary body", post(b"Content-Length: 256", body=bytes(range(256))), {}, "9112 6", bytes(range(256))
    ),
    Accepted(
        "body that is waited for",
        post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
        {},
        "9110 10.1.1",
        b"hello",
    ),
    Accepted(
        "body that is waited for in capitals",
        post(b"Expect: 100-Continue", b"Content-Length: 5", body=b"hello"),
        {},
        "9110 10.1.1",
        b"hello",
    ),
    Accepted(
        "chunks",
        chunked(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
        {"CONTENT_LENGTH": "11"},
        "9112 7.1",
        b"hello world",
    ),
    Accepted("no chunks", chunked(b"0\r\n\r\n"), {"CONTENT_LENGTH": "0"}, "9112 7.1"),
    Accepted("no chunks, many zeros", chunked(b"0000\r\n\r\n"), {"CONTENT_LENGTH": "0"}, "9112 7.1"),
    Accepted("Chunked", post(b"Transfer-Encoding: Chunked", body=b"1\r\na\r\n0\r\n\r\n"), {}, "9112 7", b"a"),
    Accepted(
        "chunked with spaces",
        post(b"Transfer-Encoding: \t chunked ", body=b"1\r\na\r\n0\r\n\r\n"),
        {},
        "9112 5",
        b"a",
    ),
    Accepted("size in capitals", chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), {}, "9112 7.1", b"0123456789"),
    Accepted("size with zeros", chunked(b"0000000000000005\r\nhello\r\n0\r\n\r\n"), {}, "9112 7.1", b"hello"),
    Accepted(
        "small chunks",
        chunked(b"1\r\na\r\n" * 50 + b"0\r\n\r\n"),
        {"CONTENT_LENGTH": "50"},
        "9112 7.1",
        b"a" * 50,
    ),
    Accepted("chunk of line ends", chunked(b"4\r\n\r\n\r\n\r\n0\r\n\r\n"), {}, "9112 7.1", b"\r\n\r\n"),
    Accepted("extension", chunked(b"5;a\r\nhello\r\n0;b\r\n\r\n"), {}, "9112 7.1.1", b"hello"),
    Accepted(
        "extensions with values",
        chunked(b'5;a=b;c="d;\\"\te"\r\nhello\r\n0\r\n\r\n'),
        {},
        "9112 7.1.1",
        b"hello",
    ),
    Accepted("trailer", trailer(b"X-Sum: 5"), {"CONTENT_LENGTH": "5"}, "RFC 9112 7.1.2: dropped", b"hello"),
    Accepted("trailers", trailer(b"a:", b"b:\tc ", b"Proxy_: d"), {}, "RFC 9112 7.1.2: dropped", b"hello"),
    Accepted("100 trailers", trailer(*(b"A: b" for _ in range(100))), {}, "limits.fields", b"hello"),
]
