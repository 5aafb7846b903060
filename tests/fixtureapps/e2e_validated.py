"""An application that complains about every breach of PEP 3333, by its server too."""

from wsgiref.validate import validator


def echo(environ, start_response):
    size = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(size)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body) + 3))])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else b"ok " + body]


app = validator(echo)
