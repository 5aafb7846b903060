"""Writes to wsgi.errors what the query says, and fails where the path does."""

from urllib.parse import unquote


def app(environ, start_response):
    if environ["PATH_INFO"] == "/fails":
        raise ValueError("secret of the application")
    if environ["QUERY_STRING"]:
        environ["wsgi.errors"].write(unquote(environ["QUERY_STRING"]) + "\n")
    found = environ["PATH_INFO"] == "/"
    start_response("200 OK" if found else "404 Not Found", [("Content-Type", "text/plain")])
    return [b"hello"]
